"""Kernels of ext/kalman.pyx over a table (N, 20) float64. The caller owns every array; no GIL is held."""

from tilewatch.native.reference.kalman import F64
from tilewatch.records import U8

def start(table: F64, boxes: F64, aspect: bool) -> None:
    """Write tracks that rest at boxes (N, 4)."""

def predict(table: F64, steps: float, moving: U8, aspect: bool) -> None:
    """Go on by a number of steps in place; `moving` (N,) is 0 for tracks that have stopped growing."""

def correct(table: F64, boxes: F64, aspect: bool) -> None:
    """Take in a measured box for each track, in place."""

def bounds(table: F64, boxes: F64, aspect: bool) -> None:
    """Write left top right bottom of each track to boxes (N, 4)."""
