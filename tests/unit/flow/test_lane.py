"""The lane: one thread, calls in order, no buffer freed under a running call."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tilewatch.flow.lane import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def test_calls_run_on_one_named_thread_in_order(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """Every call of a lane runs on the lane's own thread, in the order of the calls."""
    log: list[tuple[int, str]] = []

    async def scenario() -> int:
        async with Lane("decode") as lane:
            calls = [lane.call(lambda n: log.append((n, threading.current_thread().name)), n) for n in range(3)]
            await asyncio.gather(*calls)
            return lane.statistics.calls

    assert run(scenario()) == 3
    assert [n for n, _ in log] == [0, 1, 2]
    assert {name for _, name in log} == {"decode_0"}


def test_exceptions_come_through(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """What a call raises is raised to its caller."""

    async def scenario() -> None:
        async with Lane("a") as lane:
            await lane.call(int, "x")

    with pytest.raises(ValueError, match="invalid literal"):
        run(scenario())


def test_cancelled_caller_waits_for_its_running_call(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """Cancelling a caller does not free what its call works on: the call ends first."""
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait(10)
        ended.set()

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        async with Lane("a") as lane, Lane("watch") as watch:
            caller = asyncio.ensure_future(lane.call(work))
            await watch.call(begun.wait, 10)
            caller.cancel()
            await asyncio.sleep(0)
            caller.cancel()
            assert not caller.done()
            loop.call_soon(release.set)
            with pytest.raises(asyncio.CancelledError):
                await caller
            assert ended.is_set()

    run(scenario())


def test_call_that_has_not_begun_never_does_when_cancelled(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """A call still in the queue is dropped with its caller."""
    begun, release = threading.Event(), threading.Event()
    log: list[str] = []

    def work() -> None:
        begun.set()
        release.wait(10)

    async def scenario() -> None:
        async with Lane("a") as lane, Lane("watch") as watch:
            first = asyncio.ensure_future(lane.call(work))
            await watch.call(begun.wait, 10)
            second = asyncio.ensure_future(lane.call(log.append, "second"))
            await asyncio.sleep(0)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            release.set()
            await first
            await lane.call(log.append, "third")

    run(scenario())
    assert log == ["third"]
