"""The track stage: boxes land where they were seen, masks hold, ids are the video's own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.support.records import make_frame
from tilewatch.native.heads import Candidates
from tilewatch.records import STILL, RawHeads, TileBatch, Tracks
from tilewatch.settings import TileSettings, load
from tilewatch.stages.tile import plan
from tilewatch.stages.track import Tracker, to_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

TILES = plan(1200, 640, TileSettings(size=640, overlap=80, scale=1.0))
"""Two tiles: 0-640 and 560-1200."""


def candidates(*rows: Sequence[float]) -> Candidates:
    """Return candidates from rows of x0, y0, x1, y1, score, label, tile, in input pixels."""
    table = np.array(rows, np.float64).reshape(-1, 7)
    return Candidates(
        table[:, :4].astype(np.float32),
        table[:, 4].astype(np.float32),
        table[:, 5].astype(np.int32),
        table[:, 6].astype(np.int16),
    )


def heads(index: int) -> RawHeads:
    """Return the heads of a frame of 1200x640, with nothing in them."""
    batch = TileBatch(
        frame=make_frame(index, width=1200, height=640),
        tiles=TILES.tiles,
        skipped=TILES.skipped,
        skip_reasons=(),
        slot=None,
    )
    return RawHeads(batch=batch, outputs=())


def tracked(rows: Sequence[Sequence[float]], *, frames: int = 1, **settings: Any) -> list[Tracks]:
    """Track the same candidates over some frames with a fresh tracker."""
    tracker = Tracker(lambda _: candidates(*rows), load(overrides=settings))
    return [tracker(heads(index)) for index in range(frames)]


def last(seen: Sequence[Sequence[Sequence[float]]], **settings: Any) -> Tracks:
    """Return what is reported of the last of some frames, each with its own candidates."""
    rows = iter(seen)
    tracker = Tracker(lambda _: candidates(*next(rows)), load(overrides=settings))
    return [tracker(heads(index)) for index in range(len(seen))][-1]


def test_boxes_are_placed_clipped_and_merged_in_the_frame() -> None:
    """The second tile's boxes are moved by its corner; parts on the seam become one."""
    rows = [(500, 100, 655, 200, 0.8, 0, 0), (0, 100, 140, 200, 0.7, 0, 1)]
    (found,) = tracked(rows)
    assert found.xyxy.round().tolist() == [[500, 100, 700, 200]]
    assert (found.count.found, found.count.kept, found.count.merged) == (2, 1, 1)


def test_how_boxes_are_merged_is_a_setting() -> None:
    """MERGE_METHOD and MERGE_CLASS_AGNOSTIC reach the merge."""
    rows = [(500, 100, 655, 200, 0.8, 0, 0), (0, 100, 140, 160, 0.7, 1, 1)]
    assert [len(tracked(rows)[0]), len(tracked(rows, MERGE_CLASS_AGNOSTIC=True)[0])] == [2, 1]
    (plain,) = tracked(rows, MERGE_CLASS_AGNOSTIC=True, MERGE_METHOD="nms")
    assert (plain.count.kept, plain.count.merged) == (2, 0)


def test_scale_of_the_tile_is_undone() -> None:
    """A tile seen at half size: input pixels count double."""
    tiles = plan(1920, 1080, TileSettings(full_frame="only")).tiles
    placed = to_frame(np.array([[0, 0, 320, 180]], np.float32), np.zeros(1, np.int16), tiles)
    assert placed.round().tolist() == [[0, 0, 960, 540]]


def test_ids_start_from_one_for_every_video_and_stay() -> None:
    """A new tracker knows nothing of the last one."""
    for _ in range(2):
        found = tracked([(100, 100, 150, 200, 0.9, 3, 0), (300, 100, 350, 200, 0.8, 3, 0)], frames=5)
        assert [tracks.track_id.tolist() for tracks in found] == [[1, 2]] * 5
        assert found[-1].age.tolist() == [4, 4]
        assert found[-1].label.tolist() == [3, 3]


TWO = [(100, 100, 150, 200, 0.9, 3, 0), (300, 100, 350, 200, 0.8, 3, 0)]


def tracker_of(rows: Sequence[Sequence[float]] = TWO, **settings: Any) -> Tracker:
    """Return a fresh tracker that sees the same candidates in every frame."""
    return Tracker(lambda _: candidates(*rows), load(overrides=settings))


def test_restored_stage_goes_on_as_if_nothing_had_happened() -> None:
    """The state is the whole stage: the same tracks, and the same state afterwards."""
    whole, resumed = tracker_of(), tracker_of()
    for index in range(4):
        whole(heads(index))
    resumed.restore(whole.state())
    for index in range(4, 8):
        ours, theirs = whole(heads(index)), resumed(heads(index))
        assert ours.track_id.tolist() == theirs.track_id.tolist() == [1, 2]
        assert ours.age.tolist() == theirs.age.tolist() == [index, index]
        assert ours.xyxy.tobytes() == theirs.xyxy.tobytes()
        assert whole.state() == resumed.state()


def test_state_of_other_settings_is_refused() -> None:
    """Of another mode, and of a tracker where there is none."""
    state = tracker_of().state()
    for settings in ({"TRACK_MODE": "parity"}, {"ENABLE_TRACKING": False}):
        with pytest.raises(ValueError, match="no state of a tracker like this one"):
            tracker_of(**settings).restore(state)
    assert tracker_of(ENABLE_TRACKING=False).state() == b""


