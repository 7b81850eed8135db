"""Drawing in place; see native.draw. All release the GIL and own nothing."""

from numpy import float32, int32, uint8
from numpy.typing import NDArray

def fill(
    y: NDArray[uint8],
    u: NDArray[uint8],
    v: NDArray[uint8],
    rects: NDArray[int32],
    colours: NDArray[uint8],
    alpha: int,
) -> None:
    """Fill N rectangles, later ones over earlier ones."""

def label(
    y: NDArray[uint8],
    u: NDArray[uint8],
    v: NDArray[uint8],
    plates: NDArray[int32],
    colours: NDArray[uint8],
    alpha: int,
    atlas: NDArray[uint8],
    boxes: NDArray[int32],
    first: NDArray[int32],
    glyphs: NDArray[int32],
    places: NDArray[int32],
    inks: NDArray[uint8],
) -> None:
    """Draw N plates, each with its text: glyphs `first[i]` to `first[i + 1]` at their places.

    Of each mask of `atlas` (G, h, w) only its box (G, 4) is drawn.
    """

def stroke(
    y: NDArray[uint8],
    u: NDArray[uint8],
    v: NDArray[uint8],
    segments: NDArray[float32],
    radius: float,
    colours: NDArray[uint8],
) -> None:
    """Draw N segments with round ends."""
