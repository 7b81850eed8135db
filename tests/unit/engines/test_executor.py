"""The executor against an engine that does exactly what the test says."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.support.loops import LOOPS, run_on
from tilewatch.engines.base import EngineInfo, Feeding
from tilewatch.engines.executor import Client, Executor
from tilewatch.errors import EngineError
from tilewatch.records import Frame, RawHeads, TileBatch, Tiles

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from tilewatch.engines.base import Slot
    from tilewatch.records import F32

pytestmark = pytest.mark.parametrize("loop", LOOPS)


@dataclass(eq=False)
class FakeSlot:
    """A slot whose tiles are numbers."""

    values: list[int]

    @property
    def count(self) -> int:
        """Number of tiles."""
        return len(self.values)


@dataclass(eq=False)
class FakeEngine:
    """Answers every tile with its number; fails from a given submit or collect on."""

    feeding: Feeding
    fail_submit: int = 1 << 30
    fail_collect: int = 1 << 30
    submits: list[list[int]] = field(default_factory=list)
    running: deque[list[int]] = field(default_factory=deque)
    most_running: int = 0
    collected: int = 0
    released: list[FakeSlot] = field(default_factory=list)
    closed: int = 0

    @property
    def info(self) -> EngineInfo:
        """Not asked for."""
        raise NotImplementedError

    def open(self) -> None:
        """Nothing to open."""

    def warm_up(self) -> None:
        """Nothing to warm."""

    def cut(self, frame: Frame, tiles: Tiles) -> Slot:
        """Not asked for."""
        raise NotImplementedError

    def submit(self, parts: Sequence[tuple[Any, int]]) -> None:
        """Take some numbers."""
        if len(self.submits) >= self.fail_submit:
            raise EngineError("the device refused")
        numbers = [slot.values[row] for slot, row in parts]
        self.submits.append(numbers)
        self.running.append(numbers)
        self.most_running = max(self.most_running, len(self.running))

    def collect(self) -> tuple[F32, ...]:
        """Give the oldest numbers back, as two outputs."""
        if not self.running:
            raise EngineError("nothing is in flight")
        numbers = np.array(self.running.popleft(), np.float32)
        self.collected += 1
        if self.collected > self.fail_collect:
            raise EngineError("the device failed")
        return numbers[:, None], np.tile(numbers[:, None, None], (1, 2, 3))

    def release(self, slot: Any) -> None:
        """Remember who came back."""
        assert all(number not in numbers for numbers in self.running for number in slot.values)
        self.released.append(slot)

    def close(self) -> None:
        """Count."""
        self.closed += 1


@dataclass(eq=False)
class Gate:
    """A lane that lets calls through only while it is open; counts them."""

    is_open: asyncio.Event = field(default_factory=asyncio.Event)
    calls: int = 0

    async def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run the function on this very thread, after a turn of the loop; a begun call is finished first."""
        await asyncio.sleep(0)
        self.calls += 1
        try:
            await self.is_open.wait()
        except asyncio.CancelledError:
            self.is_open.set()
            function(*args, **kwargs)
            raise
        return function(*args, **kwargs)


def batch_of(*numbers: int) -> TileBatch:
    """Return a frame whose tiles are these numbers."""
    count = len(numbers)
    plane = np.zeros((2, 2), np.uint8)
    frame = Frame(
        stream="s", index=0, pts=0, time_base=Fraction(1, 25), captured_ns=0, width=2, height=2, y=plane,
        u=plane[:1, :1], v=plane[:1, :1], full_range=False, matrix="bt601", keyframe=True,
    )  # fmt: skip
    tiles = Tiles(
        rects=np.zeros((count, 4), np.int32),
        inner=np.zeros((count, 4), bool),
        fitted=np.zeros((count, 2), np.int32),
        scale=np.ones(count, np.float32),
        full_frame=np.zeros(count, bool),
    )
    return TileBatch(
        frame=frame, tiles=tiles, skipped=tiles.take(np.arange(0)), skip_reasons=(), slot=FakeSlot(list(numbers))
    )


def numbers_of(heads: RawHeads) -> list[int]:
    """Return a frame's answers, checking that both outputs agree."""
    first, second = heads.outputs
    np.testing.assert_array_equal(np.broadcast_to(first[:, None], second.shape), second)
    return [int(value) for value in first[:, 0]]


