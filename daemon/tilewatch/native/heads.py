"""Raw outputs of a detector to candidate boxes, one function a layout.

Every function takes contiguous or strided float32 outputs of B tiles, the lowest score that counts, and optionally
which classes are wanted ((C,) bool; the others are dropped after the best class of an anchor is known). The rules are
in `reference.heads`. No candidate is ever lost for lack of room. The GIL is released.

Raises ValueError for shapes that do not fit the layout, and for a threshold that is not positive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tilewatch.native import COMPILED
from tilewatch.native.reference import heads as reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from tilewatch.records import F32, I16, I32, U8, Bool

if COMPILED:
    from tilewatch.native import _heads

TILE_LIMIT = 1 << 15
"""Tiles of one batch are counted in 16 bits."""


class Candidates(NamedTuple):
    """N boxes of a batch of tiles, ordered by tile, then anchor."""

    xyxy: F32
    """(N, 4) left top right bottom, pixels of the tile's input; may be NaN or lie outside."""
    score: F32
    """(N,) at least the threshold."""
    label: I32
    """(N,) class index."""
    tile: I16
    """(N,) index into the batch."""


def columns(output: F32, threshold: float, wanted: Bool | None = None) -> Candidates:
    """Decode (B, 4+C, A): cx, cy, w, h in pixels and C class scores, each a row over the anchors (YOLOv8, YOLO11)."""
    _check(output, threshold, least=5, axis=1)
    if not COMPILED:
        return Candidates(*reference.columns(output, threshold, wanted))
    return _run(output.shape[0] * output.shape[2], _heads.columns, _plain(output), threshold, _mask(wanted))


def rows(output: F32, threshold: float, wanted: Bool | None = None, grid: F32 | None = None) -> Candidates:
    """Decode (B, A, 5+C): cx, cy, w, h, objectness, C class scores; the score is objectness x class.

    Boxes are pixels (YOLOv5, YOLOv4), or, with `grid` (A, 3) float32 of column, row and stride of each anchor's cell,
    offsets and logarithms in cells (raw YOLOX).
    """
    _check(output, threshold, least=6, axis=2)
    if grid is not None and grid.shape != (output.shape[1], 3):
        raise ValueError(f"grid {grid.shape} does not fit output {output.shape}")
    if not COMPILED:
        return Candidates(*reference.rows(output, grid, threshold, wanted))
    cells = np.empty((0, 3), np.float32) if grid is None else _plain(grid)
    return _run(output.shape[0] * output.shape[1], _heads.rows, _plain(output), cells, threshold, _mask(wanted))


def end2end(output: F32, threshold: float, wanted: Bool | None = None) -> Candidates:
    """Decode (B, K, 6): x0, y0, x1, y1 in pixels, score, class (YOLOv10, YOLO26)."""
    _check(output, threshold, least=6, axis=2)
    if not COMPILED:
        return Candidates(*reference.end2end(output, threshold, wanted))
    return _run(output.shape[0] * output.shape[1], _heads.end2end, _plain(output), threshold, _mask(wanted))


def detr(  # noqa: PLR0913 -- two outputs, each with its own convention
    boxes: F32, scores: F32, threshold: float, wanted: Bool | None = None, *, size: int, logits: bool
) -> Candidates:
    """Decode (B, Q, 4) cx, cy, w, h as fractions of the input's side `size`, with (B, Q, C) scores or logits."""
    _check(boxes, threshold, least=4, axis=2)
    _check(scores, threshold, least=1, axis=2)
    if boxes.shape[:2] != scores.shape[:2]:
        raise ValueError(f"boxes {boxes.shape} do not fit scores {scores.shape}")
    if not COMPILED:
        return Candidates(*reference.detr(boxes, scores, size, threshold, wanted, logits=logits))
    room = boxes.shape[0] * boxes.shape[1]
    return _run(room, _heads.detr, _plain(boxes), _plain(scores), logits, size, threshold, _mask(wanted))


def none() -> Candidates:
    """Return no candidates."""
    return Candidates(
        np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32), np.empty(0, np.int16)
    )


def _run(room: int, kernel: Callable[..., int], *arguments: object) -> Candidates:
    """Run a kernel on arrays with room for all anchors (untouched pages cost nothing) and return what it filled."""
    if room == 0:
        return none()
    found = Candidates(
        np.empty((room, 4), np.float32), np.empty(room, np.float32), np.empty(room, np.int32), np.empty(room, np.int16)
    )
    count = kernel(*arguments, *found)
    return Candidates(*(part[:count].copy() for part in found))


def _check(output: F32, threshold: float, *, least: int, axis: int) -> None:
    """Refuse arrays a kernel would read beyond, and a threshold that an anchor without any score would pass."""
    if not threshold > 0:
        raise ValueError(f"threshold {threshold}: must be positive")
    if output.ndim != 3 or output.shape[axis] < least or output.shape[0] >= TILE_LIMIT:  # noqa: PLR2004 -- rank
        raise ValueError(f"output of shape {output.shape}: three dimensions with at least {least} on axis {axis}")


def _plain(output: F32) -> F32:
    """Return the array contiguous float32; the same one where it already is."""
    return np.ascontiguousarray(output, np.float32)


def _mask(wanted: Bool | None) -> U8:
    """Return the class mask as bytes, empty for all classes; a mask of no class at all wants none."""
    if wanted is None:
        return np.empty(0, np.uint8)
    return np.ascontiguousarray(wanted if len(wanted) else [False], np.bool_).view(np.uint8)
