"""The merge: one box an object, whatever the grid did to it; compiled and twin alike."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewatch.native import merge
from tilewatch.native.merge import Merged, merge_tiles
from tilewatch.native.room import Room
from tilewatch.settings import TileSettings
from tilewatch.stages.tile import plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.records import Tiles

FRAME = (1200, 640)
TILES = plan(*FRAME, TileSettings(size=640, overlap=80))
"""Two tiles: 0-640 and 560-1200, common area 560-640."""


@pytest.fixture(params=["compiled", "twin"])
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test on the compiled core and on its numpy twin."""
    monkeypatch.setattr(merge, "COMPILED", request.param == "compiled")


def run(rows: Sequence[Sequence[float]], tiles: Tiles = TILES.tiles, iou: float = 0.7, **options: Any) -> Merged:
    """Merge rows of x0, y0, x1, y1, score, label, tile."""
    table = np.array(rows, np.float64).reshape(-1, 7)
    columns = table[:, 4].astype(np.float32), table[:, 5].astype(np.int32), table[:, 6].astype(np.int16)
    return merge_tiles(table[:, :4].astype(np.float32), *columns, tiles, iou_threshold=iou, **options)


def boxes(found: Merged) -> list[list[float]]:
    """Return the merged boxes, rounded."""
    rounded: list[list[float]] = np.round(found.detections.xyxy, 2).tolist()
    return rounded


pytestmark = pytest.mark.usefixtures("both")


def test_object_cut_by_a_seam_is_rebuilt_from_its_parts() -> None:
    """Each side comes from the tile that saw it whole."""
    found = run([(500, 100, 640, 200, 0.8, 0, 0), (560, 100, 700, 200, 0.6, 0, 1)])
    assert boxes(found) == [[500, 100, 700, 200]]
    assert (found.boxes.kept, found.boxes.merged, found.boxes.suppressed) == (1, 1, 0)
    assert found.detections.score.tolist() == [pytest.approx(0.8)]


def test_object_seen_whole_by_both_tiles_is_one() -> None:
    """In the common area both tiles report it: the mean, weighted by score."""
    found = run([(570, 100, 620, 200, 0.8, 0, 0), (572, 100, 622, 200, 0.8, 0, 1)])
    assert boxes(found) == [[571, 100, 621, 200]]


def test_object_wider_than_a_tile_is_one() -> None:
    """Three parts of one object join through the links of neighbours."""
    tiles = plan(1600, 400, TileSettings(size=640, overlap=96)).tiles
    rects = tiles.rects
    rows = [(max(100, r[0]), 100, min(1500, r[2]), 300, 0.7, 2, i) for i, r in enumerate(rects.tolist())]
    found = run(rows, tiles)
    assert len(rows) == 3
    assert boxes(found) == [[100, 100, 1500, 300]]


def test_neighbours_in_one_tile_are_never_merged() -> None:
    """Two people side by side on the seam, seen by both tiles, stay two."""
    rows = [
        (560 + 30 * k + d, 100, 590 + 30 * k + d, 200, 0.8 - 0.1 * k, 0, t) for k in (0, 1) for d, t in ((0, 0), (1, 1))
    ]
    found = run(rows)
    assert len(found.detections) == 2
    assert found.boxes.merged == 2


def test_small_object_before_a_large_one_survives() -> None:
    """A person before a bus is not swallowed by it: IoU decides, not containment."""
    found = run([(100, 100, 500, 400, 0.9, 1, 0), (200, 250, 240, 380, 0.7, 0, 0)])
    assert len(found.detections) == 2


def test_double_detection_in_one_tile_is_suppressed_within_its_class_only() -> None:
    """Plain NMS inside a tile; other classes stay unless asked otherwise."""
    rows = [(100, 100, 200, 200, 0.9, 0, 0), (102, 100, 202, 200, 0.8, 0, 0), (101, 100, 201, 200, 0.7, 1, 0)]
    assert run(rows).detections.label.tolist() == [0, 1]
    assert run(rows).boxes.suppressed == 1
    assert run(rows, agnostic=True).detections.label.tolist() == [0]


def test_fragment_explained_by_another_box_is_dropped() -> None:
    """A cut piece inside a whole box of its class that its own tile missed is not a second object."""
    found = run([(400, 100, 640, 300, 0.9, 0, 0), (560, 100, 700, 300, 0.8, 0, 1), (562, 110, 634, 220, 0.3, 0, 1)])
    assert found.boxes.kept + found.boxes.merged + found.boxes.suppressed == 3
    alone = run([(300, 100, 650, 300, 0.9, 0, 0), (560, 100, 625, 290, 0.4, 0, 1)])
    assert len(alone.detections) == 1