@pytest.mark.parametrize(
    ("settings", "starts", "found"),
    [
        ({}, 0.0, [3, 4]),
        ({}, 0.8, [1, 2]),
        ({}, 2.0, [1, 2]),
        ({}, 3.0, [3, 4]),
        ({"TRACK_BUFFER_SECONDS": 0.1}, 2.0, [3, 4]),
        ({"TRACK_MODE": "parity"}, 0.0, [3, 4]),
        ({"ENABLE_TRACKING": False}, 0.0, [0, 0]),
    ],
)
def test_next_segment_goes_on_with_ids_and_with_tracks_where_time_does(
    settings: dict[str, Any], starts: float, found: list[int]
) -> None:
    """Eight frames until 0.7 s; then a segment that starts over, at once, within the buffer, and after it."""
    first, second = tracker_of(**settings), tracker_of(**settings)
    for index in range(8):
        first(heads(index))
    second.follow(first.state(), starts)
    assert sorted(second(heads(round(10 * starts))).track_id.tolist()) == found


def test_class_is_locked_unless_it_is_to_be_free() -> None:
    """TRACK_CLASS: one box of another class does not rename an object; free, or in parity mode, it does."""
    seen = [[(100, 100, 150, 200, 0.9, label, 0)] for label in (3, 3, 5)]
    how: list[dict[str, Any]] = [{}, {"TRACK_CLASS": "free"}, {"TRACK_MODE": "parity"}]
    assert [last(seen, **settings).label.tolist() for settings in how] == [[3], [5], [5]]


def test_parity_mode_waits_in_frames_and_its_flavours_differ() -> None:
    """TRACK_MODE, TRACK_FLAVOUR, TRACK_BUFFER_FRAMES reach the tracker: exactly high is high for ultralytics alone."""
    person: tuple[float, ...] = (100, 100, 150, 200, 0.5, 0, 0)
    seen = [[person], [person], [], [], [], [person], [person]]
    parity: dict[str, Any] = {"TRACK_MODE": "parity", "TRACK_HIGH": 0.5, "TRACK_NEW": 0.5}
    assert last(seen, **parity, TRACK_BUFFER_FRAMES=30).track_id.tolist() == [1]
    assert last(seen, **parity, TRACK_BUFFER_FRAMES=1).track_id.tolist() == [2]
    assert last(seen, **parity, TRACK_FLAVOUR="original").track_id.tolist() == []


def test_without_tracking_sure_boxes_are_reported_without_ids() -> None:
    """ENABLE_TRACKING=false: what is above the confidence, id 0."""
    rows = [(100, 100, 150, 200, 0.9, 0, 0), (300, 100, 350, 200, 0.2, 0, 0)]
    (found,) = tracked(rows, ENABLE_TRACKING=False)
    assert found.track_id.tolist() == [0]
    assert found.score.tolist() == [pytest.approx(0.9)]


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({"TILE_ROI": "0,0 0.2,0 0.2,1 0,1"}, [100]),
        ({"TILE_ROI": "250,0 400,0 400,640 250,640"}, [300]),
        ({"TILE_IGNORE": "0,0 0.2,0 0.2,1 0,1"}, [300]),
        ({"TILE_ROI": "0,0 1,0 1,1 0,1", "TILE_IGNORE": "0,0 1,0 1,1 0,1"}, []),
    ],
)
def test_masks_drop_boxes_whose_centre_is_not_watched(settings: dict[str, Any], left: list[float]) -> None:
    """Inside a region of interest, outside what is ignored; what is dropped is counted as suppressed."""
    rows = [(100, 100, 150, 200, 0.9, 0, 0), (300, 100, 350, 200, 0.8, 0, 0)]
    (found,) = tracked(rows, **settings)
    assert found.xyxy[:, 0].tolist() == left
    assert found.count.found == 2
    assert found.count.suppressed == 2 - len(left)


def test_bad_numbers_and_empty_frames_are_no_tracks_and_no_errors() -> None:
    """NaN, no area, nothing at all."""
    bad = [(np.nan, 0, 10, 10, 0.9, 0, 0), (5, 5, 5, 9, 0.9, 0, 0)]
    assert [len(tracks) for tracks in tracked(bad, frames=3)] == [0, 0, 0]
    assert [len(tracks) for tracks in tracked([], frames=3)] == [0, 0, 0]


def test_boxes_of_a_still_tile_stand_and_are_accounted_for() -> None:
    """TILE_GATE=motion: the second tile sleeps in every second frame; the ids go on, the accounts balance."""
    asleep = np.array([True, False])
    rows = [(100, 100, 150, 200, 0.9, 0, 0), (300, 100, 350, 200, 0.8, 0, 1)]
    given = iter([candidates(*rows), candidates(rows[0])] * 3)
    tracker = Tracker(lambda _: next(given), load(overrides={"TILE_GATE": "motion"}))
    found = []
    for index in range(6):
        whole = heads(index).batch
        skipped = TILES.tiles.take(~asleep)
        partly = replace(whole, tiles=TILES.tiles.take(asleep), skipped=skipped, skip_reasons=(STILL,))
        found.append(tracker(RawHeads(batch=partly if index % 2 else whole, outputs=())))
    assert [tracks.track_id.tolist() for tracks in found] == [[1, 2]] * 6
    assert [tracks.xyxy[1, 0].round() for tracks in found] == [860] * 6
    assert [(t.count.found, t.count.kept) for t in found] == [(2, 2)] * 6
    assert found[1].looks.outcomes() == {"inferred": 1, "reused": 1, "outside_roi": 0}
