"""The decode stage: every frame read is yielded, damage is skipped, an end is an end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.records import make_frame
from tilewatch.errors import FrameError, InputError
from tilewatch.stages.decode import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tilewatch.records import Frame

    Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Scripted:
    """A source that gives what the test says: frames, errors, then the end."""

    path = Path("clip.mp4")

    def __init__(self, *script: Frame | FrameError, at_read: Callable[[int], None] = lambda _: None) -> None:
        self._script = list(script)
        self._at_read = at_read
        self.reads = 0

    def read(self) -> Frame | None:
        """Give the next item."""
        self.reads += 1
        self._at_read(self.reads)
        item = self._script.pop(0) if self._script else None
        if isinstance(item, FrameError):
            raise item
        return item


async def call(function: Callable[[], Any]) -> Any:
    """Run a function where it is, as a lane would on its thread."""
    await asyncio.sleep(0)
    return function()


async def indices(source: Scripted, stop: asyncio.Event, skipped: list[str], most: int | None = None) -> list[int]:
    """Return the indices of the frames that come out."""
    frames = decode(source, call, max_frames=most, stop=stop, on_damaged=lambda error: skipped.append(str(error)))
    return [frame.index async for frame in frames]


def test_damaged_frames_are_reported_and_the_rest_comes_in_order(run: Run) -> None:
    """A damaged frame costs itself."""
    source = Scripted(make_frame(0), FrameError("bad"), make_frame(1), FrameError("worse"))
    skipped: list[str] = []

    async def scenario() -> list[int]:
        return await indices(source, asyncio.Event(), skipped)

    assert run(scenario()) == [0, 1]
    assert skipped == ["bad", "worse"]


def test_no_more_is_read_than_was_asked_for(run: Run) -> None:
    """--max-frames 2 reads two frames."""
    source = Scripted(*(make_frame(k) for k in range(5)))

    async def scenario() -> list[int]:
        return await indices(source, asyncio.Event(), [], 2)

    assert run(scenario()) == [0, 1]
    assert source.reads == 2


def test_frame_being_read_when_the_stop_comes_is_not_lost(run: Run) -> None:
    """Drain: what was read is yielded, nothing more is read."""

    async def scenario() -> list[int]:
        stop = asyncio.Event()
        source = Scripted(*(make_frame(k) for k in range(5)), at_read=lambda count: stop.set() if count == 2 else None)
        return await indices(source, stop, [])

    assert run(scenario()) == [0, 1]


def test_source_without_a_single_frame_is_a_failure(run: Run) -> None:
    """Never an empty success, except when the stop came first."""

    async def scenario(*, stopped: bool) -> list[int]:
        stop = asyncio.Event()
        if stopped:
            stop.set()
        return await indices(Scripted(FrameError("bad")), stop, [])

    with pytest.raises(InputError, match=r"clip\.mp4 holds no frame that can be decoded"):
        run(scenario(stopped=False))
    assert run(scenario(stopped=True)) == []
