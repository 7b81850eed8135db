"""Tiles out of a frame's planes: cut, resized, converted to RGB and padded in one pass.

A tile at its own size gets the frame's luma as it is, and each chroma sample for its block of 2x2. One that is resized
is sampled bilinearly with half-pixel centres (as OpenCV's INTER_LINEAR), luma and chroma each at its own resolution and
clamped to the frame. Integer arithmetic, the same on every processor (`ext/tile_kernel.h`), within 1 of the exact value
in `reference.pixels`. Conversion: ITU-R BT.601-7, BT.709-6, BT.2020-2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tilewatch.native import COMPILED
from tilewatch.native.reference import pixels as reference
from tilewatch.records import LUMA_WEIGHTS

if TYPE_CHECKING:
    from tilewatch.records import I32, U8, Matrix

if COMPILED:
    from tilewatch.native import _pixels

FRACTION = 8192
"""Unit of the kernel's coefficients."""


def cut_tiles(  # noqa: PLR0913, PLR0917 the planes of a picture are three arrays
    y: U8, u: U8, v: U8, rects: I32, fitted: I32, out: U8, *, full_range: bool, matrix: Matrix, by_pixel: bool = False
) -> None:
    """Write T tiles of a frame into `out`; releases the GIL.

    Args:
        y: (H, W) uint8, any strides, read-only or not.
        u: (ceil(H/2), ceil(W/2)) uint8, any strides (NV12: every second byte).
        v: as `u`.
        rects: (T, 4) int32 x0 y0 x1 y1 inside the frame.
        fitted: (T, 2) int32 width and height of the rectangle in the input; what lies beyond is padding of 114.
        out: (T, S, S, 3) uint8 RGB, C-contiguous.
        full_range: True for 0-255, False for 16-235 and 16-240.
        matrix: the YCbCr matrix.
        by_pixel: compute every pixel by itself, as a GPU does; for tests.

    Raises:
        ValueError: shapes that do not fit each other, or a rectangle that leaves the frame.
    """
    _check(y, u, v, rects, fitted, out)
    if not len(rects):
        return
    if not COMPILED:
        reference.cut_tiles(y, u, v, rects, fitted, out, full_range=full_range, matrix=matrix)
        return
    terms = colour_terms(matrix, full_range=full_range)
    scratch = np.empty(4 * out.shape[1] + y.shape[1] + 2 * u.shape[1] + 3, np.int32)
    plain = (np.ascontiguousarray(rects, np.int32), np.ascontiguousarray(fitted, np.int32))
    _pixels.cut(y, u, v, *plain, terms, scratch, out, by_pixel)


def colour_terms(matrix: Matrix, *, full_range: bool) -> I32:
    """Return (6,) int32 black, luma, red of v, green of u, green of v, blue of u; all but the first times 8192.

    The terms of green are subtracted.
    """
    kr, kb = LUMA_WEIGHTS[matrix]
    kg = 1 - kr - kb
    luma, chroma = (1.0, 1.0) if full_range else (255 / 219, 255 / 224)
    red, blue = 2 * (1 - kr) * chroma, 2 * (1 - kb) * chroma
    factors = np.array([luma, red, blue * kb / kg, red * kr / kg, blue])
    return np.concatenate([[0 if full_range else 16], np.rint(FRACTION * factors)]).astype(np.int32)


def _check(y: U8, u: U8, v: U8, rects: I32, fitted: I32, out: U8) -> None:  # noqa: PLR0913, PLR0917 as cut_tiles
    height, width = y.shape
    half = ((height + 1) // 2, (width + 1) // 2)
    if u.shape != half or v.shape != half:
        raise ValueError(f"chroma {u.shape} and {v.shape} do not fit luma {y.shape}: both must be {half}")
    if out.ndim != 4 or out.shape[0] != len(rects) or out.shape[1] != out.shape[2] or out.shape[3] != 3:  # noqa: PLR2004
        raise ValueError(f"out {out.shape} does not fit {len(rects)} tiles: it must be (T, S, S, 3)")
    if rects.shape != (len(rects), 4) or fitted.shape != (len(rects), 2):
        raise ValueError(f"rects {rects.shape} and fitted {fitted.shape} must be (T, 4) and (T, 2)")
    if not len(rects):
        return
    inside = (rects[:, :2] >= 0).all() and (rects[:, 2] <= width).all() and (rects[:, 3] <= height).all()
    if not inside or not (rects[:, 2:] > rects[:, :2]).all():
        raise ValueError(f"a rectangle leaves the frame of {width}x{height}, or is empty")
    if not ((fitted >= 1) & (fitted <= out.shape[1])).all():
        raise ValueError(f"fitted sizes must lie between 1 and {out.shape[1]}")
