"""Drawing on planes: inside the picture, the right amount, the same as the twin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewatch.native import draw
from tilewatch.native.draw import Text
from tilewatch.native.reference import draw as reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tilewatch.records import U8

    Planes = tuple[U8, U8, U8]


def blank(height: int, width: int, padding: int = 0) -> Planes:
    """Return grey planes whose rows may be followed by bytes that nobody may touch."""
    half = (height + 1) // 2, (width + 1) // 2
    shapes = [(height, width), half, half]
    return tuple(np.full((h, w + padding), 100 + k, np.uint8)[:, :w] for k, (h, w) in enumerate(shapes))  # type: ignore[return-value]


def colours(count: int) -> U8:
    """Return so many colours."""
    return np.array([[200, 30 + k, 220 - k] for k in range(count)], np.uint8).reshape(-1, 3)


def text(atlas: U8, places: NDArray[np.int32]) -> Text:
    """Return one glyph of an atlas a text."""
    count = len(places)
    glyphs = np.arange(count, dtype=np.int32) % len(atlas)
    return Text(
        atlas,
        draw.ink_boxes(atlas),
        np.arange(count + 1, dtype=np.int32),
        glyphs,
        np.ascontiguousarray(places),
        colours(count) + 9,
    )


def test_later_label_covers_an_earlier_one_text_and_all() -> None:
    """Where labels overlap, the top one reads."""
    planes = blank(12, 20)
    rects = np.array([[0, 0, 12, 10], [4, 0, 16, 10]])
    whole = Text(
        np.full((1, 10, 12), 255, np.uint8),
        np.array([[0, 0, 12, 10]], np.int32),
        np.array([0, 1, 1], np.int32),
        np.zeros(1, np.int32),
        np.zeros((1, 2), np.int32),
        np.array([[0, 128, 128]] * 2, np.uint8),
    )
    draw.label(planes, rects, colours(2), whole)
    assert (planes[0][:10, :4] == 0).all()
    assert (planes[0][:10, 4:16] == 200).all()


def test_rectangle_covers_exactly_its_pixels() -> None:
    """Right and bottom are exclusive; chroma changes where luma does."""
    y, u, v = blank(20, 30)
    draw.fill((y, u, v), np.array([[4, 6, 10, 12]]), colours(1))
    assert (y[6:12, 4:10] == 200).all()
    assert (y == 200).sum() == 36
    assert (u[3:6, 2:5] == 30).all()
    assert (u != 101).sum() == 9


def test_outline_leaves_the_inside_alone() -> None:
    """A box is its border, drawn once."""
    y, u, v = blank(40, 40)
    draw.outline((y, u, v), np.array([[10, 10, 30, 30]]), colours(1), thickness=2)
    assert (y == 200).sum() == 20 * 20 - 16 * 16
    assert (y[12:28, 12:28] == 100).all()


def test_half_transparent_rectangle_is_half_mixed() -> None:
    """An alpha of 128 lies half way."""
    y, u, v = blank(10, 10)
    draw.fill((y, u, v), np.array([[0, 0, 10, 10]]), colours(1), alpha=128)
    assert set(np.unique(y)) == {150}


@pytest.mark.parametrize(
    "values", [[np.nan, 0, 5, 5], [-1e30, -1e30, 1e30, 1e30], [np.inf, 0, 9, 9], [50, 50, 60, 60], [8, 8, 2, 2]]
)
def test_any_coordinate_is_safe(values: list[float]) -> None:
    """Not a number, infinitely far, outside, upside down: nothing beyond the picture is touched."""
    whole = np.full((16, 32), 7, np.uint8)
    planes = (whole[:11, :13], np.full((6, 7), 1, np.uint8), np.full((6, 7), 1, np.uint8))
    rows = np.array([values])
    draw.fill(planes, rows, colours(1))
    draw.outline(planes, rows, colours(1), thickness=3)
    draw.stroke(planes, rows.astype(np.float32), colours(1), radius=2)
    near = np.clip(np.nan_to_num(rows[:, :2]), -99, 99).astype(np.int32)
    draw.label(planes, rows, colours(1), text(np.full((1, 4, 4), 255, np.uint8), near))
    assert (whole[11:] == 7).all()
    assert (whole[:, 13:] == 7).all()


def test_nothing_to_draw_changes_nothing() -> None:
    """N = 0 is an ordinary case."""
    planes = blank(9, 9)
    draw.fill(planes, np.zeros((0, 4)), colours(0))
    draw.outline(planes, np.zeros((0, 4)), colours(0), thickness=2)
    draw.stroke(planes, np.zeros((0, 4), np.float32), colours(0), radius=1)
    draw.label(planes, np.zeros((0, 4)), colours(0), text(np.zeros((1, 3, 3), np.uint8), np.zeros((0, 2), np.int32)))
    assert all(np.array_equal(a, b) for a, b in zip(planes, blank(9, 9), strict=True))


def test_arrays_that_do_not_fit_are_refused() -> None:
    """Too few colours, chroma of another size, glyphs the atlas does not have: never a read beyond the end."""
    planes, rects = blank(9, 9), np.zeros((3, 4))
    glyph = text(np.zeros((1, 3, 3), np.uint8), np.zeros((3, 2), np.int32))
    attempts: list[Callable[[], None]] = [
        lambda: draw.fill(planes, rects, colours(1)),
        lambda: draw.outline(planes, rects, colours(2), thickness=1),
        lambda: draw.stroke(planes, rects.astype(np.float32), colours(4), radius=1),
        lambda: draw.fill((planes[0], planes[1][:2], planes[2]), rects, colours(3)),
        lambda: draw.label(planes, rects, colours(3), glyph._replace(glyphs=np.array([0, 1, 0], np.int32))),
        lambda: draw.label(planes, rects, colours(3), glyph._replace(first=np.array([0, 1, 2, 9], np.int32))),
        lambda: draw.label(planes, rects, colours(3), glyph._replace(inks=colours(2))),
        lambda: draw.label(planes, rects, colours(3), glyph._replace(boxes=np.array([[0, 0, 4, 3]], np.int32))),
        lambda: draw.label(planes, rects, colours(3), glyph._replace(boxes=np.zeros((2, 4), np.int32))),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError, match="fit"):
            attempt()


@pytest.mark.parametrize("view", [np.s_[:, ::2], np.s_[:, 9::-1]])
def test_plane_whose_rows_are_not_contiguous_is_refused(view: tuple[slice, slice]) -> None:
    """A row is drawn on as one run of bytes: in a mirrored or thinned view that would be somebody else's."""
    whole = np.full((10, 20), 7, np.uint8)
    with pytest.raises(ValueError, match="not contiguous"):
        draw.fill((whole[view], *blank(10, 10)[1:]), np.array([[0, 0, 9, 9]]), colours(1))
    assert (whole == 7).all()


