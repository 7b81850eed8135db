"""The rules of the merge, in numpy.

1. Inside a tile, a box that overlaps a surer one of its class by more than the threshold is the same object. (The
   methods 'nms' and 'ios' do this and nothing else, over the whole frame; 'ios' compares the overlap with the smaller
   of the two areas instead of with their union.)
2. A side of a box is *cut* when it lies within max(3 px, 1.2 % of the tile) of a tile side that the grid made.
3. Boxes of different tiles are compared only inside the two tiles' common area, where both saw the same pixels: the
   IoU of the boxes clipped to it must be 0.45; boxes of different classes need 0.75 and a cut side, and are
   discounted. Common strips of 4 px or less say nothing.
4. Links are taken one by one, best first; a group never holds two boxes of one tile, so neighbours are never merged.
5. Each side of the result is the weighted mean of the members for which it is not cut (whole boxes weigh their score,
   cut ones 0.6 of it, those of the full-frame pass 0.35); if it is cut in all, the outermost. Class from the least
   cut, surest member; its score too, unless it is cut itself: then the group's highest. A group of one stays as it
   is.
6. A left-over cut box that lies to 70 % inside a larger one of its class which has no box of that tile, and shows at
   least 30 % of what that tile could see of it, is a fragment of it and dropped.
7. An object that as many tiles deny as report it is less sure: its score falls to 0.8 of what it was. A tile denies
   what it saw whole, no side of it cut, without reporting it. The full-frame pass denies nothing, since it does not see
   what is small; nor does a tile that was not looked at in this frame and may be out of date.

Where classes make no difference, all boxes count as of one class in every rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilewatch.records import I16, I32, Bool, Tiles

    F64 = NDArray[np.float64]
    Bits = NDArray[np.uint64]

STRIP = 4.0
SAME = 0.45
OTHER = 0.75
DISCOUNT = 0.9
CUT_PIXELS, CUT_SHARE = 3.0, 0.012
TRUST_CUT, TRUST_FULL_FRAME = 0.6, 0.35
CONTAINED, SHOWN = 0.7, 0.3
DENIED = 0.8
WORD = 64


class Seen(NamedTuple):
    """N boxes in canonical order."""

    boxes: F64
    """(N, 4) frame pixels."""
    score: F64
    label: I32
    tile: I16

    def take(self, keep: NDArray[Any]) -> Seen:
        """Return the boxes of these indices."""
        return Seen(self.boxes.take(keep, axis=0), self.score.take(keep), self.label.take(keep), self.tile.take(keep))

    def first(self, count: int) -> Seen:
        """Return the first boxes, a view."""
        return Seen(self.boxes[:count], self.score[:count], self.label[:count], self.tile[:count])

    def sorted(self, tiles: Tiles) -> Seen:
        """Return them surest first; ties are decided by content alone, never by the order they came in."""
        ties = (tile_rank(tiles)[self.tile], *self.boxes.T[::-1], self.label)
        return self.take(np.lexsort((*ties, -self.score)))


def tile_rank(tiles: Tiles) -> I32:
    """Return (T,) the tiles' places in an order that their content alone decides."""
    return np.lexsort((*tiles.rects.T[::-1], tiles.full_frame)).argsort().astype(np.int32)


