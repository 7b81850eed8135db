"""Stopping: a first signal drains, a second one or the deadline cancels."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tilewatch.flow.shutdown import Shutdown

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_asks_and_lets_the_work_finish(run: Run, number: signal.Signals) -> None:
    """After one signal the work ends by itself, uncancelled."""

    async def scenario() -> tuple[bool, bool]:
        shutdown, finished = Shutdown(drain_seconds=60), False
        async with shutdown.guard():
            os.kill(os.getpid(), number)
            await shutdown.stop.wait()
            finished = True
        return finished, shutdown.expired

    assert run(scenario()) == (True, False)


def test_second_signal_cancels_at_once(run: Run) -> None:
    """Asked twice, the work is cancelled however long the drain may last."""

    async def scenario() -> bool:
        shutdown = Shutdown(drain_seconds=3600)
        async with shutdown.guard():
            os.kill(os.getpid(), signal.SIGINT)
            await shutdown.stop.wait()
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        return shutdown.expired

    assert run(scenario())


def test_deadline_cancels_what_does_not_end(run: Run) -> None:
    """Work that has not ended when the drain's time is over is cancelled."""

    async def scenario() -> bool:
        shutdown = Shutdown(drain_seconds=0)
        async with shutdown.guard():
            shutdown.request()
            await asyncio.Event().wait()
        return shutdown.expired

    assert run(scenario())


def test_time_out_of_the_work_itself_is_not_taken_for_the_deadline(run: Run) -> None:
    """A TimeoutError that has nothing to do with stopping comes through."""

    async def scenario() -> None:
        async with Shutdown(drain_seconds=1).guard():
            raise TimeoutError("of somebody else")

    with pytest.raises(TimeoutError, match="of somebody else"):
        run(scenario())
