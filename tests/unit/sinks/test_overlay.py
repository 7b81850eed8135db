"""The debug overlay: tiles awake stand out, what nobody looked at is darker, and each says why."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.records import make_context, make_frame, make_tracks
from tilewatch.records import OUTSIDE_ROI, STILL, Looks, Tracks
from tilewatch.settings import DrawSettings
from tilewatch.sinks.annotate import Annotator
from tilewatch.sinks.overlay import COLOURS
from tilewatch.sinks.palette import to_yuv

if TYPE_CHECKING:
    from tilewatch.records import U8


def looked(*, width: int = 640, height: int = 480) -> Tracks:
    """Return the tracks of a frame with three tiles side by side: one inferred, one still, one outside."""
    third = width // 3
    rects = np.array([[i * third, 0, (i + 1) * third + width // 8 * (i < 2), height] for i in range(3)], np.int32)
    frame = make_frame(width=width, height=height)
    return replace(make_tracks(0, frame=frame), looks=Looks(rects=rects, reasons=("changed", STILL, OUTSIDE_ROI)))


def painted(tracks: Tracks, **draw: bool) -> U8:
    """Return the luma of the annotated frame."""
    frame = tracks.frame
    planes: tuple[U8, U8, U8] = frame.y.copy(), frame.u.copy(), frame.v.copy()
    Annotator(make_context(width=frame.width, height=frame.height), DrawSettings(**draw)).draw(tracks, planes)  # type: ignore[arg-type]
    return planes[0]


@pytest.mark.parametrize(("width", "height"), [(160, 90), (641, 479), (1920, 1080)])
def test_tile_awake_has_its_colour_and_what_sleeps_is_darker(width: int, height: int) -> None:
    """At any size; the strip that a tile awake shows too is not darkened."""
    tracks = looked(width=width, height=height)
    luma, third = painted(tracks, debug=True), width // 3
    middle = height // 2
    assert (luma == to_yuv(COLOURS["changed"], "bt601", full_range=False)[0]).sum() > 2 * height
    assert luma[middle, third // 2] == luma[middle, third + width // 16] == 90
    assert luma[middle, third + width // 5] < 75


def test_overlay_is_off_unless_asked_for() -> None:
    """DRAW_DEBUG is false by default; tracks of sources without tiles draw none."""
    tracks = looked()
    assert np.array_equal(painted(tracks), tracks.frame.y)
    assert np.array_equal(painted(make_tracks(0), debug=True), make_frame().y)
