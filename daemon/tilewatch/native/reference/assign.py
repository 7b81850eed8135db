"""What the assignment must do, in plain numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilewatch.records import I32


def assign(cost: NDArray[np.float64], limit: float) -> I32:
    """Return the column of each row, -1 for none, so that the sum of (limit - cost) over the pairs is largest.

    Shortest augmenting paths with potentials (Jonker and Volgenant 1987; Crouse 2016). Pairs that cost `limit` or more,
    or NaN, are not allowed; leaving a row alone is a private column that costs `limit`.
    """
    rows, columns = cost.shape
    full = np.full((rows, columns + rows), np.inf)
    full[:, :columns] = np.where(cost < limit, cost, np.inf)
    full[np.arange(rows), columns + np.arange(rows)] = limit
    of_row, of_column = np.zeros(rows), np.zeros(columns + rows)
    column, owner = np.full(rows, -1), np.full(columns + rows, -1)
    for start in range(rows):
        distance, path, done = np.full_like(of_column, np.inf), np.full_like(owner, -1), np.zeros(len(owner), bool)
        row, lowest = start, 0.0
        while True:
            reduced = lowest + full[row] - of_row[row] - of_column
            nearer = ~done & (reduced < distance)
            distance[nearer], path[nearer] = reduced[nearer], row
            end = int(np.argmin(np.where(done, np.inf, distance)))
            lowest = float(distance[end])
            if owner[end] < 0:
                break
            done[end], row = True, owner[end]
        of_row[start] += lowest
        of_row[owner[done]] += lowest - distance[done]
        of_column[done] -= lowest - distance[done]
        while end >= 0:
            row = owner[end] = path[end]
            column[row], end = end, column[row]
    return np.where(column < columns, column, -1).astype(np.int32)
