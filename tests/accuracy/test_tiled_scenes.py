"""The merge against made-up scenes whose objects are known: seams neither double nor swallow them."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

from tests.accuracy.tiled_scenes import ALL_SORTS, Scene, Score, iou, scene, score
from tilewatch.native import COMPILED
from tilewatch.native.merge import merge_tiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.accuracy.tiled_scenes import F64

pytestmark = pytest.mark.skipif(not COMPILED, reason="the twins are proven equal elsewhere, and slow")

OVERLAPS = (96, 128, 192)
SEEDS = range(12)


@cache
def scenes(*, full_frame: bool) -> tuple[Scene, ...]:
    """Return 180 scenes of all sorts and overlaps."""
    return tuple(
        scene(seed, kind, overlap=overlap, full_frame=full_frame)
        for kind, overlap, seed in product(ALL_SORTS, OVERLAPS, SEEDS)
    )


def merged(here: Scene) -> F64:
    """Return the boxes of our merge."""
    seen = here.seen
    found = merge_tiles(
        seen[:, :4].astype(np.float32),
        seen[:, 4].astype(np.float32),
        seen[:, 5].astype(np.int32),
        seen[:, 6].astype(np.int16),
        here.tiles,
        iou_threshold=0.7,
    ).detections
    return np.column_stack([found.xyxy, found.score, found.label]).astype(np.float64)


def plain_suppression(here: Scene) -> F64:
    """Return what non-maximum suppression over the whole frame leaves, as programs without a seam's notion do it."""
    boxes = here.seen[np.argsort(-here.seen[:, 4], kind="stable")]
    clash = (iou(boxes, boxes)[0] > 0.5) & (boxes[:, 5][:, None] == boxes[:, 5])
    kept: list[int] = []
    for index in range(len(boxes)):
        if not clash[index, kept].any():
            kept.append(index)
    return boxes[kept, :6]


def total(merge: Callable[[Scene], F64], least: float, *, full_frame: bool = False) -> Score:
    """Return the counts over all scenes."""
    return sum((score(here.truth, merge(here), least) for here in scenes(full_frame=full_frame)), Score())


def test_objects_on_seams_are_found_once_and_whole() -> None:
    """Tiles alone: F1 at IoU 0.5 and 0.75, and how many objects are reported twice."""
    loose, strict = total(merged, 0.5), total(merged, 0.75)
    print(f"tiles: F1@.5 {loose.f1:.2f}, F1@.75 {strict.f1:.2f}, doubled {loose.doubles:.2f}/100")
    assert loose.f1 >= 96.0
    assert strict.f1 >= 95.5
    assert loose.doubles <= 1.2


def test_full_frame_pass_finds_what_no_tile_holds() -> None:
    """With the low-resolution pass beside the tiles: clearly more than the tiles alone."""
    loose, alone = total(merged, 0.5, full_frame=True), total(merged, 0.5)
    print(f"with full frame: F1@.5 {loose.f1:.2f}, doubled {loose.doubles:.2f}/100")
    assert loose.f1 >= 97.0
    assert loose.f1 >= alone.f1 + 0.5
    assert loose.doubles <= 1.2


def test_scenes_are_hard_for_plain_suppression() -> None:
    """The bars mean something: without the seam rules a tenth is lost and objects are doubled by the dozen."""
    plain = total(plain_suppression, 0.5)
    print(f"plain suppression: F1@.5 {plain.f1:.2f}, doubled {plain.doubles:.2f}/100")
    assert plain.f1 <= 90
    assert plain.doubles >= 10


class Bar(NamedTuple):
    """What a merge of one kind of scenes has to reach."""

    options: dict[str, Any]
    loose: float
    """F1 at IoU 0.5, per cent, at least."""
    strict: float
    """F1 at IoU 0.75."""
    doubles: float
    """For each 100 objects, at most."""
    surplus: float
    """Per cent too many or too few boxes, at most."""


BARS = {
    "street": Bar({"kind": "street"}, 95.5, 95.0, 0.6, 5.0),
    "crowd": Bar({"kind": "crowd"}, 96.9, 96.7, 0.6, 2.0),
    "crowd, tied scores": Bar({"kind": "crowd", "ties": True}, 96.9, 96.8, 0.5, 2.0),
    "nested": Bar({"kind": "nested"}, 95.6, 95.1, 1.8, 4.5),
    "large": Bar({"kind": "large"}, 93.3, 92.7, 3.4, 7.0),
    "large, full frame too": Bar({"kind": "large", "full_frame": True}, 94.8, 94.2, 4.0, 9.0),
    "larger than a tile": Bar({"kind": "huge"}, 91.7, 91.0, 5.2, 10.5),
    "larger, full frame too": Bar({"kind": "huge", "full_frame": True}, 93.7, 92.8, 6.0, 13.0),
    "corners of three or four tiles": Bar({"kind": "corners"}, 92.9, 92.7, 1.0, 10.0),
    "mixed": Bar({"kind": "mixed"}, 95.9, 95.3, 2.0, 3.5),
    "mixed, tied scores": Bar({"kind": "mixed", "ties": True}, 96.1, 95.5, 1.8, 3.0),
    "mixed, tiles at half scale": Bar({"kind": "mixed", "scale": 0.5}, 96.9, 94.7, 1.2, 2.5),
    "mixed, tiles at double scale": Bar({"kind": "mixed", "scale": 2.0}, 88.7, 86.6, 5.0, 13.5),
}


@pytest.mark.parametrize("name", BARS)
def test_kind_of_scene_is_merged_well(name: str) -> None:
    """Each kind by itself, since an average hides the hard ones; and far better than plain suppression."""
    bar = BARS[name]
    frames = [scene(seed, overlap=overlap, **bar.options) for overlap, seed in product(OVERLAPS, SEEDS)]
    loose, strict, plain = (
        sum((score(here.truth, merge(here), least) for here in frames), Score())
        for merge, least in ((merged, 0.5), (merged, 0.75), (plain_suppression, 0.5))
    )
    print(
        f"{name:30} F1@.5 {loose.f1:5.1f}  F1@.75 {strict.f1:5.1f}  doubled {loose.doubles:4.1f}/100  "
        f"count {loose.count_error:+5.1f} %   plain: F1@.5 {plain.f1:5.1f}  doubled {plain.doubles:4.1f}/100"
    )
    assert loose.f1 >= max(bar.loose, plain.f1 + 2)
    assert strict.f1 >= bar.strict
    assert loose.doubles <= bar.doubles
    assert abs(loose.count_error) <= bar.surplus


def test_order_of_tied_boxes_decides_nothing() -> None:
    """Scores in steps of a tenth, boxes given backwards: the same objects."""
    here = scene(0, "crowd", overlap=96, ties=True)
    assert np.array_equal(merged(here), merged(here._replace(seen=here.seen[::-1])))
