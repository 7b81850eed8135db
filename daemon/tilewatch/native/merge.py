"""What overlapping tiles saw, merged to one box an object; the rules are in `reference.merge`.

Method: non-maximum suppression inside each tile, then a seam-aware merge across tiles that compares boxes only where
both tiles saw the same pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np

from tilewatch.native import COMPILED
from tilewatch.native.reference import merge as reference
from tilewatch.native.reference.merge import Seen
from tilewatch.records import BoxCount, Detections

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from tilewatch.records import F32, I16, I32, Tiles

if COMPILED:
    from tilewatch.native import _merge

Method: TypeAlias = Literal["seam", "nms", "ios"]

PARTS_A_BOX, LINKS_A_BOX = 3, 2
"""Room on the first try; a crowd with more gets a second one."""


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
    method: Method = "seam",
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
        method: 'seam' as above; 'nms' is non-maximum suppression over the whole frame as if there were no tiles, and
            'ios' the same with the overlap measured by the smaller box instead of the union.
        agnostic: classes make no difference.

    The result depends on neither the order of the boxes nor that of the tiles. Boxes without an area, with NaN or
    infinite values, or of an unknown tile are dropped and counted as suppressed.
    """
    found, joined = len(score), 0
    seen = _canonical(Seen.of(xyxy, score, label, tile), tiles)
    kind = np.zeros_like(seen.label) if agnostic else seen.label
    single = _suppress(seen, kind, iou_threshold, method)
    seen = seen.take(single)
    if method == "seam" and len(single):
        seen, joined = _join(seen, kind.take(single), tiles)
    kept = len(seen.score)
    return Merged(
        _detections(seen), BoxCount(found=found, kept=kept, merged=joined, suppressed=found - kept - joined)
    )


def _detections(seen: Seen) -> Detections:
    return Detections(
        xyxy=seen.boxes.astype(np.float32), score=seen.score.astype(np.float32), label=seen.label, tile=seen.tile
    )


def _canonical(seen: Seen, tiles: Tiles) -> Seen:
    """Return the usable boxes in canonical order."""
    if not COMPILED:
        return reference.canonical(seen, tiles)
    keyed, order = np.empty((2, len(seen.score)), np.uint64), np.empty(len(seen.score), np.int32)
    usable = _merge.order(*seen, reference.tile_rank(tiles), keyed, order)
    return seen.take(order[:usable])


def _suppress(seen: Seen, kind: I32, threshold: float, method: Method) -> NDArray[np.intp]:
    """Return the indices of the boxes that no surer one stands for."""
    tile = seen.tile.astype(np.int32) if method == "seam" else np.zeros_like(kind)
    if not COMPILED:
        return np.flatnonzero(reference.suppress(seen.boxes, kind, tile, threshold, smaller=method == "ios"))
    keep = np.ones(len(kind), np.uint8)
    _merge.suppress(seen.boxes, kind, tile, threshold, method == "ios", _room(len(kind)), keep)
    return np.flatnonzero(keep)


def _join(seen: Seen, kind: I32, tiles: Tiles) -> tuple[Seen, int]:
    """Return one box an object, in canonical order, and how many boxes were joined into another one."""
    if not COMPILED:
        return reference.join(seen, kind, tiles)
    rects = tiles.rects.astype(np.float64)
    sides, part, whose = _share(seen, tiles, rects)
    pairs, weight = _links(seen, kind, sides.cuts, part, whose)
    parent = np.arange(len(kind), dtype=np.int32)
    groups = reference.tile_bits(seen.tile, len(tiles))
    keyed, ranked = np.empty((2, len(weight)), np.uint64), np.empty(len(weight), np.int32)
    _merge.group(pairs, weight, keyed, ranked, groups, parent)
    merged, kind, lone = _fuse(seen, kind, tiles, sides, parent)
    keep = np.ones(len(kind), np.uint8)
    room = _room(len(kind))
    _merge.explain(merged.boxes, kind, *lone, groups, rects, reference.CONTAINED, reference.SHOWN, room, keep)
    return _canonical(merged.take(np.flatnonzero(keep)), tiles), len(parent) - len(kind)


class _Sides(NamedTuple):
    """What the tiles' sides do to N boxes."""

    cut: NDArray[np.uint8]
    """(N, 4) 1: this side is cut."""
    cuts: NDArray[np.uint8]
    """(N,) how many are."""
    inside: NDArray[np.uint8]
    """(N,) 1: no other tile sees any of it."""


class _Lone(NamedTuple):
    """What rule 6 asks of G groups."""

    fragment: I32
    """(G,) tile of a group that is a single cut box, else -1."""
    head: I32
    """(G,) first member."""
    shut: NDArray[np.uint8]
    """(G,) 1: a single box of which no other tile sees any part."""


def _share(seen: Seen, tiles: Tiles, rects: NDArray[np.float64]) -> tuple[_Sides, NDArray[np.float64], I32]:
    """Return the cut sides, (P, 4) the parts of boxes in the area two tiles share, and (P, 2) box and other tile."""
    n, room, found = len(seen.score), 0, PARTS_A_BOX * len(seen.score)
    sides = _Sides(np.empty((n, 4), np.uint8), np.empty(n, np.uint8), np.empty(n, np.uint8))
    neighbours = np.empty((len(tiles) + 1) ** 2, np.int32)
    margin, inner = reference.cut_margin(tiles), tiles.inner.view(np.uint8)
    part, whose = np.empty((0, 4)), np.empty((0, 2), np.int32)
    while found > room:
        room = found
        part, whose = np.empty((room, 4)), np.empty((room, 2), np.int32)
        found = _merge.share(
            *(seen.boxes, seen.tile, rects, margin, inner, reference.STRIP, neighbours), *sides, part, whose
        )
    return sides, part[:found], whose[:found]


def _links(
    seen: Seen, kind: I32, cuts: NDArray[np.uint8], part: NDArray[np.float64], whose: I32
) -> tuple[I32, NDArray[np.float64]]:
    """Return (M, 2) pairs of linked boxes and (M,) how alike they are."""
    grid, room, found = _room(len(part)), 0, LINKS_A_BOX * len(kind)
    pairs, weight = np.empty((0, 2), np.int32), np.empty(0)
    while found > room:
        room = found
        pairs, weight = np.empty((room, 2), np.int32), np.empty(room)
        found = _merge.link(
            *(kind, seen.tile, cuts, part, whose),
            *(reference.SAME, reference.OTHER, reference.DISCOUNT, grid, pairs, weight),
        )
    return pairs[:found], weight[:found]


def _fuse(seen: Seen, kind: I32, tiles: Tiles, sides: _Sides, parent: I32) -> tuple[Seen, I32, _Lone]:
    """Return the G groups' boxes, their classes' kinds, and what rule 6 asks of them."""
    n = len(parent)
    merged = Seen(np.empty((n, 4)), np.empty(n), np.empty(n, np.int32), np.empty(n, np.int16))
    lone = _Lone(np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.uint8))
    room, sums = np.empty((4, n), np.int32), np.empty((n // 2, 2, 4))
    trust = reference.tile_trust(tiles)
    groups = _merge.fuse(*seen, trust, reference.TRUST_CUT, *sides, parent, room, sums, *merged, *lone)
    merged, lone = Seen(*(array[:groups] for array in merged)), _Lone(*(array[:groups] for array in lone))
    return merged, merged.label if kind is seen.label else kind[:groups], lone


def _room(points: int) -> I32:
    """Return what a grid of that many points takes."""
    return np.empty(5 * points + 64, np.int32)