def canonical(seen: Seen, tiles: Tiles) -> Seen:
    """Return the usable boxes in canonical order: finite, with an area, of a known tile."""
    boxes = seen.boxes
    usable = np.isfinite(boxes).all(axis=1) & np.isfinite(seen.score)
    usable &= (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    usable &= (seen.tile >= 0) & (seen.tile < len(tiles))
    return seen.take(np.flatnonzero(usable)).sorted(tiles)


def suppress(boxes: F64, kind: I32, tile: I32, threshold: float, *, smaller: bool) -> NDArray[np.bool_]:
    """Return (N,) bool: rule 1, where boxes of different kind or tile have nothing to do with each other.

    Args:
        boxes: (N, 4) in canonical order.
        kind: (N,) class.
        tile: (N,) tile.
        threshold: largest share of the common area.
        smaller: the share is that of the smaller box, else that of the union.
    """
    keep = np.ones(len(boxes), np.bool_)
    for i in range(len(keep)):
        if keep[i]:
            shared = _shared(boxes[i], boxes)
            size, sizes = _area(boxes[i]), _area(boxes)
            alike = shared > threshold * (np.minimum(size, sizes) if smaller else size + sizes - shared)
            alike[: i + 1] = False
            keep &= ~((tile == tile[i]) & (kind == kind[i]) & alike)
    return keep


def cut_sides(seen: Seen, tiles: Tiles) -> NDArray[np.uint8]:
    """Return (N, 4) uint8, 1 where a side is cut: rule 2."""
    near = np.abs(seen.boxes - tiles.rects[seen.tile]) <= cut_margin(tiles)[seen.tile, None]
    return np.ascontiguousarray(near & tiles.inner[seen.tile], dtype=np.uint8)


def cut_margin(tiles: Tiles) -> F64:
    """Return (T,) pixels from a tile's side within which a box is cut."""
    size = np.minimum(tiles.rects[:, 2] - tiles.rects[:, 0], tiles.rects[:, 3] - tiles.rects[:, 1])
    margin: F64 = np.maximum(CUT_PIXELS, CUT_SHARE * size)
    return margin


def whole(tiles: Tiles) -> F64:
    """Return (T, 4) float64 strictly within which nothing is cut; nothing of the full-frame pass: rule 7."""
    margin = np.where(tiles.inner, cut_margin(tiles)[:, None], -1.0)  # what ends at the frame's side is whole
    rects: F64 = tiles.rects + margin * [1, 1, -1, -1]
    rects[tiles.full_frame] = 0
    return rects


def tile_bits(tile: I16, tiles: int) -> Bits:
    """Return (N, W) uint64 with the bit of each box's tile set."""
    bits = np.zeros((len(tile), (tiles + WORD - 1) // WORD), np.uint64)
    bits[np.arange(len(tile)), tile // WORD] = np.uint64(1) << (tile % WORD).astype(np.uint64)
    return bits


def tile_trust(tiles: Tiles) -> F64:
    """Return (T,) what a tile's boxes weigh in rule 5."""
    return np.where(tiles.full_frame, TRUST_FULL_FRAME, 1.0)


def join(seen: Seen, kind: I32, tiles: Tiles, current: Bool) -> tuple[Seen, int]:
    """Return one box an object, in canonical order, and how many boxes were joined into another one: rules 2 to 7."""
    cut = cut_sides(seen, tiles)
    cuts = cut.sum(axis=1, dtype=np.uint8)
    groups = _groups(seen, _links(seen, kind, tiles, cuts))
    weights = seen.score * (tile_trust(tiles)[seen.tile] * np.where(cuts > 0, TRUST_CUT, 1.0))
    best = np.array([min(members, key=lambda i: (cuts[i], -seen.score[i], i)) for members in groups])
    merged = Seen(
        boxes=np.array([_fused(seen, cut, weights, members) for members in groups]),
        score=np.where(cuts[best] > 0, [seen.score[members].max() for members in groups], seen.score[best]),
        label=seen.label[best],
        tile=seen.tile[best],
    )
    fragment = np.where(np.array([len(members) == 1 for members in groups]) & (cuts[best] > 0), merged.tile, -1)
    tiles_of = [set(seen.tile[members].tolist()) for members in groups]
    keep = _explained(merged, kind[best], fragment.astype(np.int32), tiles_of, tiles)
    denied = _denials(merged.boxes, tiles_of, whole(tiles), current) >= [len(reporters) for reporters in tiles_of]
    merged = merged._replace(score=np.where(denied, DENIED * merged.score, merged.score))
    return merged.take(np.flatnonzero(keep)).sorted(tiles), len(seen.score) - len(groups)


def _links(seen: Seen, kind: I32, tiles: Tiles, cuts: NDArray[np.uint8]) -> list[tuple[float, int, int]]:
    """Return (-likeness, i, j) of linked boxes, best first: rule 3."""
    found = []
    for i in range(len(seen.score)):
        for j in range(i + 1, len(seen.score)):
            if seen.tile[i] == seen.tile[j]:
                continue
            value = _likeness(seen, tiles, i, j)
            if kind[i] != kind[j]:
                value = value * DISCOUNT if value >= OTHER and (cuts[i] or cuts[j]) else 0.0
            if value >= SAME:
                found.append((-value, i, j))
    return sorted(found)


def _likeness(seen: Seen, tiles: Tiles, i: int, j: int) -> float:
    first, second = tiles.rects[seen.tile[i]], tiles.rects[seen.tile[j]]
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    a, b = (
        np.concatenate([np.maximum(box[:2], low), np.minimum(box[2:], high)]) for box in (seen.boxes[i], seen.boxes[j])
    )
    if min(a[2] - a[0], a[3] - a[1], b[2] - b[0], b[3] - b[1]) <= STRIP:
        return 0.0
    shared = float(_shared(a, b))
    return shared / (float(_area(a)) + float(_area(b)) - shared)


def _groups(seen: Seen, links: list[tuple[float, int, int]]) -> list[list[int]]:
    """Return the members of each group, by the group's first member: rule 4."""
    home = {i: [i] for i in range(len(seen.score))}
    for _, i, j in links:
        a, b = home[i], home[j]
        if a is b or set(seen.tile[a].tolist()) & set(seen.tile[b].tolist()):
            continue
        joined = sorted(a + b)
        home.update(dict.fromkeys(joined, joined))
    return [members for i, members in home.items() if members[0] == i]


def _fused(seen: Seen, cut: NDArray[np.uint8], weights: F64, members: list[int]) -> list[float]:
    """Return the sides of a group's box: rule 5."""
    if len(members) == 1:
        return list(seen.boxes[members[0]])
    sides = []
    for side in range(4):
        total = weight = 0.0
        for i in members:
            if not cut[i, side]:
                total += weights[i] * seen.boxes[i, side]
                weight += weights[i]
        outermost = (min if side < 2 else max)(seen.boxes[i, side] for i in members)
        sides.append(total / weight if weight > 0 else outermost)
    return sides


def _explained(merged: Seen, kind: I32, fragment: I32, seen_by: list[set[int]], tiles: Tiles) -> NDArray[np.bool_]:
    """Return (G,) bool: False for the fragments of rule 6."""
    keep = np.ones(len(merged.score), np.bool_)
    for f in np.flatnonzero(fragment >= 0):
        rect = tiles.rects[fragment[f]].astype(np.float64)
        shared, size = _shared(merged.boxes[f], merged.boxes), _area(merged.boxes[f])
        visible = _shared(rect, merged.boxes)
        holds = keep & (kind == kind[f]) & (shared >= CONTAINED * size) & (_area(merged.boxes) >= size)
        holds &= (visible > 0) & (shared >= SHOWN * visible)
        holds[f] = False
        keep[f] = not any(int(fragment[f]) not in seen_by[o] for o in np.flatnonzero(holds))
    return keep


def _denials(boxes: F64, seen_by: list[set[int]], whole: F64, current: Bool) -> I32:
    """Return (G,) how many current tiles saw all of an object and do not report it: rule 7."""
    shown = (boxes[:, None, :2] > whole[:, :2]).all(axis=2) & (boxes[:, None, 2:] < whole[:, 2:]).all(axis=2) & current
    for group, reporters in enumerate(seen_by):
        shown[group, list(reporters)] = False
    denials: I32 = shown.sum(axis=1, dtype=np.int32)
    return denials


def _area(boxes: F64) -> F64:
    areas: F64 = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    return areas


def _shared(a: F64, b: F64) -> F64:
    """Return the area that a box shares with another one, or with each of several."""
    width = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    height = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    shared: F64 = np.where((width > 0) & (height > 0), width * height, 0.0)
    return shared
