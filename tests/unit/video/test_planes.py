"""Turning pictures upright, and what their numbers mean."""

from __future__ import annotations

import av
import numpy as np
import pytest

from tilewatch.video.planes import Turn, is_full_range, matrix_of, picture_of

CORNER = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)


@pytest.mark.parametrize(
    ("turn", "degrees", "expected"),
    [
        (Turn(), 0, [[1, 2, 3], [4, 5, 6]]),
        (Turn(transpose=True, mirror_columns=True), 90, [[4, 1], [5, 2], [6, 3]]),
        (Turn(mirror_rows=True, mirror_columns=True), 180, [[6, 5, 4], [3, 2, 1]]),
        (Turn(transpose=True, mirror_rows=True), 270, [[3, 6], [2, 5], [1, 4]]),
        (Turn(mirror_columns=True), 0, [[3, 2, 1], [6, 5, 4]]),
    ],
)
def test_turn_stands_a_plane_upright(turn: Turn, degrees: int, expected: list[list[int]]) -> None:
    """Clockwise turns and mirrors; rows stay contiguous, as every kernel demands."""
    upright = turn.apply(CORNER)
    assert upright.tolist() == expected
    assert upright.strides[1] == 1
    assert turn.degrees == degrees


@pytest.mark.parametrize(
    ("pixel_format", "full_range"), [("yuv420p", False), ("yuvj420p", True), ("rgb24", False), ("gray", False)]
)
def test_range_follows_the_pixel_format_where_it_is_not_tagged(pixel_format: str, *, full_range: bool) -> None:
    """The JPEG formats (yuvj) are full range; RGB becomes limited range."""
    assert is_full_range(av.VideoFrame(64, 48, pixel_format)) is full_range


@pytest.mark.parametrize(
    ("tag", "width", "matrix"),
    [(1, 640, "bt709"), (5, 1920, "bt601"), (9, 640, "bt2020"), (2, 640, "bt601"), (2, 1920, "bt709")],
)
def test_matrix_follows_the_tag_else_the_size(tag: int, width: int, matrix: str) -> None:
    """2 is 'unspecified'."""
    frame = av.VideoFrame(width, 400, "yuv420p")
    frame.colorspace = tag
    assert matrix_of(frame) == matrix


@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12", "yuv444p", "rgb24", "gray", "yuv420p10le"])
def test_every_format_becomes_read_only_planes_of_420(pixel_format: str) -> None:
    """Shapes as records.Frame tells them, also of odd sizes."""
    frame = av.VideoFrame(63, 47, pixel_format)
    picture = picture_of(frame, Turn())
    assert picture.y.shape == (47, 63)
    assert picture.u.shape == picture.v.shape == (24, 32)
    assert not any(plane.flags.writeable for plane in (picture.y, picture.u, picture.v))


def test_white_of_rgb_is_white_of_limited_range() -> None:
    """RGB is full range by nature, and becomes 16-235."""
    white = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 255, np.uint8), "rgb24")
    picture = picture_of(white, Turn())
    assert abs(int(picture.y[20, 20]) - 235) <= 1
    assert not picture.full_range
