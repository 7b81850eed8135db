"""Kernel of ext/assign.pyx. The caller owns every array; no GIL is held."""

import numpy as np
from numpy.typing import NDArray

from tilewatch.records import I32

def assign(
    first: I32,
    column: I32,
    cost: NDArray[np.float64],
    limit: float,
    row_to_col: I32,
    ints: I32,
    reals: NDArray[np.float64],
    cols: int,
) -> None:
    """Write the column of each row, or -1, to `row_to_col` (R,).

    The allowed pairs of row r are `column` and `cost` from `first[r]` to `first[r + 1]`. Scratch: `ints`
    (4 * cols + R,), `reals` (R + 2 * cols,).
    """