def test_ink_boxes_enclose_exactly_what_is_not_empty() -> None:
    """Only that part of a glyph's cell is drawn."""
    masks = np.zeros((3, 6, 8), np.uint8)
    masks[0, 1:4, 2:7] = 1
    masks[2, 5, 0] = 255
    assert draw.ink_boxes(masks).tolist() == [[2, 1, 7, 4], [0, 0, 0, 0], [0, 5, 1, 6]]


coordinate = st.integers(-12, 50)
rows = st.lists(st.tuples(coordinate, coordinate, coordinate, coordinate), max_size=4)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    rows=rows,
    alpha=st.integers(0, 255),
    radius=st.floats(0.5, 6),
    seed=st.integers(0, 99),
)
def test_compiled_equals_twin(
    height: int, width: int, rows: list[tuple[int, ...]], alpha: int, radius: float, seed: int
) -> None:
    """Rectangles and text to the byte, lines to within one, at odd sizes and beyond every edge."""
    table = np.array(rows, np.int64).reshape(-1, 4)
    atlas = np.random.default_rng(seed).integers(0, 256, (3, 7, 5), np.uint8)
    atlas[0, :2] = atlas[1, :, 3:] = atlas[2] = 0
    found = []
    for compiled in (True, False):
        planes = blank(height, width, 3)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(draw, "COMPILED", compiled)
            draw.fill(planes, table, colours(len(table)), alpha=alpha)
            draw.label(planes, table[:, [2, 3, 0, 1]], colours(len(table)), text(atlas, table[:, :2].astype(np.int32)))
            exact = [plane.copy() for plane in planes]
            draw.stroke(planes, table.astype(np.float32) + np.float32(0.3), colours(len(table)), radius=radius)
        found.append((exact, planes))
    assert all(np.array_equal(a, b) for a, b in zip(found[0][0], found[1][0], strict=True))
    assert all(
        np.abs(a.astype(int) - b).max(initial=0) <= 1 + len(table)
        for a, b in zip(found[0][1], found[1][1], strict=True)
    )


@given(
    start=st.tuples(st.floats(-200, 250, width=32), st.floats(-200, 250, width=32)),
    move=st.tuples(st.floats(-1e5, 1e5, width=32), st.sampled_from([0.0, 1e-30, 0.01, 7.0, -90.0, 1e5])),
    radius=st.floats(0.5, 6),
)
def test_long_line_is_the_twins_at_any_slope(
    start: tuple[float, float], move: tuple[float, float], radius: float
) -> None:
    """The kernel looks only where a line can be in each row; nothing of it is lost by that."""
    segment = np.array([[*start, start[0] + move[0], start[1] + move[1]]], np.float32)
    ours, twins = blank(37, 41), blank(37, 41)
    draw.stroke(ours, segment, colours(1), radius=radius)
    reference.stroke(*twins, segment, radius, colours(1))
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(ours, twins, strict=True))


def test_compiled_core_is_really_loaded() -> None:
    """The compiled half of these tests runs compiled code."""
    assert str(draw._draw.__file__).endswith(".so")  # noqa: SLF001
