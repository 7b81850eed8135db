"""The motion gate: which tiles of a frame are inferred, and why.

A tile is inferred when its pixels changed, when a track in it is young, moving or just lost, or when its refresh
interval has passed; else its last detections stand. The decisions depend on the frames and on the tracks of a fixed
number of frames before, never on how fast anything runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tilewatch.motion.change import ChangeMeter
from tilewatch.motion.watch import TrackWatch
from tilewatch.records import STILL

if TYPE_CHECKING:
    from tilewatch.records import F32, Bool, Frame, Tiles, Tracks
    from tilewatch.settings import TileSettings

LAG_FRAMES = 4
"""The gate knows the tracks of so many frames before: enough to keep a device busy, few enough to be news."""

FIRST, CAMERA, CHANGED, TRACK, REFRESH = "first", "camera", "changed", "track", "refresh"
"""Why a tile is inferred."""
SHOWN = 0.25
"""Share of a track's box that a tile must show to be kept awake by it."""


class Choice(NamedTuple):
    """What is to be done about T tiles."""

    reasons: tuple[str, ...]
    """(T,) why each is inferred, or STILL."""
    moved: Bool
    """(ceil(H/8), ceil(W/8)) bool: blocks of 8x8 pixels that changed since a still tile showing them was inferred."""


class MotionGate:
    """The gate of one stream."""

    def __init__(self, settings: TileSettings) -> None:
        self._levels = settings.gate_levels
        self._every = settings.refresh_seconds
        self._tiles: Tiles | None = None

    def restart(self) -> None:
        """Forget everything: the next frame is looked at whole, as if it were the first."""
        self._tiles = None

    def choose(self, frame: Frame, tiles: Tiles, tracks: Tracks | None) -> Choice:
        """Return what is to be done about each tile.

        Args:
            frame: the next frame.
            tiles: its tiles; the same object as long as they stay the same.
            tracks: what is known of the frame LAG_FRAMES before; None where that is nothing.
        """
        if tiles is not self._tiles:
            self._begin(frame, tiles)
        enough = self._meter.look(frame)
        if tracks is not None:
            self._watch.take(tracks)
        due = frame.seconds >= self._due
        reasons = np.full(len(tiles), STILL, object)
        reasons[due] = REFRESH
        if enough is None:
            reasons[:] = CAMERA if self._started else FIRST
        else:
            reasons[_shows(tiles, self._watch.areas())] = TRACK
            reasons[enough] = CHANGED
        self._note(frame, reasons != STILL)
        return Choice(tuple(reasons.tolist()), self._meter.moved(reasons == STILL))

    def _begin(self, frame: Frame, tiles: Tiles) -> None:
        """Start with these tiles; their first refreshes are spread over the interval."""
        self._tiles, self._started = tiles, False
        self._meter, self._watch = ChangeMeter(tiles, frame, self._levels), TrackWatch()
        self._due = frame.seconds + self._every * (1 + np.arange(len(tiles))) / max(len(tiles), 1)

    def _note(self, frame: Frame, awake: Bool) -> None:
        self._meter.take(awake)
        if self._started:
            self._due[awake] = frame.seconds + self._every
        self._started = True


def _shows(tiles: Tiles, boxes: F32) -> Bool:
    """Return (T,) bool: the tiles of the grid that show a good part of a box."""
    low = np.maximum(tiles.rects[:, None, :2], boxes[None, :, :2])
    high = np.minimum(tiles.rects[:, None, 2:], boxes[None, :, 2:])
    shown = np.maximum(high - low, 0).prod(axis=2)
    seen: Bool = (shown >= SHOWN * (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)).any(axis=1)
    return seen if tiles.full_frame.all() else seen & ~tiles.full_frame
