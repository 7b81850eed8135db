"""Loops of the merge; see native.merge for what they are for. All release the GIL and own nothing."""

from numpy import float64, int16, int32, uint8, uint64
from numpy.typing import NDArray

def suppress(
    boxes: NDArray[float64],
    label: NDArray[int32],
    tile: NDArray[int16],
    by_left: NDArray[int32],
    widest: float,
    threshold: float,
    agnostic: bool,
    keep: NDArray[uint8],
) -> None:
    """Clear `keep` (N,) of every box that overlaps a surer one of its tile and class by more than the threshold."""

def link(
    boxes: NDArray[float64],
    label: NDArray[int32],
    tile: NDArray[int16],
    cuts: NDArray[uint8],
    by_left: NDArray[int32],
    widest: float,
    rects: NDArray[float64],
    strip: float,
    same: float,
    other: float,
    discount: float,
    agnostic: bool,
    pairs: NDArray[int32],
    weight: NDArray[float64],
) -> int:
    """Write links into `pairs` (M, 2) and `weight` (M,); return how many there are, which may be more than M."""

def group(pairs: NDArray[int32], seen: NDArray[uint64], parent: NDArray[int32]) -> None:
    """Join boxes in place: `parent` (N,) ends as the group of every box, `seen` (N, W) as the tiles of every group."""

def fuse(
    boxes: NDArray[float64],
    score: NDArray[float64],
    trust: NDArray[float64],
    cut: NDArray[uint8],
    cuts: NDArray[uint8],
    parent: NDArray[int32],
    total: NDArray[float64],
    weight: NDArray[float64],
    best: NDArray[int32],
    highest: NDArray[float64],
    fused: NDArray[float64],
) -> None:
    """Rebuild the groups' boxes into `fused` (N, 4); `total`, `weight`, `highest` start at 0 and `best` at -1."""

def explain(
    boxes: NDArray[float64],
    label: NDArray[int32],
    fragment_tile: NDArray[int32],
    seen: NDArray[uint64],
    rects: NDArray[float64],
    contained: float,
    shown: float,
    keep: NDArray[uint8],
) -> None:
    """Clear `keep` (N,) of fragments that a larger group explains."""
