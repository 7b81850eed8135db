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


def test_boxes_are_placed_clipped_and_merged_in_the_frame() -> None:
    """The second tile's boxes are moved by its corner; parts on the seam become one."""
    rows = [(500, 100, 655, 200, 0.8, 0, 0), (0, 100, 140, 200, 0.7, 0, 1)]
    (found,) = tracked(rows)
    assert found.xyxy.round().tolist() == [[500, 100, 700, 200]]
    assert (found.count.found, found.count.kept, found.count.merged) == (2, 1, 1)


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
