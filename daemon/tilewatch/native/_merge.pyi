"""Loops of the merge; see native.merge for what they are for. All release the GIL and own nothing.

Boxes are (N, 4) frame pixels in canonical order, unless said otherwise. `grid` and `columns` are scratch: 9 a box and
64, and 4 a box and 32.
"""

from numpy import float64, int16, int32, uint8, uint64
from numpy.typing import NDArray

def order(
    boxes: NDArray[float64],
    score: NDArray[float64],
    label: NDArray[int32],
    tile: NDArray[int16],
    tile_rank: NDArray[int32],
    keyed: NDArray[uint64],
    found: NDArray[int32],
) -> int:
    """Write the usable boxes' indices to `found` (N,), surest first; return how many. `keyed` (2 N,) is scratch."""

def take(
    boxes: NDArray[float64],
    score: NDArray[float64],
    label: NDArray[int32],
    tile: NDArray[int16],
    chosen: NDArray[int32],
    to_boxes: NDArray[float64],
    to_score: NDArray[float64],
    to_label: NDArray[int32],
    to_tile: NDArray[int16],
) -> None:
    """Write the boxes of the `chosen` (M,) indices to the last four (M, ...)."""

def suppress(
    boxes: NDArray[float64],
    label: NDArray[int32],
    tile: NDArray[int32],
    threshold: float,
    smaller: bool,
    grid: NDArray[int32],
    columns: NDArray[float64],
    keep: NDArray[uint8],
    kept: NDArray[int32],
) -> int:
    """Write to `kept` (N,) the boxes that overlap no surer one of their tile and class by more than the threshold.

    `smaller` measures the overlap by the smaller box, else by the union; `keep` (N,) is scratch. Returns their number.
    """

def meet(
    rects: NDArray[float64],
    first: NDArray[int32],
    other: NDArray[int32],
    strip: NDArray[int32],
    sides: NDArray[float64],
    number: NDArray[int32],
    areas: NDArray[float64],
) -> int:
    """Write which of T tiles share pixels; return the number of strips: areas that two of them share.

    What tile t shares with others is in `other` and `strip` (T^2,) from `first[t]` to `first[t + 1]`: their indices,
    ascending, and those of the strips. `sides` (4, T^2 + 8) gets the others' left, top, right and bottom, `areas`
    (T^2, 4) the strips. `number` (T, T) is scratch.
    """

def share(
    boxes: NDArray[float64],
    tile: NDArray[int16],
    rects: NDArray[float64],
    margin: NDArray[float64],
    inner: NDArray[uint8],
    first: NDArray[int32],
    other: NDArray[int32],
    strip: NDArray[int32],
    sides: NDArray[float64],
    least: float,
    cut: NDArray[uint8],
    cuts: NDArray[uint8],
    inside: NDArray[uint8],
    part: NDArray[float64],
    whose: NDArray[int32],
) -> tuple[int, int]:
    """Write what the sides of tiles do to boxes, and the parts of boxes in strips, if wider than `least`.

    `rects`, `margin` and `inner` have T rows; the next four are those of `meet`. `cut` (N, 4), `cuts` (N,) and
    `inside` (N,) are written; so are `part` (P, 4) and `whose` (P, 2), box and strip: from the front those of the
    strip's earlier tile, from the end those of the later one. Returns how many there are of both, together perhaps
    more than P.
    """

def link(
    label: NDArray[int32],
    cuts: NDArray[uint8],
    part: NDArray[float64],
    whose: NDArray[int32],
    front: int,
    back: int,
    areas: NDArray[float64],
    same: float,
    other: float,
    discount: float,
    grid: NDArray[int32],
    columns: NDArray[float64],
    pairs: NDArray[int32],
    weight: NDArray[float64],
) -> int:
    """Write links into `pairs` (M, 2) and `weight` (M,); return how many there are, which may be more than M.

    `part` to `back` are what `share` wrote and returned, `areas` (S, 4) what `meet` wrote. `grid` has room for
    4 `front` + 3 S + 3.
    """

def group(
    tile: NDArray[int16],
    pairs: NDArray[int32],
    weight: NDArray[float64],
    keyed: NDArray[uint64],
    ranked: NDArray[int32],
    seen: NDArray[uint64],
    parent: NDArray[int32],
) -> None:
    """Write the first member of every box's group to `parent` (N,), and the tiles of every group to `seen` (N, W).

    Best link first, as long as no group gets two boxes of one tile. `keyed` (2 M,) and `ranked` (M,) are scratch.
    """

def fuse(
    boxes: NDArray[float64],
    score: NDArray[float64],
    label: NDArray[int32],
    tile: NDArray[int16],
    tile_trust: NDArray[float64],
    trust_cut: float,
    cut: NDArray[uint8],
    cuts: NDArray[uint8],
    inside: NDArray[uint8],
    parent: NDArray[int32],
    room: NDArray[int32],
    sums: NDArray[float64],
    fused: NDArray[float64],
    fused_score: NDArray[float64],
    fused_label: NDArray[int32],
    fused_tile: NDArray[int16],
    fragment: NDArray[int32],
    head: NDArray[int32],
    shut: NDArray[uint8],
) -> int:
    """Write one row a group, in the order of their first members, into the last seven (N, ...); return how many.

    `fragment` is the tile of a single cut box, else -1; `head` the first member; `shut` 1 for a single box of which no
    other tile sees anything. `room` (4 N,) and `sums` (N / 2, 2, 4) are scratch.
    """

def explain(
    boxes: NDArray[float64],
    label: NDArray[int32],
    fragment: NDArray[int32],
    head: NDArray[int32],
    shut: NDArray[uint8],
    seen: NDArray[uint64],
    rects: NDArray[float64],
    contained: float,
    shown: float,
    grid: NDArray[int32],
    keep: NDArray[uint8],
    kept: NDArray[int32],
) -> int:
    """Write to `kept` (G,) the groups that are no fragment of another one; return how many. `keep` (G,) is scratch."""

def doubt(
    boxes: NDArray[float64],
    tile: NDArray[int16],
    head: NDArray[int32],
    shut: NDArray[uint8],
    seen: NDArray[uint64],
    whole: NDArray[float64],
    current: NDArray[uint8],
    first: NDArray[int32],
    other: NDArray[int32],
    denied: float,
    score: NDArray[float64],
) -> None:
    """Lower the `score` (G,) of groups that as many tiles deny as report; `first` and `other` as `meet` writes them."""
