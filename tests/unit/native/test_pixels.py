"""Cutting tiles: right colours, right places, whatever the planes look like in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewatch.native import pixels
from tilewatch.native.pixels import cut_tiles
from tilewatch.native.reference import pixels as reference
from tilewatch.records import LUMA_WEIGHTS
from tilewatch.sinks.palette import to_yuv

if TYPE_CHECKING:
    from tilewatch.records import U8, Matrix

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "white": (255,) * 3,
    "black": (0,) * 3,
    "grey": (128,) * 3,
}


def cut(planes: tuple[U8, U8, U8], rect: list[int], fitted: list[int], size: int, **options: object) -> U8:
    """Cut one tile."""
    out: U8 = np.zeros((1, size, size, 3), np.uint8)
    arguments = {"full_range": False, "matrix": "bt601"} | options
    cut_tiles(*planes, np.array([rect], np.int32), np.array([fitted], np.int32), out, **arguments)  # type: ignore[arg-type]
    tile: U8 = out[0]
    return tile


def flat(y: int, u: int, v: int, size: int = 32) -> tuple[U8, U8, U8]:
    """Return the planes of one colour."""
    half = (size // 2, size // 2)
    return np.full((size, size), y, np.uint8), np.full(half, u, np.uint8), np.full(half, v, np.uint8)


@pytest.mark.parametrize("matrix", LUMA_WEIGHTS)
@pytest.mark.parametrize("full_range", [True, False])
@pytest.mark.parametrize("name", COLOURS)
def test_known_colours_come_out_right(matrix: Matrix, full_range: bool, name: str) -> None:
    """Pure colours in every matrix and range, to within the rounding of 8-bit YUV."""
    planes = flat(*to_yuv(COLOURS[name], matrix, full_range=full_range))
    tile = cut(planes, [0, 0, 32, 32], [32, 32], 32, full_range=full_range, matrix=matrix)
    assert np.abs(tile.astype(int) - COLOURS[name]).max() <= 2


def test_tile_lies_at_the_top_left_and_the_rest_is_padding() -> None:
    """What the frame does not fill is grey 114."""
    tile = cut(flat(235, 128, 128), [0, 0, 20, 10], [20, 10], 32)
    assert (tile[:10, :20] == 255).all()
    assert (tile[10:] == 114).all()
    assert (tile[:, 20:] == 114).all()


def test_every_luma_pixel_is_copied_to_its_place() -> None:
    """At its own size a tile is the frame's pixels, also from an odd corner."""
    y = np.arange(40 * 60, dtype=np.uint64).reshape(40, 60).astype(np.uint8) % 200 + 20
    planes = (y.astype(np.uint8), *(np.full((20, 30), 128, np.uint8),) * 2)
    tile = cut(planes, [7, 3, 39, 35], [32, 32], 32, full_range=True)
    assert np.array_equal(tile[..., 1], y[3:35, 7:39])


VIEWS = {
    "rows padded": lambda rng, h, w, pad: rng.integers(0, 256, (h, w + pad), np.uint8)[:, :w],
    "mirrored": lambda rng, h, w, pad: rng.integers(0, 256, (h, w + pad), np.uint8)[::-1, :w][:, ::-1],
    "transposed": lambda rng, h, w, pad: rng.integers(0, 256, (w, h + pad), np.uint8)[:, :h].T,
    "every second": lambda rng, h, w, pad: rng.integers(0, 256, (h, w + pad, 2), np.uint8)[:, :w, 1],
}
"""Ways in which a plane may lie in memory."""

planes_shape = st.tuples(st.integers(1, 70), st.integers(1, 70))


@given(
    shape=planes_shape,
    seed=st.integers(0, 2**31),
    data=st.data(),
    matrix=st.sampled_from(list(LUMA_WEIGHTS)),
    full_range=st.booleans(),
    view=st.sampled_from(list(VIEWS)),
    nv12=st.booleans(),
    padding=st.integers(0, 17),
)
def test_compiled_is_within_one_of_the_exact_value(
    shape: tuple[int, int],
    seed: int,
    data: st.DataObject,
    matrix: Matrix,
    full_range: bool,
    view: str,
    nv12: bool,
    padding: int,
) -> None:
    """Odd sizes, any strides, NV12, read-only planes, any scale: within 1; pixel by pixel: the same bytes."""
    rng = np.random.default_rng(seed)
    height, width = shape
    half = (height + 1) // 2, (width + 1) // 2
    y = VIEWS[view](rng, height, width, padding)
    if nv12:
        both = rng.integers(0, 256, (half[0], half[1] + padding, 2), np.uint8)[:, : half[1]]
        u, v = both[..., 0], both[..., 1]
    else:
        u, v = (VIEWS[view](rng, *half, padding) for _ in range(2))
    for plane in (y, u, v):
        plane.flags.writeable = False
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
    same = data.draw(st.booleans())
    fitted = [x1 - x0, y1 - y0] if same else [data.draw(st.integers(1, 72)) for _ in range(2)]
    size = max(*fitted, data.draw(st.integers(1, 80)))
    rects, fits = np.array([[x0, y0, x1, y1]], np.int32), np.array([fitted], np.int32)
    ours, single, exact = (np.zeros((1, size, size, 3), np.uint8) for _ in range(3))
    cut_tiles(y, u, v, rects, fits, ours, full_range=full_range, matrix=matrix)
    cut_tiles(y, u, v, rects, fits, single, full_range=full_range, matrix=matrix, by_pixel=True)
    reference.cut_tiles(y, u, v, rects, fits, exact, full_range=full_range, matrix=matrix)
    assert np.abs(ours.astype(int) - exact).max() <= 1
    assert np.array_equal(ours, single)


@pytest.mark.parametrize(
    ("rect", "fitted"),
    [
        ([0, 0, 33, 10], [10, 10]),
        ([-1, 0, 10, 10], [10, 10]),
        ([5, 5, 5, 9], [1, 1]),
        ([0, 0, 9, 9], [33, 9]),
        ([0, 0, 9, 9], [0, 9]),
    ],
)
def test_rectangle_outside_the_frame_is_refused(rect: list[int], fitted: list[int]) -> None:
    """Never a read beyond the planes or a write beyond the tile."""
    with pytest.raises(ValueError, match=r"leaves the frame|must lie between"):
        cut(flat(16, 128, 128), rect, fitted, 32)


def test_compiled_core_is_really_loaded() -> None:
    """The compiled half of these tests runs compiled code."""
    assert pixels.COMPILED
    assert str(pixels._pixels.__file__).endswith(".so")  # noqa: SLF001