async def turns_until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something has happened."""
    while not condition():  # noqa: ASYNC110 -- turns are counted here, not time
        await asyncio.sleep(0)


async def ask(device: Client, batch: TileBatch) -> RawHeads:
    """Submit a frame and wait for its heads."""
    return await device.submit(batch)


async def served(executor: Executor, *work: Coroutine[Any, Any, Any]) -> list[Any]:
    """Run the executor beside some work, stop it, and return what the work gave."""
    run = asyncio.ensure_future(executor.run())
    results = await asyncio.gather(*work, return_exceptions=True)
    executor.stop()
    await asyncio.wait([run])
    return [*results, run.exception()]


def make(engine: FakeEngine, **options: Any) -> tuple[Executor, Client, Gate]:
    """Return an executor on an open lane, and one stream's way to it."""
    gate = Gate()
    gate.is_open.set()
    executor = Executor(engine, gate.call, **options)
    return executor, executor.client(), gate


@pytest.mark.parametrize(("batch", "in_flight"), [(1, 1), (1, 4), (3, 2), (8, 2), (64, 3)])
def test_every_caller_gets_its_own_tiles_in_order(loop: str, batch: int, in_flight: int) -> None:
    """Whatever way the tiles are packed into submits."""
    engine = FakeEngine(Feeding(batch=batch, in_flight=in_flight))
    frames = [tuple(range(10 * i, 10 * i + count)) for i, count in enumerate([5, 1, 8, 2, 3])]

    async def scenario() -> list[Any]:
        executor, device, _ = make(engine, batch_wait_ms=0)
        return await served(executor, *(ask(device, batch_of(*numbers)) for numbers in frames))

    *heads, error = run_on(loop, scenario())
    assert error is None
    assert [tuple(numbers_of(head)) for head in heads] == frames
    assert [number for numbers in engine.submits for number in numbers] == [n for frame in frames for n in frame]
    assert engine.most_running <= in_flight
    assert len(engine.released) == len(frames)


def test_submits_are_filled_across_frames(loop: str) -> None:
    """Three frames of four tiles are one submit of eight and one of four, not three of four."""
    engine = FakeEngine(Feeding(batch=8, in_flight=2))
    told: list[tuple[int, float]] = []

    async def scenario() -> None:
        executor, device, _ = make(engine, on_batch=lambda count, seconds: told.append((count, seconds)))
        await served(executor, *(ask(device, batch_of(*range(4 * i, 4 * i + 4))) for i in range(3)))

    run_on(loop, scenario())
    assert [len(numbers) for numbers in engine.submits] == [8, 4]
    assert [count for count, _ in told] == [8, 4]
    assert all(seconds >= 0 for _, seconds in told)


def test_part_full_submit_waits_for_more_while_the_engine_is_busy(loop: str) -> None:
    """A frame that comes within the wait joins the submit; nothing waits when nothing is in flight."""
    engine = FakeEngine(Feeding(batch=4, in_flight=2))

    async def scenario() -> None:
        executor, device, _ = make(engine, batch_wait_ms=60_000)
        run = asyncio.ensure_future(executor.run())
        first = asyncio.ensure_future(ask(device, batch_of(*range(6))))
        await turns_until(lambda: len(engine.submits) >= 1)
        second = asyncio.ensure_future(ask(device, batch_of(6, 7)))
        await asyncio.gather(first, second)
        await ask(device, batch_of(8))
        executor.stop()
        await run

    run_on(loop, scenario())
    assert engine.submits == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]


def test_one_hop_carries_a_submit_and_a_collect(loop: str) -> None:
    """In the steady state a tile costs one call of the lane."""
    engine = FakeEngine(Feeding(batch=1, in_flight=4))

    async def scenario() -> int:
        executor, device, gate = make(engine)
        await served(executor, ask(device, batch_of(*range(100))))
        return gate.calls

    assert run_on(loop, scenario()) <= 100 + 4 + 1


def test_frame_without_tiles_is_answered_at_once(loop: str) -> None:
    """No tile, no outputs, the slot goes back."""
    engine = FakeEngine(Feeding(batch=1, in_flight=1))

    async def scenario() -> RawHeads:
        _, device, _ = make(engine)
        return await ask(device, batch_of())

    assert run_on(loop, scenario()).outputs == ()
    assert len(engine.released) == 1


