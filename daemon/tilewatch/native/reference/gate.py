"""The rules of the measure of change, in numpy.

1. A block is 8x8 pixels of the frame, those at the right and bottom end may be smaller; its mean is in 1/64 levels.
2. The light of a tile is the median of its blocks' changes, in bins of 1/4 level: what all blocks share is no motion.
3. A block has changed when its change, less the light, is larger than `least`; the strength of a tile's change is the
   sum of what goes beyond that. The noise is the median of all changes less the light, in bins of 1/16 level.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilewatch.records import I32, I64, U8

    U16 = NDArray[np.uint16]

BLOCK = 8
UNIT = 64
LEVEL_SHIFT, NOISE_SHIFT = 4, 2
LAST_BIN = 2047


def block_means(y: U8) -> U16:
    """Return (R, C) uint16: rule 1."""
    height, width = y.shape
    tops, lefts = np.arange(0, height, BLOCK), np.arange(0, width, BLOCK)
    sums = np.add.reduceat(np.add.reduceat(y.astype(np.int64), tops, axis=0), lefts, axis=1)
    pixels = np.minimum(BLOCK, height - tops)[:, None] * np.minimum(BLOCK, width - lefts)
    means: U16 = ((sums * UNIT + pixels // 2) // pixels).astype(np.uint16)
    return means


def compare(now: U16, before: U16, start: I64, windows: I32, least: int) -> tuple[U8, I64]:
    """Return which blocks changed, tile after tile, and (T, 3) strength, blocks, noise: rules 2 and 3."""
    changed, found = np.zeros(int(start[-1]), np.uint8), np.zeros((len(windows), 3), np.int64)
    for t, (x0, y0, x1, y1) in enumerate(windows):
        then = before[start[t] : start[t + 1]].reshape(y1 - y0, x1 - x0)
        change = now[y0:y1, x0:x1].astype(np.int64) - then
        light = (_middle((change + 255 * UNIT + 8) >> LEVEL_SHIFT) << LEVEL_SHIFT) - 255 * UNIT
        size = np.abs(change - light).ravel()
        beyond = np.maximum(size - least, 0)
        changed[start[t] : start[t + 1]] = beyond > 0
        noise = _middle(np.minimum(size >> NOISE_SHIFT, LAST_BIN)) << NOISE_SHIFT
        found[t] = beyond.sum(), np.count_nonzero(beyond), noise
    return changed, found


def _middle(values: NDArray[np.int64]) -> int:
    """Return the smallest value that half of them do not exceed."""
    return int(np.sort(values, axis=None)[(values.size - 1) // 2])
