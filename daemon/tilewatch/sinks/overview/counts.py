"""How many objects there were over time, in bounded memory: time bins that grow wider as the video goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilewatch.records import I32

BINS = 512


class Series(NamedTuple):
    """Mean objects in a frame over time, for C classes and K equal spans."""

    seconds: float
    """Time all spans cover together."""
    means: dict[int, NDArray[np.float64]]
    """(K,) by label, the most frequent class first."""


class Counts:
    """Counts objects by class and time, from time 0 on."""

    def __init__(self, rate: float) -> None:
        self._width = 1 / rate if rate > 0 else 1.0
        self._frame_seconds = self._width
        self._end = 0.0
        self._frames = np.zeros(BINS)
        self._sums: dict[int, NDArray[np.float64]] = {}

    def add(self, seconds: float, labels: I32) -> None:
        """Take one frame's objects, `seconds` after the first frame."""
        moment = max(seconds, 0.0)
        self._end = max(self._end, moment + self._frame_seconds)
        while moment >= (BINS - 0.5) * self._width:
            self._widen()
        index = int(moment / self._width + 0.5)
        self._frames[index] += 1
        values, counts = np.unique(labels, return_counts=True)
        for label, count in zip(values.tolist(), counts.tolist(), strict=True):
            self._sums.setdefault(label, np.zeros(BINS))[index] += count

    def series(self, most: int) -> Series:
        """Return the means in at most `most` spans; a span without a frame repeats the one before it."""
        used = int(np.flatnonzero(self._frames)[-1]) + 1 if self._frames.any() else 1
        group = -(-used // most)
        frames = _grouped(self._frames[:used], group)
        held = np.maximum.accumulate(np.where(frames > 0, np.arange(len(frames)), 0))
        order = sorted(self._sums, key=lambda label: (-self._sums[label].sum(), label))
        means = {label: (_grouped(self._sums[label][:used], group) / np.maximum(frames, 1))[held] for label in order}
        return Series(max(self._end, self._frame_seconds), means)

    def _widen(self) -> None:
        """Join the bins two by two."""
        self._width *= 2
        self._frames = _halved(self._frames)
        self._sums = {label: _halved(sums) for label, sums in self._sums.items()}


def _halved(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums of neighbours, padded with zeros to the old length."""
    return np.concatenate([values[0::2] + values[1::2], np.zeros(BINS // 2)])


def _grouped(values: NDArray[np.float64], group: int) -> NDArray[np.float64]:
    """Return the sums of runs of `group` values."""
    return np.add.reduceat(values, np.arange(0, len(values), group))
