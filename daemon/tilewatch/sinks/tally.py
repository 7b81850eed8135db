"""Sums over a whole stream that the manifest and the overview both report: distinct tracks, peaks, boxes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from tilewatch.records import BoxCount

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tilewatch.records import I64, Bool, Tracks


class Tally:
    """Counts what was reported; its memory grows by one byte for every track, not for every frame.

    A track belongs to the class it was first reported with.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.objects = 0
        """Boxes reported, over all frames."""
        self.boxes = BoxCount()
        """Sum of the frames' box accounts."""
        self.tracks: dict[int, int] = {}
        """Distinct tracks by label; empty when tracking is off."""
        self.totals: dict[int, int] = {}
        """Boxes reported by label."""
        self.tiles: Counter[str] = Counter()
        """Tiles by what was done: inferred, reused, outside_roi."""
        self.peak: dict[int, int] = {}
        """Most objects of a label in one frame."""
        self.peak_objects = 0
        """Most objects of all labels in one frame."""
        self._seen = np.zeros(1024, bool)

    def add(self, tracks: Tracks) -> Mapping[int, int]:
        """Count one frame's result and return the tracks in it that are reported for the first time, by label."""
        self.frames += 1
        self.objects += len(tracks)
        self.boxes += tracks.count
        self.tiles.update(tracks.looks.outcomes())
        self.peak_objects = max(self.peak_objects, len(tracks))
        for label, count in _counts(tracks.label).items():
            self.totals[label] = self.totals.get(label, 0) + count
            self.peak[label] = max(self.peak.get(label, 0), count)
        begun = _counts(tracks.label[self._new(tracks.track_id)])
        for label, count in begun.items():
            self.tracks[label] = self.tracks.get(label, 0) + count
        return begun

    @property
    def track_count(self) -> int:
        """Distinct tracks of all classes."""
        return sum(self.tracks.values())

    def _new(self, ids: I64) -> Bool:
        """Return which ids are reported for the first time, and remember them; id 0 never counts."""
        highest = int(ids.max(initial=0))
        if highest >= len(self._seen):
            self._seen = np.concatenate([self._seen, np.zeros(highest + 1, bool)])
        new: Bool = (ids > 0) & ~self._seen[ids]
        self._seen[ids] = True
        return new


def _counts(labels: np.ndarray[tuple[int], np.dtype[np.int32]]) -> Mapping[int, int]:
    """Return how often each label occurs."""
    return Counter(labels.tolist())
