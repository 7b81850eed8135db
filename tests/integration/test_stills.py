"""Frames and tiles spread over real videos."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.clips import Clip, make_clip
from tests.support.data import data_path
from tilewatch import sampling
from tilewatch.errors import InputError
from tilewatch.settings import load
from tilewatch.video import stills
from tilewatch.video.source import VideoSource

if TYPE_CHECKING:
    from pathlib import Path

    from tilewatch.records import StreamInfo

PIXELS = 50_000_000


def info_of(path: Path) -> StreamInfo:
    """Return what is known of a video."""
    source = VideoSource(path, max_pixels=PIXELS)
    try:
        return source.open()
    finally:
        source.close()


@pytest.mark.parametrize("leap", [0.0, 1000.0])
@pytest.mark.parametrize("name", ["clips/vtest.avi", "clips/car-detection.mp4", "clips/phone_vfr.mp4"])
def test_frames_are_spread_evenly_over_the_time(name: str, leap: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether they are sought or decoded up to."""
    monkeypatch.setattr(stills, "LEAP_SECONDS", leap)
    info = info_of(data_path(name))
    seconds = [frame.seconds for frame in stills.stills(info, 5, max_pixels=PIXELS)]
    span = (info.duration_seconds or 0) / 5
    start = float(info.start_pts * info.time_base)
    middles = [start + span * (index + 0.5) for index in range(5)]
    assert seconds == pytest.approx(middles, abs=0.2)
    assert all(at >= middle - 0.01 for at, middle in zip(seconds, middles, strict=True))


def test_a_still_is_the_frame_the_pipeline_would_see() -> None:
    """The same planes, turned upright."""
    path = data_path("clips/phone_vfr.mp4")
    still = next(iter(stills.stills(info_of(path), 1, max_pixels=PIXELS)))
    source = VideoSource(path, max_pixels=PIXELS)
    source.open()
    frames = iter(source.read, None)
    same = next(frame for frame in frames if abs(frame.seconds - still.seconds) < 1e-6)
    for plane in ("y", "u", "v"):
        np.testing.assert_array_equal(getattr(still, plane), getattr(same, plane))
    source.close()


def test_a_video_shorter_than_asked_for_gives_each_frame_once(tmp_path: Path) -> None:
    """Ten frames, thirty asked for."""
    clip = make_clip(tmp_path / "short.mp4", Clip(frames=10))
    seconds = [frame.seconds for frame in stills.stills(info_of(clip), 30, max_pixels=PIXELS)]
    assert len(seconds) == len(set(seconds)) <= 10
    assert len(seconds) >= 9


def test_samples_are_the_tiles_of_the_settings_and_always_the_same() -> None:
    """About as many as asked for, of every video; other tiles from frame to frame."""
    videos = [data_path("clips/vtest.avi"), data_path("clips/car-detection.mp4")]
    settings = load(overrides={"TILE_SIZE": "160", "TILE_OVERLAP": "32"})
    first, second = ([*sampling.samples(videos, settings, 48)] for _ in range(2))
    assert sum(len(sample.tiles) for sample in first) == 48
    assert len({sample.frame.stream for sample in first}) == 2
    assert len({sample.tiles.rects.tobytes() for sample in first}) > 2
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.pixels(160), other.pixels(160))


def test_nothing_to_look_at_is_said() -> None:
    """A region of interest outside the picture."""
    settings = load(overrides={"TILE_ROI": "5000,5000 5001,5000 5001,5001"})
    with pytest.raises(InputError, match="TILE_ROI"):
        list(sampling.samples([data_path("clips/vtest.avi")], settings, 8))
