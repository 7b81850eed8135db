"""What overlapping tiles saw, merged to one box an object; the rules are in `reference.merge`.

Method: non-maximum suppression inside each tile, then a seam-aware merge across tiles that compares boxes only where
both tiles saw the same pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tilewatch.native import COMPILED
from tilewatch.native.reference import merge as reference
from tilewatch.records import BoxCount, Detections

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilewatch.native.reference.merge import Seen
    from tilewatch.records import F32, I16, I32, Tiles

if COMPILED:
    from tilewatch.native import _merge

LINKS_A_BOX = 4
"""Room for links on the first try; a crowd with more gets a second one."""


class Merged(NamedTuple):
    """One box an object, surest first, and where all boxes went."""

    detections: Detections
    boxes: BoxCount


def merge_tiles(  # noqa: PLR0913 the arrays of a detection, and how to merge them
    xyxy: F32,
    score: F32,
    label: I32,
    tile: I16,
    tiles: Tiles,
    *,
    iou_threshold: float,
    agnostic: bool = False,
) -> Merged:
    """Merge the boxes of one frame.

    Args:
        xyxy: (N, 4) float32 frame pixels, each box clipped to its tile.
        score: (N,) float32.
        label: (N,) int32.
        tile: (N,) int16 index into `tiles`.
        tiles: the rectangles the boxes were seen in.
        iou_threshold: boxes of one tile and class that overlap by more are one object.
        agnostic: classes make no difference.

    The result depends on neither the order of the boxes nor that of the tiles. Boxes without an area, with NaN or
    infinite values, or of an unknown tile are dropped and counted as suppressed.
    """
    found = len(score)
    usable = np.flatnonzero(_usable(xyxy, score, tile, len(tiles)))
    seen = reference.canonical(xyxy[usable], score[usable], label[usable], tile[usable], tiles)
    if not len(seen.score):
        return Merged(_detections(seen), BoxCount(found=found, suppressed=found))
    single = seen.take(_suppress(seen, iou_threshold, agnostic=agnostic))
    merged, joined = _join(single, tiles, agnostic=agnostic)
    kept = len(merged.score)
    return Merged(
        _detections(merged),
        BoxCount(found=found, kept=kept, merged=joined, suppressed=found - kept - joined),
    )


def _usable(xyxy: F32, score: F32, tile: I16, tiles: int) -> NDArray[np.bool_]:
    finite = np.isfinite(xyxy).all(axis=1) & np.isfinite(score)
    sized = (xyxy[:, 2] > xyxy[:, 0]) & (xyxy[:, 3] > xyxy[:, 1])
    usable: NDArray[np.bool_] = finite & sized & (tile >= 0) & (tile < tiles)
    return usable


def _detections(seen: Seen) -> Detections:
    return Detections(
        xyxy=seen.boxes.astype(np.float32),
        score=seen.score.astype(np.float32),
        label=seen.label,
        tile=seen.tile,
    )


def _suppress(seen: Seen, threshold: float, *, agnostic: bool) -> NDArray[np.bool_]:
    """Return (N,) bool: the boxes that no surer one of their tile stands for."""
    if not COMPILED:
        return reference.suppress(seen, threshold, agnostic=agnostic)
    keep = np.ones(len(seen.score), np.uint8)
    by_left, widest = _sweep(seen.boxes)
    _merge.suppress(seen.boxes, seen.label, seen.tile, by_left, widest, threshold, agnostic, keep)
    return keep.astype(np.bool_)


def _join(seen: Seen, tiles: Tiles, *, agnostic: bool) -> tuple[Seen, int]:
    """Return one box an object, in canonical order, and how many boxes were joined into another one."""
    cut = reference.cut_sides(seen, tiles)
    if not COMPILED:
        return reference.join(seen, tiles, cut, agnostic=agnostic)
    rects = tiles.rects.astype(np.float64)
    cuts = cut.sum(axis=1, dtype=np.uint8)
    parent = np.arange(len(seen.score), dtype=np.int32)
    groups = reference.tile_bits(seen.tile, len(tiles))
    _merge.group(_links(seen, cuts, rects, agnostic=agnostic), groups, parent)
    return _rebuild(seen, tiles, cut, cuts, parent, groups, rects)


def _links(seen: Seen, cuts: NDArray[np.uint8], rects: NDArray[np.float64], *, agnostic: bool) -> NDArray[np.int32]:
    """Return (M, 2) pairs of linked boxes, best first."""
    by_left, widest = _sweep(seen.boxes)
    room, found = 0, LINKS_A_BOX * len(seen.score)
    pairs, weight = np.empty((0, 2), np.int32), np.empty(0)
    while found > room:
        room = found
        pairs, weight = np.empty((room, 2), np.int32), np.empty(room)
        found = _merge.link(
            *(seen.boxes, seen.label, seen.tile, cuts, by_left, widest, rects),
            *(reference.STRIP, reference.SAME, reference.OTHER, reference.DISCOUNT, agnostic, pairs, weight),
        )
    pairs, weight = pairs[:found], weight[:found]
    return np.ascontiguousarray(pairs[np.lexsort((pairs[:, 1], pairs[:, 0], -weight))])


def _rebuild(  # noqa: PLR0913, PLR0917 the tables that the steps share
    seen: Seen,
    tiles: Tiles,
    cut: NDArray[np.uint8],
    cuts: NDArray[np.uint8],
    parent: NDArray[np.int32],
    groups: NDArray[np.uint64],
    rects: NDArray[np.float64],
) -> tuple[Seen, int]:
    """Return the groups' boxes without the fragments that another group explains."""
    n = len(seen.score)
    best, highest, fused = np.full(n, -1, np.int32), np.zeros(n), np.zeros((n, 4))
    trust = reference.trust(seen, tiles, cuts)
    _merge.fuse(
        seen.boxes, seen.score, trust, cut, cuts, parent, np.zeros((n, 4)), np.zeros((n, 4)), best, highest, fused
    )
    heads = np.flatnonzero(parent == np.arange(n))
    merged = reference.result(seen, best[heads], highest[heads], fused[heads], cuts)
    fragment = reference.fragments(merged, np.bincount(parent, minlength=n)[heads], cuts[best[heads]])
    keep = np.ones(len(heads), np.uint8)
    seen_by = np.ascontiguousarray(groups[heads])
    _merge.explain(merged.boxes, merged.label, fragment, seen_by, rects, reference.CONTAINED, reference.SHOWN, keep)
    return merged.take(keep.astype(np.bool_)).sorted(tiles), n - len(heads)


def _sweep(boxes: NDArray[np.float64]) -> tuple[NDArray[np.int32], float]:
    """Return the order of the boxes' left sides, and the largest width."""
    by_left = np.argsort(boxes[:, 0], kind="stable").astype(np.int32)
    return by_left, float((boxes[:, 2] - boxes[:, 0]).max(initial=0.0))
