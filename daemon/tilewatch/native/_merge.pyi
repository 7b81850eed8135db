"""Loops of the merge; see native.merge for what they are for. All release the GIL and own nothing.

Boxes are (N, 4) frame pixels in canonical order, unless said otherwise. `grid` is scratch, 9 a point and 64.
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

def suppress(
    boxes: NDArray[float64],
    label: NDArray[int32],
    tile: NDArray[int32],
    threshold: float,
    smaller: bool,
    grid: NDArray[int32],
    keep: NDArray[uint8],
    kept: NDArray[int32],
) -> int:
    """Write to `kept` (N,) the boxes that overlap no surer one of their tile and class by more than the threshold.

    `smaller` measures the overlap by the smaller box, else by the union; `keep` (N,) is scratch. Returns their number.
    """

def share(
    boxes: NDArray[float64],
    tile: NDArray[int16],
    rects: NDArray[float64],
    margin: NDArray[float64],
    inner: NDArray[uint8],
    strip: float,
    neighbours: NDArray[int32],
    cut: NDArray[uint8],
    cuts: NDArray[uint8],
    inside: NDArray[uint8],
    part: NDArray[float64],
    whose: NDArray[int32],
) -> int:
    """Write what the sides of tiles do to boxes, and the parts of boxes in what their tile shares with another one.

    `rects`, `margin` and `inner` have T rows, `neighbours` ((T + 1)^2,) is scratch. `cut` (N, 4), `cuts` (N,) and
    `inside` (N,) are written; so are `part` (P, 4) and `whose` (P, 2), box and other tile. Returns the number of
    parts, which may be more than P.
    """

def link(
    label: NDArray[int32],
    tile: NDArray[int16],
    cuts: NDArray[uint8],
    part: NDArray[float64],
    whose: NDArray[int32],
    same: float,
    other: float,
    discount: float,
    grid: NDArray[int32],
    pairs: NDArray[int32],
    weight: NDArray[float64],
) -> int:
    """Write links into `pairs` (M, 2) and `weight` (M,); return how many there are, which may be more than M."""

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
    neighbours: NDArray[int32],
    denied: float,
    score: NDArray[float64],
) -> None:
    """Lower the `score` (G,) of groups that as many tiles deny as report; `neighbours` as `share` left them."""
