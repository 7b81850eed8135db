"""The tile plan: every pixel seen, no slivers, the batch of the original system."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewatch.motion.gate import Choice
from tilewatch.settings import TileSettings
from tilewatch.stages.tile import TileStage, plan, watched_area


def settings(**values: Any) -> TileSettings:
    """Return tile settings of 640/96 with some of them changed."""
    return TileSettings(**values)


@pytest.mark.parametrize(
    ("width", "height", "columns", "rows"),
    [
        (1920, 1080, 4, 2),
        (3840, 2160, 7, 4),
        (1080, 1920, 2, 4),
        (640, 640, 1, 1),
        (641, 640, 2, 1),
        (320, 240, 1, 1),
        (3840, 2304, 7, 5),
    ],
)
def test_grid_has_the_fewest_tiles_that_overlap_enough(width: int, height: int, columns: int, rows: int) -> None:
    """1920x1080 at 640/96 is 4x2, the batch of the original system; other sizes follow the same rule."""
    tiles = plan(width, height, settings()).tiles
    assert (len(set(tiles.rects[:, 0])), len(set(tiles.rects[:, 1]))) == (columns, rows)
    assert len(tiles) == columns * rows


@given(
    width=st.integers(2, 5000),
    height=st.integers(2, 5000),
    size=st.sampled_from([320, 640, 1280]),
    overlap=st.integers(0, 160),
)
def test_every_pixel_is_seen_by_full_size_tiles_that_overlap(width: int, height: int, size: int, overlap: int) -> None:
    """Tiles cover the frame, are full size where the frame allows, overlap at least as asked, and are evenly spread."""
    tiles = plan(width, height, settings(size=size, overlap=overlap)).tiles
    for low, high, length in ((0, 2, width), (1, 3, height)):
        spans = sorted({(int(a), int(b)) for a, b in zip(tiles.rects[:, low], tiles.rects[:, high], strict=True)})
        assert spans[0][0] == 0
        assert spans[-1][1] == length
        assert {b - a for a, b in spans} == {min(size, length)}
        steps = [later[0] - earlier[0] for earlier, later in pairwise(spans)]
        assert all(size - step >= overlap for step in steps)
        assert not steps or max(steps) - min(steps) <= 1


def test_inner_sides_are_those_the_grid_cut() -> None:
    """A side on the frame's edge is not inner; one inside the frame is."""
    tiles = plan(1920, 1080, settings()).tiles
    assert tiles.inner[0].tolist() == [False, False, True, True]
    assert tiles.inner[5].tolist() == [True, True, True, False]


@pytest.mark.parametrize(("scale", "columns", "fitted"), [(0.5, 2, 640), (2.0, 7, 640)])
def test_tile_scale_changes_the_frame_pixels_a_tile_covers(scale: float, columns: int, fitted: int) -> None:
    """TILE_SCALE=0.5 makes a tile cover twice the pixels, 2 half of them; the input stays full."""
    tiles = plan(1920, 1080, settings(scale=scale)).tiles
    assert len(set(tiles.rects[:, 0])) == columns
    assert tiles.fitted[0, 0] == fitted
    assert tiles.scale[0] == scale


def test_full_frame_pass_is_added_as_last_tile() -> None:
    """TILE_FULL_FRAME=on looks at the whole frame besides the grid; 'only' at nothing else."""
    both = plan(1920, 1080, settings(full_frame="on")).tiles
    only = plan(1920, 1080, settings(full_frame="only")).tiles
    assert len(both) == 9
    assert both.full_frame.tolist() == [False] * 8 + [True]
    assert both.rects[-1].tolist() == [0, 0, 1920, 1080]
    assert only.fitted.tolist() == [[640, 360]]
    assert not only.inner.any()


def test_full_frame_pass_is_left_out_when_one_tile_is_the_frame() -> None:
    """Looking twice at the same pixels finds nothing new."""
    assert len(plan(600, 400, settings(full_frame="on")).tiles) == 1


def test_tiles_outside_the_roi_are_skipped_with_a_reason() -> None:
    """Tiles that show none of the watched area are not inferred, and are accounted for."""
    left = plan(1920, 1080, settings(roi="0,0 0.2,0 0.2,1 0,1"))
    assert len(left.tiles) + len(left.skipped) == 8
    assert left.tiles.rects[:, 0].tolist() == [0, 0]
    assert set(left.skip_reasons) == {"outside_roi"}


def test_ignored_area_is_taken_out_of_the_roi() -> None:
    """The watched area is the ROI less what is to be ignored; polygons in pixels or fractions."""
    mask = watched_area(
        100, 50, settings(roi="0,0 0.5,0 0.5,1 0,1").roi, settings(ignore="0,0 100,0 100,20 0,20").ignore
    )
    assert mask is not None
    assert mask[30, 10]
    assert not mask[30, 90]
    assert not mask[10, 10]


def test_stage_keeps_one_plan_a_size_and_follows_a_resolution_change() -> None:
    """A frame of another size in mid-stream gets its own plan."""
    seen: list[int] = []
    engine = SimpleNamespace(cut=lambda _frame, tiles: seen.append(len(tiles)))
    stage = TileStage(engine=engine, settings=settings())
    sizes = [(1920, 1080), (640, 480), (1920, 1080)]
    batches = [stage(SimpleNamespace(width=w, height=h)) for w, h in sizes]  # type: ignore[arg-type]
    assert seen == [8, 1, 8]
    assert batches[0].tiles is batches[2].tiles
    assert np.array_equal(batches[1].tiles.fitted, [[640, 480]])


def test_gated_stage_cuts_the_tiles_that_are_awake_and_says_why() -> None:
    """What sleeps is skipped as still, what nobody watches as outside; a fresh start tells the gate."""
    cut: list[int] = []
    engine = SimpleNamespace(cut=lambda _frame, tiles: cut.append(len(tiles)))
    asked: list[Any] = []

    def choose(_frame: Any, tiles: Any, tracks: Any) -> Choice:
        asked.append((len(tiles), tracks))
        return Choice(("still", "changed", "still", "track"), np.zeros((1, 1), np.bool_))

    gate: Any = SimpleNamespace(choose=choose, restart=lambda: asked.append("restart"))
    stage = TileStage(engine=engine, settings=settings(roi="0,0 1,0 1,0.4 0,0.4"), gate=gate)
    frame: Any = SimpleNamespace(width=1080, height=1920)
    batch = stage(frame, None, afresh=True)
    assert asked == ["restart", (4, None)]
    assert cut == [len(batch.tiles)] == [2]
    assert batch.cut_reasons == ("changed", "track")
    assert batch.skip_reasons == ("still", "still", *["outside_roi"] * 4)
    assert batch.looks.outcomes() == {"inferred": 2, "reused": 2, "outside_roi": 4}
    assert batch.looks.rects[:2].tolist() == batch.tiles.rects.tolist()