@pytest.mark.parametrize(("fail_submit", "fail_collect"), [(2, 1 << 30), (1 << 30, 1)])
def test_engine_failure_reaches_every_caller_and_run(loop: str, fail_submit: int, fail_collect: int) -> None:
    """Nobody hangs, every slot goes back, later callers are refused."""
    engine = FakeEngine(Feeding(batch=2, in_flight=2), fail_submit=fail_submit, fail_collect=fail_collect)

    async def scenario() -> list[Any]:
        executor, device, _ = make(engine)
        run = asyncio.ensure_future(executor.run())
        callers = (ask(device, batch_of(*range(4 * i, 4 * i + 4))) for i in range(3))
        results = await asyncio.gather(*callers, return_exceptions=True)
        await asyncio.wait([run])
        with pytest.raises(EngineError, match="stopped"):
            await ask(device, batch_of(99))
        return [*results, run.exception()]

    results = run_on(loop, scenario())
    assert [type(result) for result in results] == [EngineError] * 4
    assert all("the device" in str(result) for result in results)
    assert len(engine.released) == 4
    assert not engine.running


def test_bug_in_the_engine_leaves_no_caller_hanging(loop: str) -> None:
    """An unexpected exception comes out of run as it is; callers learn that inference stopped."""
    engine = FakeEngine(Feeding(batch=1, in_flight=1))
    engine.submit = lambda parts: 1 / 0  # type: ignore[method-assign,assignment]  # noqa: ARG005

    async def scenario() -> list[Any]:
        executor, device, _ = make(engine)
        return await served(executor, ask(device, batch_of(1)))

    caller, run = run_on(loop, scenario())
    assert isinstance(caller, EngineError)
    assert isinstance(run, ZeroDivisionError)


def test_cancelled_run_waits_for_what_is_in_flight_and_answers_all(loop: str) -> None:
    """No slot goes back while the engine reads it (the fake checks), no caller hangs."""
    engine = FakeEngine(Feeding(batch=1, in_flight=3))

    async def scenario() -> list[Any]:
        executor, device, gate = make(engine)
        run = asyncio.ensure_future(executor.run())
        callers = [asyncio.ensure_future(ask(device, batch_of(10 * i, 10 * i + 1))) for i in range(3)]
        await turns_until(lambda: len(engine.submits) >= 2)
        gate.is_open.clear()
        for _ in range(5):
            await asyncio.sleep(0)
        run.cancel()
        with suppress(asyncio.CancelledError):
            await run
        assert run.cancelled()
        return await asyncio.gather(*callers, return_exceptions=True)

    results = run_on(loop, scenario())
    assert all(isinstance(result, EngineError) for result in results)
    assert not engine.running
    assert len(engine.released) == 3


def test_executor_is_busy_exactly_while_the_device_is_in_a_call(loop: str) -> None:
    """Health: a call that does not come back can be dated; a device without work is not busy."""
    engine = FakeEngine(Feeding(batch=1, in_flight=1))

    async def scenario() -> list[bool]:
        executor, device, gate = make(engine)
        idle = executor.busy_since() is not None
        gate.is_open.clear()
        work = asyncio.ensure_future(served(executor, ask(device, batch_of(1))))
        await turns_until(lambda: gate.calls == 1)
        hung = executor.busy_since() is not None
        gate.is_open.set()
        await work
        return [idle, hung, executor.busy_since() is not None]

    assert run_on(loop, scenario()) == [False, True, False]


def test_cancelled_caller_takes_its_waiting_tiles_along(loop: str) -> None:
    """What has not been submitted never is; others are served; the slot comes back once nothing of it runs."""
    engine = FakeEngine(Feeding(batch=1, in_flight=2))

    async def scenario() -> list[int]:
        executor, device, gate = make(engine)
        run = asyncio.ensure_future(executor.run())
        victim = asyncio.ensure_future(ask(device, batch_of(*range(50))))
        await turns_until(lambda: len(engine.submits) >= 2)
        gate.is_open.clear()
        for _ in range(5):
            await asyncio.sleep(0)
        victim.cancel()
        other = asyncio.ensure_future(ask(device, batch_of(100, 101)))
        await asyncio.sleep(0)
        gate.is_open.set()
        answer = numbers_of(await other)
        executor.stop()
        await run
        return answer

    assert run_on(loop, scenario()) == [100, 101]
    assert len(engine.submits) <= 6
    assert len(engine.released) == 2


