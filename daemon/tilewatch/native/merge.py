"""What overlapping tiles saw, merged to one box an object; the rules are in `reference.merge`.

Method: non-maximum suppression inside each tile, then a seam-aware merge across tiles that compares boxes only where
both tiles saw the same pixels.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np

from tilewatch.native import COMPILED
from tilewatch.native.reference import merge as reference
from tilewatch.native.reference.merge import Seen
from tilewatch.native.room import Room
from tilewatch.records import BoxCount, Detections

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilewatch.records import F32, I16, I32, Bool, Tiles

    F64 = NDArray[np.float64]

if COMPILED:
    from tilewatch.native import _merge

Method: TypeAlias = Literal["seam", "nms", "ios"]

PARTS_A_BOX, LINKS_A_BOX = 3, 2
"""Room on the first try; a crowd with more gets a second one."""
BLOCK = 8
"""Boxes side by side that are compared at a time."""


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
    current: Bool | None = None,
    room: Room | None = None,
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
        current: (T,) bool, the tiles whose silence counts against an object; None: all.
        room: scratch arrays of earlier calls.

    The result depends on neither the order of the boxes nor that of the tiles. Boxes without an area, with NaN or
    infinite values, or of an unknown tile are dropped and counted as suppressed.
    """
    found, joined, room = len(score), 0, room or Room()
    seen = _canonical(_given(room, xyxy, score, label, tile), tiles, room)
    single, kind = _suppress(seen, np.zeros_like(seen.label) if agnostic else seen.label, iou_threshold, method, room)
    if method == "seam" and len(kind):
        single, joined = _join(single, kind, tiles, np.ones(len(tiles), np.bool_) if current is None else current, room)
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


def _seen(room: Room, name: Literal["seen", "single"], count: int) -> Seen:
    """Return boxes of any content. Two sets are enough for all steps: each reads the one and writes the other."""
    return Seen(
        room(f"{name} boxes", count, np.float64, (4,)),
        room(f"{name} score", count, np.float64),
        room(f"{name} label", count, np.int32),
        room(f"{name} tile", count, np.int16),
    )


def _given(room: Room, *columns: NDArray[Any]) -> Seen:
    """Return boxes as they came, in the types of the merge."""
    given = _seen(room, "single", len(columns[0]))
    for array, column in zip(given, columns, strict=True):
        array[...] = column  # type: ignore[index]  # the fields of a named tuple are objects to mypy
    return given


def _take(room: Room, name: Literal["seen", "single"], seen: Seen, keep: NDArray[Any]) -> Seen:
    """Return the boxes of these indices."""
    taken = _seen(room, name, len(keep))
    _merge.take(*seen, keep, *taken)
    return taken


def _grid(room: Room, points: int) -> I32:
    """Return what a grid of that many points takes."""
    return room("grid", 9 * points + 64, np.int32)


def _columns(room: Room, boxes: int) -> F64:
    """Return what that many boxes side by side take."""
    return room("columns", 4 * (boxes + BLOCK), np.float64)


def _canonical(seen: Seen, tiles: Tiles, room: Room) -> Seen:
    """Return the usable boxes in canonical order."""
    if not COMPILED:
        return reference.canonical(seen, tiles)
    n = len(seen.score)
    order = room("order", n, np.int32)
    usable = _merge.order(*seen, _facts(tiles).rank, room("keyed", 2 * n, np.uint64), order)
    return _take(room, "seen", seen, order[:usable])


def _suppress(seen: Seen, kind: I32, threshold: float, method: Method, room: Room) -> tuple[Seen, I32]:
    """Return the boxes that no surer one stands for, and their kinds."""
    tile = seen.tile.astype(np.int32) if method == "seam" else np.zeros_like(kind)
    if not COMPILED:
        keep = np.flatnonzero(reference.suppress(seen.boxes, kind, tile, threshold, smaller=method == "ios"))
        return seen.take(keep), kind.take(keep)
    n = len(kind)
    kept = room("kept", n, np.int32)
    grid, columns, alive = _grid(room, n), _columns(room, n), room("keep", n, np.uint8)
    left = _merge.suppress(seen.boxes, kind, tile, threshold, method == "ios", grid, columns, alive, kept)
    single = _take(room, "single", seen, kept[:left])
    return single, single.label if kind is seen.label else kind[:left]


