"""Tiles out of the operator's own videos, as the pipeline would cut them, spread over their time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tilewatch.errors import InputError
from tilewatch.native import pixels
from tilewatch.stages.tile import plan
from tilewatch.video.source import VideoSource
from tilewatch.video.stills import stills

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tilewatch.records import U8, Frame, StreamInfo, Tiles
    from tilewatch.settings import Settings

MOST_OF_A_FRAME = 8
"""Tiles taken of one frame: more of them show the same light and the same scene."""


class Sample(NamedTuple):
    """A frame, and the tiles of it to look at."""

    frame: Frame
    tiles: Tiles

    def pixels(self, size: int) -> U8:
        """Return (T, S, S, 3) uint8 RGB, cut as a CPU engine cuts them."""
        frame, out = self.frame, np.empty((len(self.tiles), size, size, 3), np.uint8)
        pixels.cut_tiles(
            frame.y,
            frame.u,
            frame.v,
            self.tiles.rects,
            self.tiles.fitted,
            out,
            full_range=frame.full_range,
            matrix=frame.matrix,
        )
        return out


def samples(videos: Sequence[Path], settings: Settings, count: int) -> Iterator[Sample]:
    """Yield about `count` tiles, an equal share from every video; blocking.

    The same videos and settings give the same tiles.

    Raises:
        InputError: a video cannot be read, or nothing of it is watched (TILE_ROI, TILE_IGNORE).
    """
    share = math.ceil(count / max(1, len(videos)))
    for video in videos:
        yield from _of_video(_look_at(video, settings.limit.frame_pixels), settings, share)


def _look_at(path: Path, max_pixels: int) -> StreamInfo:
    source = VideoSource(path, max_pixels=max_pixels)
    try:
        return source.open()
    finally:
        source.close()


def _of_video(info: StreamInfo, settings: Settings, count: int) -> Iterator[Sample]:
    in_a_frame = min(MOST_OF_A_FRAME, len(plan(info.width, info.height, settings.tile).tiles))
    if not in_a_frame:
        raise InputError(f"{info.path}: TILE_ROI and TILE_IGNORE leave nothing of it to look at")
    frames = stills(info, math.ceil(count / in_a_frame), max_pixels=settings.limit.frame_pixels)
    for number, frame in enumerate(frames):
        yield _of_frame(frame, settings, number)


def _of_frame(frame: Frame, settings: Settings, number: int) -> Sample:
    """Return a frame with some of its tiles: evenly spread, and others from frame to frame."""
    tiles = plan(frame.width, frame.height, settings.tile).tiles
    taken = min(MOST_OF_A_FRAME, len(tiles))
    chosen = (number + np.arange(taken) * len(tiles) // taken) % len(tiles)
    return Sample(frame, tiles.take(np.sort(chosen)))