def test_classes_make_no_difference_to_any_rule_when_asked() -> None:
    """Agnostic: a seam's parts of two classes join, and a fragment of another class is explained."""
    parts = [(500, 100, 640, 200, 0.6, 0, 0), (560, 100, 700, 160, 0.6, 1, 1)]
    assert len(run(parts).detections) == 2
    assert boxes(run(parts, agnostic=True)) == [[500, 100, 700, 180]]
    fragment = [(300, 100, 640, 300, 0.9, 0, 0), (560, 100, 600, 230, 0.4, 1, 1)]
    assert len(run(fragment).detections) == 2
    found = run(fragment, agnostic=True)
    assert (boxes(found), found.boxes.suppressed) == ([[300, 100, 640, 300]], 1)


WHOLE_IN_BOTH = (570.0, 100.0, 620.0, 200.0)


def sure(rows: Sequence[Sequence[float]], **options: Any) -> list[float]:
    """Return the merged boxes' scores, rounded."""
    return [round(score, 3) for score in run(rows, **options).detections.score.tolist()]


def test_object_that_a_tile_saw_whole_and_denies_is_less_sure() -> None:
    """Two tiles look at the same pixels: one's word against the other's silence."""
    assert sure([(*WHOLE_IN_BOTH, 0.5, 0, 0)]) == [0.4]
    assert sure([(*WHOLE_IN_BOTH, 0.5, 0, 1)]) == [0.4]
    assert sure([(*WHOLE_IN_BOTH, 0.5, 0, 0), (*WHOLE_IN_BOTH, 0.4, 0, 1)]) == [0.5]
    assert boxes(run([(*WHOLE_IN_BOTH, 0.5, 0, 0)])) == [[570, 100, 620, 200]]


def test_silence_about_what_was_not_seen_whole_says_nothing() -> None:
    """Cut by the other tile's side, or nearly, or outside of it altogether: its score stands."""
    assert sure([(500, 100, 620, 200, 0.5, 0, 0)]) == [0.5]
    assert sure([(566, 100, 620, 200, 0.5, 0, 0)]) == [0.5]
    assert sure([(100, 100, 200, 200, 0.5, 0, 0)]) == [0.5]
    assert sure([(570, 0, 620, 640, 0.5, 0, 0)]) == [0.4], "what ends at the frame's own side is whole"


def test_silence_of_a_tile_that_may_be_out_of_date_says_nothing() -> None:
    """Something moved in it since it was looked at."""
    assert sure([(*WHOLE_IN_BOTH, 0.5, 0, 0)], current=np.array([True, False])) == [0.5]
    assert sure([(*WHOLE_IN_BOTH, 0.5, 0, 1)], current=np.array([True, False])) == [0.4]


def test_full_frame_pass_denies_nothing_and_is_denied() -> None:
    """It does not see what is small; what it alone saw of an area that tiles see better is less sure."""
    tiles = plan(*FRAME, TileSettings(size=640, overlap=80, full_frame="on")).tiles
    assert tiles.full_frame.tolist() == [False, False, True]
    assert sure([(100, 100, 200, 200, 0.5, 0, 0)], tiles=tiles) == [0.5]
    assert sure([(100, 100, 200, 200, 0.5, 0, 2)], tiles=tiles) == [0.4]
    assert sure([(100, 100, 800, 200, 0.5, 0, 2)], tiles=tiles) == [0.5]


def test_object_that_more_tiles_report_than_deny_is_as_sure_as_ever() -> None:
    """Where four tiles meet, one against two is outvoted; two against one is not, nor one against one."""
    tiles = plan(1200, 1200, TileSettings(size=640, overlap=80)).tiles
    spot = (580.0, 580.0, 620.0, 620.0)
    scores = {count: sure([(*spot, 0.5, 0, tile) for tile in range(count)], tiles=tiles) for count in (1, 2, 3, 4)}
    assert scores == {1: [0.4], 2: [0.4], 3: [0.5], 4: [0.5]}


def test_plain_suppression_knows_no_tiles_and_rebuilds_nothing() -> None:
    """'nms' and 'ios': boxes stay as they are or go, whatever tile they are of; only the measure of overlap differs."""
    rows = [(500, 100, 640, 200, 0.8, 0, 0), (520, 100, 640, 200, 0.7, 0, 1), (600, 150, 640, 200, 0.6, 0, 1)]
    assert boxes(run(rows, method="nms")) == [[500, 100, 640, 200], [600, 150, 640, 200]]
    found = run(rows, method="ios")
    assert boxes(found) == [[500, 100, 640, 200]]
    assert (found.boxes.kept, found.boxes.merged, found.boxes.suppressed) == (1, 0, 2)


