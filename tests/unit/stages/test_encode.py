"""The encode stage: every sink takes every frame, and is completed at the end only."""

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


class Sink:
    """Notes what happens to it; refuses one frame if told so."""

    def __init__(self, log: list[str], name: str, refuse: int | None = None) -> None:
        self._log, self._name, self._refuse = log, name, refuse

    def write(self, tracks: Tracks) -> None:
        """Take a frame."""
        if tracks.frame.index == self._refuse:
            raise SinkError(f"{self._name} is full")
        self._log.append(f"{self._name}{tracks.frame.index}")

    def close(self) -> None:
        """Complete."""
        self._log.append(f"{self._name} closed")


async def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function where it is."""
    return function(*arguments)


async def frames(count: int) -> AsyncIterator[Tracks]:
    """Yield empty results."""
    for index in range(count):
        yield make_tracks(index)


def test_sinks_take_every_frame_in_order_and_are_closed_at_the_end(run: Run) -> None:
    """Frame by frame through all sinks; the close is the flush."""
    log: list[str] = []

    async def scenario() -> list[int]:
        return [index async for index in encode(frames(2), call, [Sink(log, "a"), Sink(log, "b")])]

    assert run(scenario()) == [0, 1]
    assert log == ["a0", "b0", "a1", "b1", "a closed", "b closed"]


def test_refusal_ends_the_stage_and_completes_nothing(run: Run) -> None:
    """A failing sink is an error; no file is passed off as complete."""
    log: list[str] = []

    async def scenario() -> None:
        async for _ in encode(frames(3), call, [Sink(log, "a"), Sink(log, "b", refuse=1)]):
            pass

    with pytest.raises(SinkError, match="b is full"):
        run(scenario())
    assert log == ["a0", "b0", "a1"]
