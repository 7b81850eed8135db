"""The overview picture: drawn for every kind of video, in bounded memory."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.support.records import make_context, make_frame, make_tracks
from tilewatch.sinks.overview import OverviewSink
from tilewatch.sinks.palette import track_colour

if TYPE_CHECKING:
    from pathlib import Path


def drawn(path: Path, *, width: int, height: int, frames: int, objects: int, tracking: bool = True) -> Image.Image:
    """Return the overview of a video in which objects move to the right."""
    sink = OverviewSink(path, make_context(tracking=tracking, width=width, height=height), model_name="model.onnx")
    frame = make_frame(width=width, height=height)
    for index in range(frames):
        x = width * index / max(frames, 1) * 0.8
        rows = [(k + 1 if tracking else 0, k % 3, 0.5, x, 20.0 * k, x + 15, 20.0 * k + 30) for k in range(objects)]
        sink.write(
            make_tracks(index, rows, frame=make_frame(index, width=width, height=height) if frames < 100 else frame)
        )
    sink.close()
    with Image.open(path) as picture:
        return Image.Image.convert(picture, "RGB")


@pytest.mark.parametrize(
    ("width", "height", "frames", "objects", "tracking"),
    [
        (320, 240, 30, 3, True),
        (240, 426, 30, 3, True),
        (1280, 360, 30, 3, False),
        (320, 240, 1, 1, True),
        (320, 240, 5, 0, True),
    ],
)
def test_picture_is_drawn_for_every_kind_of_video(
    tmp_path: Path,
    width: int,
    height: int,
    frames: int,
    objects: int,
    tracking: bool,
) -> None:
    """Landscape, portrait, very wide, untracked, a single frame, nothing found."""
    picture = drawn(tmp_path / "a.png", width=width, height=height, frames=frames, objects=objects, tracking=tracking)
    assert picture.width == 1600
    assert picture.height > 400
    assert np.asarray(picture).std() > 5


def test_paths_have_the_colours_of_their_tracks(tmp_path: Path) -> None:
    """A track looks the same here as on the video."""
    picture = np.asarray(drawn(tmp_path / "a.png", width=320, height=240, frames=30, objects=2))
    for identity in (1, 2):
        near = np.abs(picture.astype(int) - np.array(track_colour(identity))).max(axis=2) < 12
        assert near.sum() > 200


def test_memory_is_bounded_however_long_the_video(tmp_path: Path) -> None:
    """Twenty thousand frames with ever new tracks hold no more than a few thousand did."""
    sink = OverviewSink(tmp_path / "a.png", make_context(), model_name="model.onnx")
    frame = make_frame()

    def write(first: int, count: int) -> int:
        for index in range(first, first + count):
            rows = [(index // 20 + k, 0, 0.5, 5.0 * k, index % 200, 5.0 * k + 9, index % 200 + 20) for k in range(1, 6)]
            sink.write(make_tracks(index, rows, frame=frame))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before, after = write(0, 5000), write(5000, 10000)
    finally:
        tracemalloc.stop()
    sink.abort()
    assert after - before < 1_000_000
