"""What overlapping tiles saw, merged to one box an object; the rules are in `reference.merge`.

Method: non-maximum suppression inside each tile, then a seam-aware merge across tiles that compares boxes only where
both tiles saw the same pixels.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np

from tilewatch.native import COMPILED
from tilewatch.native.reference import merge as reference
from tilewatch.native.reference.merge import Seen
from tilewatch.records import BoxCount, Detections

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from tilewatch.records import F32, I16, I32, Tiles

    F64 = NDArray[np.float64]

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
    single, kind = _suppress(seen, np.zeros_like(seen.label) if agnostic else seen.label, iou_threshold, method)
    if method == "seam" and len(kind):
        single, joined = _join(single, kind, tiles)
    kept = len(single.score)
    return Merged(
        _detections(single), BoxCount(found=found, kept=kept, merged=joined, suppressed=found - kept - joined)
    )


def _detections(seen: Seen) -> Detections:
    """Return arrays that stay what they are when the next frame comes."""
    return Detections(
        xyxy=seen.boxes.astype(np.float32),
        score=seen.score.astype(np.float32),
        label=seen.label.copy(),
        tile=seen.tile.copy(),
    )


class _Room(threading.local):
    """Arrays that one thread's calls use again and again: fetching fresh memory takes longer than the merge."""

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[Any]] = {}

    def __call__(self, name: str, count: int, dtype: DTypeLike, columns: tuple[int, ...] = ()) -> NDArray[Any]:
        """Return (count, *columns) values of any content."""
        array = self._arrays.get(name)
        if array is None or len(array) < count or array.shape[1:] != columns:
            array = self._arrays[name] = np.empty((count + count // 4, *columns), dtype)
        return array[:count]

    def take(self, name: str, seen: Seen, keep: NDArray[Any]) -> Seen:
        """Return the boxes of these indices."""
        n = len(keep)
        taken = Seen(
            self(f"{name} boxes", n, np.float64, (4,)),
            self(f"{name} score", n, np.float64),
            self(f"{name} label", n, np.int32),
            self(f"{name} tile", n, np.int16),
        )
        for array, to in zip(seen, taken, strict=True):
            array.take(keep, axis=0, out=to, mode="clip")  # 'raise' would go by way of a copy
        return taken


_room = _Room()


def _grid(points: int) -> I32:
    """Return what a grid of that many points takes."""
    return _room("grid", 5 * points + 64, np.int32)


def _canonical(seen: Seen, tiles: Tiles, name: str = "seen") -> Seen:
    """Return the usable boxes in canonical order."""
    if not COMPILED:
        return reference.canonical(seen, tiles)
    n = len(seen.score)
    order = _room("order", n, np.int32)
    usable = _merge.order(*seen, reference.tile_rank(tiles), _room("keyed", 2 * n, np.uint64), order)
    return _room.take(name, seen, order[:usable])


def _suppress(seen: Seen, kind: I32, threshold: float, method: Method) -> tuple[Seen, I32]:
    """Return the boxes that no surer one stands for, and their kinds."""
    tile = seen.tile.astype(np.int32) if method == "seam" else np.zeros_like(kind)
    if not COMPILED:
        keep = np.flatnonzero(reference.suppress(seen.boxes, kind, tile, threshold, smaller=method == "ios"))
        return seen.take(keep), kind.take(keep)
    n = len(kind)
    kept = _room("kept", n, np.int32)
    left = _merge.suppress(
        seen.boxes, kind, tile, threshold, method == "ios", _grid(n), _room("keep", n, np.uint8), kept
    )
    single = _room.take("single", seen, kept[:left])
    return single, single.label if kind is seen.label else kind[:left]


def _join(seen: Seen, kind: I32, tiles: Tiles) -> tuple[Seen, int]:
    """Return one box an object, in canonical order, and how many boxes were joined into another one."""
    if not COMPILED:
        return reference.join(seen, kind, tiles)
    n, rects = len(kind), tiles.rects.astype(np.float64)
    sides, part, whose = _share(seen, tiles, rects)
    pairs, weight = _links(seen, kind, sides.cuts, part, whose)
    parent, groups = _room("parent", n, np.int32), _room("groups", n, np.uint64, ((len(tiles) + 63) // 64,))
    keyed, ranked = _room("keyed", 2 * len(weight), np.uint64), _room("order", len(weight), np.int32)
    _merge.group(seen.tile, pairs, weight, keyed, ranked, groups, parent)
    merged, lone = _fuse(seen, tiles, sides, parent)
    count = len(merged.score)
    kind = merged.label if kind is seen.label else kind[:count]
    keep, kept = _room("keep", count, np.uint8), _room("kept", count, np.int32)
    left = _merge.explain(
        *(merged.boxes, kind, *lone, groups, rects, reference.CONTAINED, reference.SHOWN, _grid(count), keep, kept)
    )
    return _canonical(_room.take("single", merged, kept[:left]), tiles), n - count


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


def _share(seen: Seen, tiles: Tiles, rects: F64) -> tuple[_Sides, F64, I32]:
    """Return the cut sides, (P, 4) the parts of boxes in the area two tiles share, and (P, 2) box and other tile."""
    n, room, found = len(seen.score), -1, PARTS_A_BOX * len(seen.score)
    sides = _Sides(
        _room("cut", n, np.uint8, (4,)), _room("cuts", n, np.uint8), _room("inside", n, np.uint8)
    )
    neighbours = _room("neighbours", (len(tiles) + 1) ** 2, np.int32)
    margin, inner = reference.cut_margin(tiles), tiles.inner.view(np.uint8)
    while found > room:
        room = found
        part, whose = _room("part", room, np.float64, (4,)), _room("whose", room, np.int32, (2,))
        found = _merge.share(
            *(seen.boxes, seen.tile, rects, margin, inner, reference.STRIP, neighbours), *sides, part, whose
        )
    return sides, part[:found], whose[:found]


def _links(seen: Seen, kind: I32, cuts: NDArray[np.uint8], part: F64, whose: I32) -> tuple[I32, F64]:
    """Return (M, 2) pairs of linked boxes and (M,) how alike they are."""
    grid, room, found = _grid(len(part)), -1, LINKS_A_BOX * len(kind)
    while found > room:
        room = found
        pairs, weight = _room("pairs", room, np.int32, (2,)), _room("weight", room, np.float64)
        found = _merge.link(
            *(kind, seen.tile, cuts, part, whose),
            *(reference.SAME, reference.OTHER, reference.DISCOUNT, grid, pairs, weight),
        )
    return pairs[:found], weight[:found]


def _fuse(seen: Seen, tiles: Tiles, sides: _Sides, parent: I32) -> tuple[Seen, _Lone]:
    """Return the G groups' boxes, and what rule 6 asks of them."""
    n = len(parent)
    merged = Seen(
        _room("fused boxes", n, np.float64, (4,)),
        _room("fused score", n, np.float64),
        _room("fused label", n, np.int32),
        _room("fused tile", n, np.int16),
    )
    lone = _Lone(_room("fragment", n, np.int32), _room("head", n, np.int32), _room("shut", n, np.uint8))
    room, sums = _room("members", 4 * n, np.int32), _room("sums", n // 2, np.float64, (2, 4))
    trust = reference.tile_trust(tiles)
    groups = _merge.fuse(*seen, trust, reference.TRUST_CUT, *sides, parent, room, sums, *merged, *lone)
    return Seen(*(array[:groups] for array in merged)), _Lone(*(array[:groups] for array in lone))
