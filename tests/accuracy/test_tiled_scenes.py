"""The merge against made-up scenes whose objects are known: seams neither double nor swallow them."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.accuracy.tiled_scenes import KINDS, Scene, Score, iou, scene, score
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
    """Return 180 scenes of all kinds and overlaps."""
    return tuple(
        scene(seed, kind, overlap=overlap, full_frame=full_frame)
        for kind, overlap, seed in product(KINDS, OVERLAPS, SEEDS)
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
    """With the low-resolution pass beside the tiles: clearly more than the tiles alone.

    Over 540 scenes of this kind the mean is 96.9, with a deviation of 0.1 from one 180 to the next.
    """
    loose, alone = total(merged, 0.5, full_frame=True), total(merged, 0.5)
    print(f"with full frame: F1@.5 {loose.f1:.2f}, doubled {loose.doubles:.2f}/100")
    assert loose.f1 >= 96.5
    assert loose.f1 >= alone.f1 + 0.5
    assert loose.doubles <= 1.2


def test_scenes_are_hard_for_plain_suppression() -> None:
    """The bars mean something: without the seam rules a tenth is lost and objects are doubled by the dozen."""
    plain = total(plain_suppression, 0.5)
    print(f"plain suppression: F1@.5 {plain.f1:.2f}, doubled {plain.doubles:.2f}/100")
    assert plain.f1 <= 90
    assert plain.doubles >= 10
