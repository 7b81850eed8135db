"""The tracker's motion filter over a table of tracks. The rules are in `reference.kalman`.

A table is (N, 20) float64, contiguous: four numbers each of position, velocity, Ppp, Ppv and Pvv. Boxes are (N, 4)
float64 left top right bottom, any unit of length. `aspect` takes cx, cy, w/h, h as coordinates instead of cx, cy, w, h.
The GIL is released. Raises ValueError for tables and boxes that do not fit together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tilewatch.native import COMPILED
from tilewatch.native.reference import kalman as reference

if TYPE_CHECKING:
    from tilewatch.native.reference.kalman import F64
    from tilewatch.records import Bool

if COMPILED:
    from tilewatch.native import _kalman

SIZE = 20
"""Numbers of one track."""


def start(boxes: F64, *, aspect: bool) -> F64:
    """Return the table of tracks that rest at boxes."""
    _check(len(boxes), boxes, 4)
    if not COMPILED:
        return reference.start(boxes, aspect=aspect)
    table = np.empty((len(boxes), SIZE))
    _kalman.start(table, np.ascontiguousarray(boxes), aspect)
    return table


def predict(table: F64, steps: float, moving: Bool, *, aspect: bool) -> None:
    """Go on by `steps` (any number above 0) in place; tracks not `moving` (N,) stop growing first."""
    _check(len(moving), table, SIZE)
    if COMPILED:
        _kalman.predict(table, steps, np.ascontiguousarray(moving, np.bool_).view(np.uint8), aspect)
    else:
        reference.predict(table, steps, moving, aspect=aspect)


def correct(table: F64, boxes: F64, *, aspect: bool) -> None:
    """Take in a measured box for each track, in place."""
    _check(len(table), boxes, 4)
    _check(len(boxes), table, SIZE)
    if COMPILED:
        _kalman.correct(table, np.ascontiguousarray(boxes), aspect)
    else:
        reference.correct(table, boxes, aspect=aspect)


def bounds(table: F64, *, aspect: bool) -> F64:
    """Return the boxes of the tracks."""
    _check(len(table), table, SIZE)
    if not COMPILED:
        return reference.bounds(table, aspect=aspect)
    boxes = np.empty((len(table), 4))
    _kalman.bounds(table, boxes, aspect)
    return boxes


def _check(count: int, array: F64, width: int) -> None:
    """Refuse arrays a kernel would read beyond."""
    if array.shape != (count, width):
        raise ValueError(f"array of shape {array.shape}: ({count}, {width}) expected")
