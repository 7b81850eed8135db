"""Arrays that are used again from call to call: for large ones, fresh memory takes longer than the work in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

LARGE = 2048
"""Rows from which keeping an array pays: below that, the allocator has one at hand."""


class Room:
    """Scratch arrays by name, for one caller at a time; what they hold lasts until the name is asked for again."""

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[Any]] = {}

    def __call__(self, name: str, count: int, dtype: DTypeLike, columns: tuple[int, ...] = ()) -> NDArray[Any]:
        """Return (count, *columns) values of any content, contiguous. A name always goes with the same dtype."""
        if count < LARGE:
            return np.empty((count, *columns), dtype)
        array = self._arrays.get(name)
        if array is None or len(array) < count or array.shape[1:] != columns:
            array = self._arrays[name] = np.empty((count + count // 4, *columns), dtype)
        return array[:count]
