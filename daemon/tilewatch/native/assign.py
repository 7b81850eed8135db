"""Optimal assignment of rows to columns below a limit. The rule is in `reference.assign`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tilewatch.native import COMPILED
from tilewatch.native.reference import assign as reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilewatch.records import I32

if COMPILED:
    from tilewatch.native import _assign


def assign(cost: NDArray[np.float64], limit: float) -> I32:
    """Return (R,) int32, the column of each row or -1, for costs (R, C) float64.

    The sum of (limit - cost) over the matched pairs is the largest possible; pairs that cost `limit` or more, or NaN,
    are never matched. The GIL is released. Raises ValueError for a cost that is no matrix.
    """
    if cost.ndim != 2:  # noqa: PLR2004 -- rank
        raise ValueError(f"costs of shape {cost.shape}: rows and columns expected")
    if not COMPILED:
        return reference.assign(cost, limit)
    rows, columns = cost.shape
    allowed = cost < limit
    first = np.zeros(rows + 1, np.intc)
    np.cumsum(allowed.sum(axis=1), out=first[1:])
    column = np.nonzero(allowed)[1].astype(np.intc)
    matched = np.full(rows, -1, np.intc)
    ints, reals = np.empty(4 * columns + rows, np.intc), np.empty(rows + 2 * columns)
    _assign.assign(first, column, np.ascontiguousarray(cost[allowed], np.float64), limit, matched, ints, reals, columns)
    return matched
