"""Tiles out of a frame's planes, exactly, in floating point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tilewatch.records import LUMA_WEIGHTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilewatch.records import I32, U8, Matrix

    F64 = NDArray[np.float64]

PADDING = 114


def cut_tiles(y: U8, u: U8, v: U8, rects: I32, fitted: I32, out: U8, *, full_range: bool, matrix: Matrix) -> None:
    """Write T tiles into `out`; see native.pixels.cut_tiles."""
    out[:] = PADDING
    for rect, (width, height), tile in zip(rects.tolist(), fitted.tolist(), out, strict=True):
        planes = (_sampled(plane, rect, width, height, step) for plane, step in ((y, 1), (u, 2), (v, 2)))
        tile[:height, :width] = _rgb(*planes, full_range=full_range, matrix=matrix)


def _sampled(plane: U8, rect: list[int], width: int, height: int, step: int) -> F64:
    """Return a plane's samples at the tile's pixels; `step` frame pixels a sample."""
    if (rect[2] - rect[0], rect[3] - rect[1]) == (width, height):
        rows, columns = np.arange(rect[1], rect[3]) // step, np.arange(rect[0], rect[2]) // step
        return plane[np.ix_(rows, columns)].astype(np.float64)
    down, across = (
        _taps(rect[1], rect[3], height, step, len(plane)),
        _taps(rect[0], rect[2], width, step, plane.shape[1]),
    )
    blended = plane[down[0]] * (1 - down[2])[:, None] + plane[down[1]] * down[2][:, None]
    sampled: F64 = blended[:, across[0]] * (1 - across[2]) + blended[:, across[1]] * across[2]
    return sampled


def _taps(start: int, end: int, count: int, step: int, limit: int) -> tuple[NDArray[np.int64], NDArray[np.int64], F64]:
    """Return for each pixel of an axis the two samples it lies between and the share of the second."""
    place = (start + (np.arange(count) + 0.5) * (end - start) / count) / step - 0.5
    place = np.clip(place, 0, limit - 1)
    first = np.minimum(np.floor(place).astype(np.int64), limit - 1)
    return first, np.minimum(first + 1, limit - 1), place - first


def _rgb(y: F64, u: F64, v: F64, *, full_range: bool, matrix: Matrix) -> U8:
    kr, kb = LUMA_WEIGHTS[matrix]
    cb, cr = u - 128, v - 128
    if not full_range:
        y, cb, cr = (y - 16) * 255 / 219, cb * 255 / 224, cr * 255 / 224
    red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    rgb: U8 = np.clip(np.rint(np.stack([red, green, blue], axis=-1)), 0, 255).astype(np.uint8)
    return rgb