def _join(seen: Seen, kind: I32, tiles: Tiles, current: Bool, room: Room) -> tuple[Seen, int]:
    """Return one box an object, in canonical order, and how many boxes were joined into another one."""
    if not COMPILED:
        return reference.join(seen, kind, tiles, current)
    n, facts = len(kind), _facts(tiles)
    sides, parts = _share(seen, tiles, room)
    pairs, weight = _links(kind, tiles, sides.cuts, parts, room)
    parent, groups = room("parent", n, np.int32), room("groups", n, np.uint64, ((len(tiles) + 63) // 64,))
    keyed, ranked = room("keyed", 2 * len(weight), np.uint64), room("order", len(weight), np.int32)
    _merge.group(seen.tile, pairs, weight, keyed, ranked, groups, parent)
    merged, lone = _fuse(seen, tiles, sides, parent, room)
    count = len(merged.score)
    kind = merged.label if kind is seen.label else kind[:count]
    keep, kept = room("keep", count, np.uint8), room("kept", count, np.int32)
    left = _merge.explain(
        *(merged.boxes, kind, *lone, groups, facts.rects, reference.CONTAINED, reference.SHOWN),
        *(_grid(room, count), keep, kept),
    )
    _merge.doubt(
        *(merged.boxes, merged.tile, lone.head, lone.shut, groups, facts.whole, current.view(np.uint8)),
        *(facts.meeting.first, facts.meeting.other, reference.DENIED, merged.score),
    )
    return _canonical(_take(room, "single", merged, kept[:left]), tiles, room), n - count


class _Facts(NamedTuple):
    """What the merge has to know of T tiles."""

    rank: I32
    """(T,) place in an order that the tiles' content decides."""
    rects: F64
    """(T, 4) frame pixels."""
    margin: F64
    """(T,) pixels from a side within which a box is cut."""
    inner: NDArray[np.uint8]
    """(T, 4) 1: the grid made this side."""
    trust: F64
    """(T,) what their boxes weigh."""
    whole: F64
    """(T, 4) frame pixels: strictly within it an object is seen whole."""
    meeting: _Meeting


class _Meeting(NamedTuple):
    """Which of T tiles share pixels: K times one with another, in S strips."""

    first: I32
    """(T + 1,) where the others of a tile begin."""
    other: I32
    """(K,) index of a tile, ascending for each."""
    strip: I32
    """(K,) index of the area they share."""
    sides: F64
    """(4, K and more) the other's left, top, right and bottom."""
    areas: F64
    """(S, 4) what two tiles share, frame pixels."""


def _meeting(rects: F64) -> _Meeting:
    """Return what tiles share."""
    tiles = len(rects)
    most = tiles * tiles
    first, number = np.empty(tiles + 1, np.int32), np.empty((tiles, tiles), np.int32)
    other, strip = np.empty(most, np.int32), np.empty(most, np.int32)
    sides, areas = np.empty((4, most + BLOCK)), np.empty((most, 4))
    strips = _merge.meet(rects, first, other, strip, sides, number, areas)
    return _Meeting(first, other, strip, sides, areas[:strips])


@lru_cache(maxsize=4)
def _facts(tiles: Tiles) -> _Facts:
    """Return what is known of tiles; from frame to frame they are the same object."""
    rects = tiles.rects.astype(np.float64)
    return _Facts(
        rank=reference.tile_rank(tiles),
        rects=rects,
        margin=reference.cut_margin(tiles),
        inner=tiles.inner.astype(np.uint8),
        trust=reference.tile_trust(tiles),
        whole=reference.whole(tiles),
        meeting=_meeting(rects),
    )


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


class _Parts(NamedTuple):
    """Parts of boxes in strips; between those of the earlier and of the later tile lies what is not used."""

    box: F64
    """(P, 4) frame pixels."""
    whose: I32
    """(P, 2) box and strip."""
    front: int
    """How many are of the earlier tile."""
    back: int
    """How many are of the later tile."""


def _share(seen: Seen, tiles: Tiles, room: Room) -> tuple[_Sides, _Parts]:
    """Return the cut sides, and the parts of boxes in the areas that tiles share."""
    n, most, facts = len(seen.score), 0, _facts(tiles)
    sides = _Sides(room("cut", n, np.uint8, (4,)), room("cuts", n, np.uint8), room("inside", n, np.uint8))
    front, back, found = 0, 0, PARTS_A_BOX * n
    box, whose = room("part", 0, np.float64, (4,)), room("whose", 0, np.int32, (2,))
    while found > most:
        most = found
        box, whose = room("part", most, np.float64, (4,)), room("whose", most, np.int32, (2,))
        front, back = _merge.share(
            *(seen.boxes, seen.tile, facts.rects, facts.margin, facts.inner, *facts.meeting[:4], reference.STRIP),
            *(*sides, box, whose),
        )
        found = front + back
    return sides, _Parts(box, whose, front, back)


def _links(kind: I32, tiles: Tiles, cuts: NDArray[np.uint8], parts: _Parts, room: Room) -> tuple[I32, F64]:
    """Return (M, 2) pairs of linked boxes and (M,) how alike they are."""
    areas, most, found = _facts(tiles).meeting.areas, 0, LINKS_A_BOX * len(kind)
    grid, columns = room("grid", 4 * parts.front + 3 * len(areas) + 3, np.int32), _columns(room, parts.front)
    pairs, weight = room("pairs", 0, np.int32, (2,)), room("weight", 0, np.float64)
    while found > most:
        most = found
        pairs, weight = room("pairs", most, np.int32, (2,)), room("weight", most, np.float64)
        found = _merge.link(
            *(kind, cuts, *parts, areas, reference.SAME, reference.OTHER, reference.DISCOUNT),
            *(grid, columns, pairs, weight),
        )
    return pairs[:found], weight[:found]


def _fuse(seen: Seen, tiles: Tiles, sides: _Sides, parent: I32, room: Room) -> tuple[Seen, _Lone]:
    """Return the G groups' boxes, and what rule 6 asks of them."""
    n = len(parent)
    merged = _seen(room, "seen", n)
    lone = _Lone(room("fragment", n, np.int32), room("head", n, np.int32), room("shut", n, np.uint8))
    members, sums = room("members", 4 * n, np.int32), room("sums", n // 2, np.float64, (2, 4))
    trust = _facts(tiles).trust
    groups = _merge.fuse(
        *(*seen, trust, reference.TRUST_CUT, *sides, parent, members, sums),
        *(merged.boxes, merged.score, merged.label, merged.tile, *lone),
    )
    return merged.first(groups), _Lone(lone.fragment[:groups], lone.head[:groups], lone.shut[:groups])
