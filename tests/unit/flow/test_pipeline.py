"""The pipeline: drain delivers everything, abort closes everything, memory is bounded by the channels."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tilewatch.errors import EngineError, FrameError, SinkError
from tilewatch.flow.backports import BaseExceptionGroup
from tilewatch.flow.pipeline import Pipeline, StageEndedEarlyError, Step, each
from tilewatch.flow.supervisor import verdict
from tilewatch.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine

    Run = Callable[[Coroutine[Any, Any, Any]], Any]


def count_to(n: int, made: list[int] | None = None, stop: asyncio.Event | None = None) -> Callable[..., Any]:
    """Return a source stage of the numbers below n that notes what it made."""

    async def source(_: AsyncIterator[Any]) -> AsyncGenerator[int, None]:
        for item in range(n):
            if stop is not None and stop.is_set():
                return
            if made is not None:
                made.append(item)
            await asyncio.sleep(0)
            yield item

    return source


async def double(inbox: AsyncIterator[int]) -> AsyncGenerator[int, None]:
    """Yield twice each number."""
    async for item in inbox:
        yield 2 * item


def collect_into(found: list[Any]) -> Callable[..., Any]:
    """Return a last stage that keeps what it gets."""

    async def sink(inbox: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
        async for item in inbox:
            found.append(item)
            yield item
        found.append("flushed")

    return sink


def pipeline(*stages: Callable[..., Any], capacity: int = 2) -> Pipeline:
    """Return a pipeline of stages named by their position."""
    steps = [Step(name=f"s{i}", stage=stage, capacity=capacity) for i, stage in enumerate(stages)]
    return Pipeline("clip", steps, metrics.create().stream("file-0"))


def test_drain_delivers_every_item_and_flushes(run: Run) -> None:
    """When the source ends, everything on the way arrives and every stage runs its flush."""
    found: list[Any] = []
    line = pipeline(count_to(100), double, collect_into(found))
    run(line.run())
    assert found == [*range(0, 200, 2), "flushed"]
    assert [step.statistics.items for step in line.steps] == [100, 100, 100]


def test_stop_drains_what_was_accepted(run: Run) -> None:
    """Stopping the source loses nothing of what it has already made."""
    found: list[Any] = []
    made: list[int] = []

    async def scenario() -> None:
        stop = asyncio.Event()

        async def stop_at_ten(inbox: AsyncIterator[int]) -> AsyncGenerator[int, None]:
            async for item in inbox:
                if item == 10:
                    stop.set()
                yield item

        await pipeline(count_to(1000, made, stop), stop_at_ten, collect_into(found)).run()

    run(scenario())
    assert 11 <= len(made) < 20
    assert found == [*made, "flushed"]


def test_slow_last_stage_bounds_what_the_source_makes(run: Run) -> None:
    """Back-pressure: while the last stage stands still, the source gets no further than the channels hold."""
    made: list[int] = []
    capacity = 3

    async def scenario() -> int:
        gate = asyncio.Event()

        async def blocked(inbox: AsyncIterator[int]) -> AsyncGenerator[int, None]:
            async for item in inbox:
                await gate.wait()
                yield item

        running = asyncio.ensure_future(pipeline(count_to(1000, made), double, blocked, capacity=capacity).run())
        for _ in range(500):
            await asyncio.sleep(0)
        stuck = len(made)
        gate.set()
        await running
        return stuck

    # two channels, and one item in the hands of each of the three stages
    assert run(scenario()) == 2 * capacity + 3
    assert len(made) == 1000


def test_error_of_a_stage_closes_every_other_stage(run: Run) -> None:
    """Abort: an error reaches the caller, and each generator is closed where it stands."""
    closed: list[str] = []

    def closing(name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        async def stage(inbox: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
            try:
                async for item in inner(inbox):
                    yield item
            finally:
                closed.append(name)

        return stage

    async def failing(inbox: AsyncIterator[int]) -> AsyncGenerator[int, None]:
        async for item in inbox:
            if item == 10:
                raise SinkError("the encoder refused")
            yield item

    line = pipeline(closing("source", count_to(1000)), closing("double", double), closing("failing", failing))
    with pytest.raises(BaseExceptionGroup) as caught:
        run(line.run())
    assert str(verdict(caught.value)) == "the encoder refused"
    assert sorted(closed) == ["double", "failing", "source"]


def test_stage_that_returns_early_is_a_bug_not_a_hang(run: Run) -> None:
    """A stage that leaves its inbox unfinished would hang its producer: it raises instead."""

    async def early(inbox: AsyncIterator[int]) -> AsyncGenerator[int, None]:
        async for item in inbox:
            yield item
            return

    with pytest.raises(BaseExceptionGroup) as caught:
        run(pipeline(count_to(1000), early, collect_into([])).run())
    assert isinstance(verdict(caught.value), StageEndedEarlyError)


def test_frame_error_skips_one_item_and_counts_it(run: Run) -> None:
    """One bad frame costs one frame."""
    skipped: list[str] = []
    found: list[Any] = []

    async def odd_only(item: int) -> int:
        if item == 3:
            raise FrameError("frame 3 is damaged")
        return item

    run(
        pipeline(
            count_to(6), each(odd_only, on_skip=lambda error: skipped.append(str(error))), collect_into(found)
        ).run()
    )
    assert found == [0, 1, 2, 4, 5, "flushed"]
    assert skipped == ["frame 3 is damaged"]


def test_widest_radius_wins_among_several_errors() -> None:
    """A bug outranks an engine error, which outranks a stream's error, however deep they are nested."""
    stream, engine, bug = SinkError("s"), EngineError("e"), KeyError("k")
    assert verdict(BaseExceptionGroup("g", [stream, BaseExceptionGroup("h", [engine])])) is engine
    assert verdict(BaseExceptionGroup("g", [stream, engine, bug])) is bug
    assert verdict(stream) is stream


def test_the_stage_that_holds_an_item_is_busy_and_the_waiting_ones_are_not(run: Run) -> None:
    """Health: with one stage stuck, those behind it starve, those before it are jammed, and it alone is busy."""

    async def scenario() -> tuple[dict[str, bool], ...]:
        gate = asyncio.Event()

        async def stuck(inbox: AsyncIterator[int]) -> AsyncGenerator[int, None]:
            async for item in inbox:
                if item == 2:
                    await gate.wait()
                yield item

        line = pipeline(count_to(100), double, stuck, double, collect_into([]))

        def busy() -> dict[str, bool]:
            return {stage: since() is not None for stage, since in line.busy_since().items()}

        before = busy()
        running = asyncio.ensure_future(line.run())
        for _ in range(100):
            await asyncio.sleep(0)
        held = busy()
        gate.set()
        await running
        return before, held, busy()

    nobody = dict.fromkeys(["s0", "s1", "s2", "s3", "s4"], False)
    assert run(scenario()) == (nobody, nobody | {"s2": True}, nobody)


def test_a_stage_that_moves_is_busy_since_its_last_item(run: Run) -> None:
    """Health: time counts from the last item taken or given, so a busy pipeline is never a stalled one."""
    seen: list[float] = []

    async def scenario() -> None:
        async def noting(inbox: AsyncIterator[int]) -> AsyncGenerator[int, None]:
            async for item in inbox:
                since = line.busy_since()["s1"]()
                assert since is not None
                seen.append(since)
                yield item

        line = pipeline(count_to(5), noting, collect_into([]))
        await line.run()

    run(scenario())
    assert len(set(seen)) == 5
    assert seen == sorted(seen)
