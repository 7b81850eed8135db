"""The canvas: a writable copy of even size, and other looks fitted in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support.records import make_frame
from tilewatch.video.canvas import Canvas, Look, fitted
from tilewatch.video.planes import plane_view


@pytest.mark.parametrize(("width", "height"), [(64, 48), (65, 49), (1, 1)])
def test_copy_is_writable_and_the_frame_untouched(width: int, height: int) -> None:
    """Planes of the frame's own size, whatever the encoder's picture is; odd edges are repeated."""
    frame = make_frame(width=width, height=height)
    frame.y[-1, -1] = 7
    for plane in (frame.y, frame.u, frame.v):
        plane.flags.writeable = False
    canvas = Canvas(Look.of(frame))
    y, u, v = canvas.fill(frame)
    assert (y.shape, u.shape, v.shape) == (frame.y.shape, frame.u.shape, frame.v.shape)
    assert np.array_equal(y, frame.y)
    y[-1, -1] = 200
    u[:] = 60
    whole = plane_view(canvas.finish(), 0)
    assert whole.shape == (height + height % 2, width + width % 2)
    assert whole[-1, -1] == 200
    assert frame.y[-1, -1] == 7


def test_strided_chroma_is_copied() -> None:
    """NV12's u and v are every second byte of one plane."""
    frame = make_frame(width=8, height=4)
    both = np.arange(16, dtype=np.uint8).reshape(2, 8)
    strided = replace(frame, u=both[:, 0::2], v=both[:, 1::2])
    _, u, v = Canvas(Look.of(strided)).fill(strided)
    assert u.tolist() == [[0, 2, 4, 6], [8, 10, 12, 14]]
    assert v.tolist() == [[1, 3, 5, 7], [9, 11, 13, 15]]


@pytest.mark.parametrize(
    ("full_range", "black", "grey"),
    [(False, 16, 90), (True, 0, round((90 - 16) * 255 / 219))],
    ids=["limited", "full"],
)
def test_other_look_is_centred_on_black_with_its_numbers_converted(full_range: bool, black: int, grey: int) -> None:
    """A tall picture in a wide one: black at both sides, its own shape kept, grey the same grey."""
    frame = make_frame(width=60, height=120)
    canvas = Canvas(Look.of(frame))
    canvas.fill(frame)
    target = Look(width=160, height=80, full_range=full_range, matrix="bt601")
    luma = plane_view(fitted(canvas.finish(), canvas.look, target), 0)
    columns = np.flatnonzero((luma > black + 4).all(axis=0))
    assert luma.shape == (80, 160)
    assert columns.tolist() == list(range(60, 100))
    assert abs(int(luma[40, 80]) - grey) <= 1
    assert luma[40, 10] == luma[40, 150] == black
