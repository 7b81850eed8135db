"""Candidates picked out of the outputs of a CPU engine as they come.

A tile's raw output is megabytes, of which kilobytes count. Picked on the way out, a frame does not hold those of all
its tiles until it is tracked, and they are read while the cache has them instead of being copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tilewatch.engines.cuda.layout import ANCHOR, LABEL, ROW, SCORE
from tilewatch.engines.tensorrt.candidates import PickedHead

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.engines.heads import Head
    from tilewatch.native.heads import Candidates
    from tilewatch.records import F32


class Picker:
    """Picks what a settled head finds in the outputs of a submit.

    Args:
        head: of the engine.
        floor: lowest score that counts; no reader asks below.
    """

    def __init__(self, head: Head, floor: float) -> None:
        self.head = PickedHead(head)
        """Reads what was picked."""
        self._inner = head
        self._floor = floor

    def set_floor(self, score: float) -> None:
        """Pick what has at least this score from the next submit on; from any thread."""
        self._floor = score

    def __call__(self, outputs: Sequence[F32]) -> tuple[F32, ...]:
        """Return (B, K, 8) rows of a submit's (B, ...) outputs, K the most candidates of a tile."""
        return (rows_of(self._inner.decode(outputs, self._floor), len(outputs[0])),)


def rows_of(found: Candidates, tiles: int) -> F32:
    """Return (tiles, K, 8) rows as `PickedHead` reads them, zeros where a tile has fewer; they keep their order."""
    counts = np.bincount(found.tile, minlength=tiles)
    first = np.cumsum(counts) - counts
    place = np.arange(len(found.tile)) - first[found.tile]
    rows: F32 = np.zeros((tiles, int(counts.max()), ROW), np.float32)
    rows[found.tile, place, :4] = found.xyxy
    rows[found.tile, place, SCORE] = found.score
    rows[found.tile, place, LABEL] = found.label
    rows[found.tile, place, ANCHOR] = place
    return rows
