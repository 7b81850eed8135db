"""Where objects stood how often, on a fixed grid: the picture of a video without tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tilewatch.sinks.overview.trails import foot_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilewatch.records import Tracks

GRID = 192
"""Cells along each side of the frame."""


class Heat:
    """Counts foot points by cell."""

    def __init__(self) -> None:
        self.cells: NDArray[np.int64] = np.zeros((GRID, GRID), np.int64)
        """(GRID, GRID) rows from the top, columns from the left."""

    def add(self, tracks: Tracks) -> None:
        """Take one frame's objects."""
        column, row = np.clip(foot_points(tracks) * GRID, 0, GRID - 1).astype(np.intp).T
        np.add.at(self.cells, (row, column), 1)