def test_stop_lets_run_return_once_all_is_answered(loop: str) -> None:
    """Drain: accepted frames are answered. The engine stays open: whoever opened it closes it. Idempotent."""
    engine = FakeEngine(Feeding(batch=2, in_flight=2))

    async def scenario() -> RawHeads:
        executor, device, _ = make(engine)
        caller = asyncio.ensure_future(ask(device, batch_of(1, 2, 3)))
        await asyncio.sleep(0)
        executor.stop()
        executor.stop()
        await executor.run()
        return await caller

    assert numbers_of(run_on(loop, scenario())) == [1, 2, 3]
    assert engine.closed == 0


@pytest.mark.parametrize(("batch", "in_flight"), [(1, 4), (8, 2)])
def test_equally_eager_streams_get_equal_shares(loop: str, batch: int, in_flight: int) -> None:
    """Four streams that never let go of the device, with frames of 1 to 8 tiles: their tiles differ by 10 % at most."""
    engine = FakeEngine(Feeding(batch=batch, in_flight=in_flight))
    sizes, rounds, serial = (1, 2, 5, 8), 800, count()

    async def eager(device: Client, stream: int) -> None:
        under_way = deque(device.submit(frame(stream)) for _ in range(-(-device.appetite // sizes[stream]) + 1))
        while len(engine.submits) * batch < rounds:
            assert {number % 4 for number in numbers_of(await under_way.popleft())} == {stream}
            under_way.append(device.submit(frame(stream)))
        for answer in under_way:
            await answer

    def frame(stream: int) -> TileBatch:
        return batch_of(*(4 * next(serial) + stream for _ in range(sizes[stream])))

    async def scenario() -> list[Any]:
        executor, _, _ = make(engine)
        return await served(executor, *(eager(executor.client(), stream) for stream in range(4)))

    assert run_on(loop, scenario()) == [None] * 5
    seen = [number for numbers in engine.submits for number in numbers][:rounds]
    shares = [sum(number % 4 == stream for number in seen) for stream in range(4)]
    assert max(shares) - min(shares) <= rounds / 4 * 0.1


def test_urgent_stream_goes_first_and_leaves_a_quarter_to_files(loop: str) -> None:
    """A live source's tiles overtake what waits of files; of every four tiles one is still a file's."""
    engine = FakeEngine(Feeding(batch=1, in_flight=1))

    async def scenario() -> None:
        executor, file, _ = make(engine)
        live = executor.client(urgent=True)
        await served(executor, ask(file, batch_of(*range(0, 40, 2))), ask(live, batch_of(*range(1, 41, 2))))

    run_on(loop, scenario())
    order = "".join(str(number % 2) for numbers in engine.submits for number in numbers)
    assert order == "1110" * 6 + "11" + "0" * 14


def test_candidates_of_several_calls_become_one_array(loop: str) -> None:
    """A frame's tiles have as many rows as the tile that has most; the others are filled up with zeros."""

    class Picks(FakeEngine):
        def collect(self) -> tuple[F32, ...]:
            """A tile of number n has n rows of n; a call as many as its largest."""
            numbers = self.running.popleft()
            rows = np.zeros((len(numbers), max(numbers), 8), np.float32)
            for row, number in enumerate(numbers):
                rows[row, :number] = number
            return (rows,)

    async def scenario() -> list[Any]:
        executor, device, _ = make(Picks(Feeding(batch=2, in_flight=2)), batch_wait_ms=0)
        return await served(executor, ask(device, batch_of(2, 0, 1, 0, 3, 1)))

    heads, error = run_on(loop, scenario())
    assert error is None
    (rows,) = heads.outputs
    assert rows.shape == (6, 3, 8)
    assert [[int(value) for value in tile[:, 0]] for tile in rows] == [
        [2, 2, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0], [3, 3, 3], [1, 0, 0],
    ]  # fmt: skip


def test_what_is_picked_of_a_submit_is_what_is_kept(loop: str) -> None:
    """Tile by tile in the tile's row, however the tiles were packed."""
    engine = FakeEngine(Feeding(batch=2, in_flight=2))

    def pick(outputs: Sequence[F32]) -> tuple[F32, ...]:
        return (10 * outputs[0],)

    async def scenario() -> list[Any]:
        executor, device, _ = make(engine, batch_wait_ms=0, pick=pick)
        return await served(executor, ask(device, batch_of(1, 2, 3)))

    heads, error = run_on(loop, scenario())
    assert error is None
    assert [output.tolist() for output in heads.outputs] == [[[10], [20], [30]]]