def test_plain_suppression_reaches_across_any_distance_of_sizes() -> None:
    """'ios': a sure small box takes a large one with it that lies around it, however much larger."""
    rows = [(600, 300, 604, 304, 0.9, 0, 1), (0, 0, 1200, 640, 0.5, 0, 0), (100, 100, 110, 110, 0.4, 0, 0)]
    assert boxes(run(rows, method="ios")) == [[600, 300, 604, 304], [100, 100, 110, 110]]


def test_result_outlives_the_next_call_in_the_same_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scratch arrays are used again, results are not."""
    monkeypatch.setattr("tilewatch.native.room.LARGE", 0)
    room = Room()
    others = [(300, 300, 400, 500, 0.5, 1, 1)] * 3
    run(others, room=room)
    first = run([(100, 100, 200, 200, 0.9, 3, 0)], room=room)
    run(others, room=room)
    assert boxes(first) == [[100, 100, 200, 200]]
    assert (first.detections.label.tolist(), first.detections.tile.tolist()) == ([3], [0])


@pytest.mark.parametrize(
    "row",
    [
        (np.nan, 0, 10, 10, 0.9, 0, 0),
        (0, 0, np.inf, 10, 0.9, 0, 0),
        (0, 0, 10, 10, np.nan, 0, 0),
        (10, 0, 10, 10, 0.9, 0, 0),
        (10, 10, 5, 20, 0.9, 0, 0),
        (0, 0, 10, 10, 0.9, 0, 7),
    ],
)
def test_unusable_box_is_refused_and_counted(row: tuple[float, ...]) -> None:
    """NaN, infinity, no area, no such tile: dropped, never an exception, never a detection."""
    found = run([row, (100, 100, 200, 200, 0.5, 0, 0)])
    assert boxes(found) == [[100, 100, 200, 200]]
    assert (found.boxes.found, found.boxes.suppressed) == (2, 1)


def test_nothing_gives_nothing() -> None:
    """N = 0 is an ordinary case."""
    found = run([])
    assert found.detections.xyxy.shape == (0, 4)
    assert found.boxes.found == 0


def test_compiled_core_is_really_loaded() -> None:
    """The compiled half of these tests runs compiled code."""
    assert str(merge._merge.__file__).endswith(".so")  # noqa: SLF001


coordinate = st.integers(0, 60).map(lambda k: 20.0 * k)
extent = st.integers(1, 20)
certainty = st.sampled_from([0.3, 0.5, 0.5, 0.9])
row = st.tuples(coordinate, coordinate, extent, extent, certainty, st.integers(0, 1), st.integers(0, 8))


def scene(rows: list[Any], tiles: Tiles) -> Sequence[Sequence[float]]:
    """Return rows of boxes clipped to their tiles, many of them alike, touching or cut."""
    found = []
    for x, y, w, h, score, label, tile in rows:
        left, top, right, bottom = tiles.rects[tile % len(tiles)].tolist()
        box = max(x, left), max(y, top), min(x + 20 * w, right), min(y + 20 * h, bottom)
        found.append((*box, score, label, tile % len(tiles)))
    return found


SCENE_TILES = plan(1200, 1000, TileSettings(size=640, overlap=80, full_frame="on")).tiles
SMALL_TILES = plan(1200, 1000, TileSettings(size=320, overlap=160, full_frame="on")).tiles
"""Each shares pixels with more than eight others."""


options = st.fixed_dictionaries(
    {
        "iou": st.sampled_from([0.3, 0.7, 1.0]),
        "agnostic": st.booleans(),
        "method": st.sampled_from(["seam", "seam", "nms", "ios"]),
        "current": st.lists(st.booleans(), min_size=len(SCENE_TILES), max_size=len(SCENE_TILES)).map(np.array),
    }
)


@given(rows=st.lists(row, max_size=25), options=options)
def test_compiled_equals_twin_and_accounts_balance(rows: list[Any], options: dict[str, Any]) -> None:
    """Same boxes to the last bit of float32, ties included; found = kept + merged + suppressed."""
    check_against_twin(scene(rows, SCENE_TILES), SCENE_TILES, **options)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("agnostic", [False, True])
def test_compiled_equals_twin_in_a_crowd_of_all_sizes(seed: int, *, agnostic: bool) -> None:
    """Nothing near is overlooked: boxes of 6 to 600 pixels, seen with noise by every tile, and their fragments."""
    rows = crowd(35, SCENE_TILES, seed)
    check_against_twin(rows, SCENE_TILES, iou=0.5, agnostic=agnostic)
    check_against_twin(rows, SCENE_TILES, iou=0.1, agnostic=agnostic, method="nms")


def test_compiled_equals_twin_where_each_tile_meets_many() -> None:
    """More neighbours than are compared at a time, and more parts of boxes than the first try has room for."""
    check_against_twin(crowd(12, SMALL_TILES, seed=4), SMALL_TILES, iou=0.5)


def test_compiled_equals_twin_where_boxes_are_small_for_what_two_tiles_share() -> None:
    """A partner is found in every direction, though only a small part of the common area is searched."""
    rng, full_frame = np.random.default_rng(6), int(np.flatnonzero(SCENE_TILES.full_frame)[0])
    corners, extents = rng.uniform(0, 600, (120, 2)), rng.uniform(10, 30, (120, 2))
    boxes, rows = np.hstack([corners, corners + extents]), list[list[float]]()
    for tile in (0, full_frame):
        seen = np.clip(boxes + rng.normal(0, 0.06, boxes.shape) * np.tile(extents, 2), 0, 640)
        rows += [[*box, score, 0, tile] for box, score in zip(seen.tolist(), rng.uniform(0.1, 1, 120), strict=True)]
    check_against_twin(rows, SCENE_TILES, iou=0.5)


@pytest.mark.parametrize("method", ["seam", "nms", "ios"])
def test_compiled_equals_twin_where_many_are_of_a_kind(method: str) -> None:
    """So many that not each is compared with all others, but those near it."""
    rng = np.random.default_rng(5)
    corners, extents = rng.uniform(0, 600, (400, 2)), np.exp(rng.uniform(np.log(6), np.log(80), (400, 2)))
    boxes = np.minimum(np.hstack([corners, corners + extents]), 640)
    rows = [[*box, score, 0, 0] for box, score in zip(boxes.tolist(), rng.uniform(0.1, 1, 400).tolist(), strict=True)]
    check_against_twin(rows, SCENE_TILES, iou=0.2, method=method)


def crowd(objects: int, tiles: Tiles, seed: int) -> list[list[float]]:
    """Return rows of boxes of all sizes, as most tiles see them."""
    rng, rows = np.random.default_rng(seed), list[list[float]]()
    for _ in range(objects):
        extent = np.exp(rng.uniform(np.log(6), np.log(600), 2))
        corner = rng.uniform(0, 1000, 2)
        for tile, rect in enumerate(tiles.rects):
            seen = np.concatenate([corner, corner + extent]) + rng.normal(0, 0.04, 4) * np.tile(extent, 2)
            low, high = np.maximum(seen[:2], rect[:2]), np.minimum(seen[2:], rect[2:])
            if (high > low).all() and rng.random() < 0.8:
                rows.append([*low, *high, rng.uniform(0.1, 1), float(rng.integers(2)), float(tile)])
    return rows


def check_against_twin(rows: Sequence[Sequence[float]], tiles: Tiles, **options: Any) -> None:
    """Compare both halves of the core, and the account of the boxes."""
    merge.COMPILED = True
    ours = run(rows, tiles, **options)
    merge.COMPILED = False
    twin = run(rows, tiles, **options)
    for name in ("xyxy", "score", "label", "tile"):
        assert np.array_equal(getattr(ours.detections, name), getattr(twin.detections, name)), name
    count = ours.boxes
    assert asdict(count) == asdict(twin.boxes)
    assert count.found == count.kept + count.merged + count.suppressed
    assert count.kept == len(ours.detections)


@given(rows=st.lists(row, max_size=25), data=st.data())
def test_result_depends_on_neither_the_order_of_boxes_nor_of_tiles(rows: list[Any], data: st.DataObject) -> None:
    """Deterministic: shuffled boxes and renumbered tiles give the same objects."""
    given_rows = scene(rows, SCENE_TILES)
    order = data.draw(st.permutations(range(len(SCENE_TILES))))
    place = np.argsort(order)
    moved = [(*values[:6], int(place[int(values[6])])) for values in data.draw(st.permutations(given_rows))]
    first = run(given_rows, SCENE_TILES).detections
    second = run(moved, SCENE_TILES.take(np.array(order))).detections
    for name in ("xyxy", "score", "label"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name
