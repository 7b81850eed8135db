"""Where the objects went, in bounded memory: few points a track, and few tracks."""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tilewatch.records import F32, Tracks

POINTS = 128
"""Points held of one track; beyond them every second one is dropped, again and again."""
KEPT = 1000
"""Tracks that survive a pruning; at most twice as many are held."""


def foot_points(tracks: Tracks) -> F32:
    """Return where the objects stand: (N, 2) float32, fractions of the frame's width and height."""
    size = np.array([tracks.frame.width, tracks.frame.height], np.float32)
    boxes = tracks.xyxy
    feet: F32 = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], axis=1).astype(np.float32)
    feet /= size
    return feet


class Trail:
    """The way of one track, as fractions of the frame's width and height."""

    __slots__ = ("_stride", "last_frame", "last_x", "last_y", "seen", "track_id", "xs", "ys")

    def __init__(self, track_id: int) -> None:
        self.track_id = track_id
        self.xs = array("f")
        self.ys = array("f")
        self.seen = 0
        """Frames in which the track was reported."""
        self.last_frame = -1
        self.last_x = 0.0
        self.last_y = 0.0
        self._stride = 1

    def extend(self, x: float, y: float, frame: int) -> None:
        """Add the next foot point."""
        self.last_x, self.last_y, self.last_frame = x, y, frame
        if self.seen % self._stride == 0:
            self.xs.append(x)
            self.ys.append(y)
        self.seen += 1
        if len(self.xs) >= POINTS:
            self.xs, self.ys = self.xs[::2], self.ys[::2]
            self._stride *= 2

    @property
    def extent(self) -> float:
        """Diagonal of the area the track covered, in units of the frame's sides."""
        return math.hypot(max(self.xs) - min(self.xs), max(self.ys) - min(self.ys))

    def points(self) -> F32:
        """Return the way from the first to the last foot point, (K, 2) float32, K >= 1."""
        way = np.column_stack([self.xs, self.ys])
        end = np.array([[self.last_x, self.last_y]], np.float32)
        return way if len(way) and np.array_equal(way[-1], end[0]) else np.concatenate([way, end])


class Trails:
    """The ways of all tracks that are long enough to be worth it."""

    def __init__(self) -> None:
        self._trails: dict[int, Trail] = {}

    def __len__(self) -> int:
        """Return how many are held."""
        return len(self._trails)

    def add(self, tracks: Tracks) -> None:
        """Take one frame's objects."""
        frame = tracks.frame.index
        for track_id, (x, y) in zip(tracks.track_id.tolist(), foot_points(tracks).tolist(), strict=True):
            trail = self._trails.get(track_id)
            if trail is None:
                trail = self._trails[track_id] = Trail(track_id)
            trail.extend(x, y, frame)
        if len(self._trails) > 2 * KEPT:
            self._prune(frame)

    def longest(self) -> list[Trail]:
        """Return the trails, those that cover the largest area first; ties go by track id."""
        return sorted(self._trails.values(), key=lambda trail: (-trail.extent, trail.track_id))

    def _prune(self, frame: int) -> None:
        """Keep what is alive in this frame, then what reached farthest."""
        ranked: Iterable[Trail] = sorted(self.longest(), key=lambda trail: trail.last_frame != frame)
        self._trails = {trail.track_id: trail for trail in list(ranked)[:KEPT]}
