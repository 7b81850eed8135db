"""The encode stage: one lane call a frame, sinks in order, completed by whoever opened them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.records import make_tracks
from tilewatch.errors import SinkError
from tilewatch.stages.encode import encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from tilewatch.records import Tracks

    Run = Callable[[Coroutine[Any, Any, Any]], Any]


class LoggingSink:
    """Writes what happens to it into a shared log."""

    def __init__(self, name: str, log: list[str], *, fails_at: int = -1) -> None:
        self._name = name
        self._log = log
        self._fails_at = fails_at

    def write(self, tracks: Tracks) -> None:
        """Log the frame, or fail."""
        if tracks.frame.index == self._fails_at:
            raise SinkError("disk on fire")
        self._log.append(f"{self._name}{tracks.frame.index}")


async def inbox(count: int) -> AsyncIterator[Tracks]:
    """Give so many results."""
    for index in range(count):
        yield make_tracks(index)


async def encoded(sinks: list[LoggingSink], log: list[str], count: int) -> list[int]:
    """Run the stage; every lane call is logged."""

    async def call(function: Callable[..., Any], *args: object) -> Any:
        log.append("call")
        return function(*args)

    return [index async for index in encode(inbox(count), call, sinks)]


def test_all_sinks_take_a_frame_in_one_lane_call(run: Run) -> None:
    """Order of the sinks within a frame, order of the frames."""
    log: list[str] = []
    assert run(encoded([LoggingSink("a", log), LoggingSink("b", log)], log, 2)) == [0, 1]
    assert log == ["call", "a0", "b0", "call", "a1", "b1"]


def test_failing_sink_ends_the_stage(run: Run) -> None:
    """Sinks behind the one that failed do not get the frame."""
    log: list[str] = []
    with pytest.raises(SinkError):
        run(encoded([LoggingSink("a", log), LoggingSink("b", log, fails_at=1)], log, 3))
    assert log == ["call", "a0", "b0", "call", "a1"]
