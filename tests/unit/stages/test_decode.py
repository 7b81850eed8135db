"""The decode stage: every frame read is yielded, damage is told and passed over, an empty source is an error."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.records import make_frame
from tilewatch.errors import FrameError, InputError
from tilewatch.stages.decode import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from tilewatch.records import Frame

    Run = Callable[[Coroutine[Any, Any, Any]], Any]


class ScriptedSource:
    """Gives frames, and an error for every None in the script."""

    name = "clip.mp4"

    def __init__(self, script: Sequence[int | None], *, stop: asyncio.Event | None = None, stop_at: int = -1) -> None:
        self.decoded = 0
        self._script = list(script)
        self._stop = stop
        self._stop_at = stop_at

    def read(self) -> Frame | None:
        """Return the next frame of the script."""
        if not self._script:
            return None
        index = self._script.pop(0)
        if index is None:
            raise FrameError("clip.mp4: the picture at 1.0 s is damaged")
        if self._stop is not None and index == self._stop_at:
            self._stop.set()
        self.decoded += 1
        return make_frame(index)


async def on_the_spot(function: Callable[..., Any], *args: object) -> Any:
    """Stand in for a lane."""
    return function(*args)


async def collected(
    source: ScriptedSource, *, max_frames: int | None = None, stop: asyncio.Event | None = None
) -> tuple[list[int], list[str]]:
    """Return the indices that came and the damage that was told."""
    told: list[str] = []
    frames = decode(
        source,
        on_the_spot,
        max_frames=max_frames,
        stop=stop or asyncio.Event(),
        on_damaged=lambda error: told.append(str(error)),
    )
    return [frame.index async for frame in frames], told


def test_damaged_frames_are_told_and_passed_over(run: Run) -> None:
    """A FrameError costs one frame, wherever it stands."""
    indices, told = run(collected(ScriptedSource([None, 0, None, None, 1, None])))
    assert indices == [0, 1]
    assert len(told) == 4


def test_no_more_frames_are_read_than_asked_for(run: Run) -> None:
    """max_frames bounds what is read, so that the accounts balance."""
    source = ScriptedSource(range(10))
    assert run(collected(source, max_frames=3)) == ([0, 1, 2], [])
    assert source.decoded == 3


def test_frame_read_while_the_stop_comes_is_still_yielded(run: Run) -> None:
    """What was decoded is delivered; nothing more is read."""

    async def scenario() -> tuple[list[int], int]:
        stop = asyncio.Event()
        source = ScriptedSource(range(10), stop=stop, stop_at=2)
        indices, _ = await collected(source, stop=stop)
        return indices, source.decoded

    assert run(scenario()) == ([0, 1, 2], 3)


def test_stop_before_the_first_frame_is_no_error(run: Run) -> None:
    """A stop is not the file's fault."""

    async def scenario() -> tuple[list[int], list[str]]:
        stop = asyncio.Event()
        stop.set()
        return await collected(ScriptedSource([0]), stop=stop)

    assert run(scenario()) == ([], [])


@pytest.mark.parametrize("script", [[], [None, None]])
def test_source_without_a_single_frame_is_an_error(run: Run, script: list[int | None]) -> None:
    """Never an empty success."""
    with pytest.raises(InputError, match=r"clip\.mp4 holds no frame"):
        run(collected(ScriptedSource(script)))
