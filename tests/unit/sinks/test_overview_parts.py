"""What the overview is made of: bounded sums, round axes, parts that do not cover each other."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from tests.support.records import make_frame, make_info, make_tracks
from tilewatch.sinks.overview.backdrop import LARGEST, Backdrop
from tilewatch.sinks.overview.chart import time_step, value_ticks
from tilewatch.sinks.overview.counts import Counts
from tilewatch.sinks.overview.layout import WIDTH, arrange
from tilewatch.sinks.overview.style import clock, fitted, font
from tilewatch.sinks.overview.trails import KEPT, POINTS, Trails

SHAPES = [(1920, 1080), (768, 576), (1000, 1000), (1080, 1920), (5120, 1440), (16, 2000), (4000, 16), (1500, 1000)]


@pytest.mark.parametrize(("width", "height"), SHAPES)
def test_parts_lie_on_the_canvas_and_apart(width: int, height: int) -> None:
    """Whatever the shape of the video, nothing is covered and nothing is cut off."""
    layout = arrange(width, height)
    parts = [layout.header, *layout.tiles, layout.scene, layout.legend, layout.chart]
    for part in parts:
        assert part.left >= 0
        assert part.top >= 0
        assert part.right <= WIDTH
        assert part.bottom <= layout.height
        assert min(part.width, part.height) > 40
    for one, other in combinations(parts, 2):
        assert one.right <= other.left or other.right <= one.left or one.bottom <= other.top or other.bottom <= one.top


@pytest.mark.parametrize(
    ("top", "step", "limit"), [(0.0, 1, 1), (0.3, 1, 1), (5, 2, 6), (8, 2, 8), (37, 10, 40), (1234, 500, 1500)]
)
def test_value_axis_has_few_round_steps(top: float, step: float, limit: float) -> None:
    """Steps of 1, 2 or 5 times a power of ten, never a fraction of an object."""
    assert value_ticks(top) == (step, limit)


@pytest.mark.parametrize(("seconds", "step"), [(0.04, 1), (79, 10), (1800, 300), (3661, 600), (30 * 86400, 3 * 86400)])
def test_time_axis_has_round_steps_with_room_for_labels(seconds: float, step: int) -> None:
    """Steps people read at a glance, from one frame to a month."""
    assert time_step(seconds, 1100) == step
    assert [clock(value) for value in (0, 59.6, 3599, 3661)] == ["0:00", "1:00", "59:59", "1:01:01"]


@pytest.mark.parametrize("frames", [1, 511, 512, 5_000])
def test_counts_keep_the_sum_however_often_the_bins_grow(frames: int) -> None:
    """Joining bins loses nothing: the mean of a steady scene stays, in at most as many spans as asked for."""
    counts = Counts(rate=10)
    for index in range(frames):
        counts.add(index / 10, np.array([3, 3, 5], np.int32))
    series = counts.series(240)
    assert series.seconds == pytest.approx(frames / 10)
    assert list(series.means) == [3, 5]
    assert len(series.means[3]) <= 240
    assert np.allclose(series.means[3], 2)
    assert np.allclose(series.means[5], 1)


def test_counts_carry_over_a_gap_and_survive_a_leap_in_time() -> None:
    """A pause between frames repeats what was seen; a clock that jumps a day costs nothing."""
    counts = Counts(rate=10)
    for second in (0.0, 0.1, 5.0, 86_400.0, 3.0, -1.0):
        counts.add(second, np.array([0], np.int32))
    means = counts.series(240).means[0]
    assert np.allclose(means, 1)


def test_trails_are_bounded_and_keep_both_ends() -> None:
    """A track of any length holds few points, its first and its last among them."""
    trails = Trails()
    for index in range(10_000):
        x = 320 * index / 10_000
        trails.add(make_tracks(index, [(1, 0, 0.5, x - 5, 0, x + 5, 120)], frame=make_frame(index, width=320)))
    (trail,) = trails.longest()
    points = trail.points()
    assert len(points) <= POINTS + 1
    assert points[0] == pytest.approx([0, 0.5], abs=1e-4)
    assert points[-1] == pytest.approx([0.9999, 0.5], abs=1e-4)
    assert np.diff(points[:, 0]).min() > 0


def test_pruning_keeps_the_far_and_the_living() -> None:
    """When there are too many tracks, short dead ones go; a long one and those in the frame stay."""
    trails = Trails()
    for index in range(10):
        trails.add(make_tracks(index, [(1, 0, 0.5, 30.0 * index, 0, 30.0 * index + 9, 100)]))
    for batch in range(31):
        first = 2 + batch * 100
        trails.add(make_tracks(10 + batch, [(first + k, 0, 0.5, k, 0, k + 9, 100) for k in range(100)]))
    kept = [trail.track_id for trail in trails.longest()]
    assert len(kept) <= 2 * KEPT
    assert kept[0] == 1
    assert set(range(3002, 3102)) <= set(kept)


@pytest.mark.parametrize("black", [range(10), range(10, 20)], ids=["beginning", "middle"])
def test_backdrop_is_no_black_frame(black: range) -> None:
    """A fade at the beginning is replaced by the middle, a blank middle is not taken; the copy is small."""
    lively = np.repeat(np.array([[20, 220]], np.uint8), 1000, axis=1).repeat(1200, axis=0)
    backdrop = Backdrop(replace(make_info(width=2000, height=1200), frame_count=20))
    for index in range(20):
        frame = make_frame(index, width=2000, height=1200)
        backdrop.offer(replace(frame, y=np.full_like(lively, 16) if index in black else lively))
    assert backdrop.picture is not None
    assert backdrop.picture.width <= LARGEST[0]
    assert backdrop.picture.height <= LARGEST[1]
    assert np.asarray(backdrop.picture).mean() > 50


def test_text_too_wide_loses_its_middle_and_its_control_characters() -> None:
    """A file name keeps its beginning and its suffix, on one line."""
    text = fitted("a very long name\nthat goes on and on.mp4", 20, 150)
    assert font(20).getlength(text) <= 150
    assert text.startswith("a ver")
    assert text.endswith(".mp4")
    assert "\n" not in text
    assert fitted("short", 20, 150) == "short"
