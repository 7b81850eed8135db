"""What the head kernels must do, in plain numpy.

Common rules: an anchor gives at most one candidate, of its best class (the first of equals, NaN never wins); it counts
when its score is at least the threshold, and afterwards when that class is wanted. Boxes are passed on as they are,
also where they are NaN or reach beyond the input: judging them is the merge's business. Order: tile, then anchor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import TypeAlias

    from tilewatch.records import F32, I16, I32, I64, Bool

    Parts: TypeAlias = tuple[F32, F32, I32, I16]

QUIET = np.errstate(over="ignore", invalid="ignore")
"""Infinite and NaN boxes are values here, not accidents."""
LABEL_LIMIT = 1 << 24
"""Above it a float32 no longer counts classes one by one."""


@QUIET
def columns(output: F32, threshold: float, wanted: Bool | None) -> Parts:
    """Decode (B, 4+C, A): cx, cy, w, h in pixels, then C class scores."""
    return _select(output[:, :4].transpose(0, 2, 1), output[:, 4:].transpose(0, 2, 1), threshold, wanted)


@QUIET
def rows(output: F32, grid: F32 | None, threshold: float, wanted: Bool | None) -> Parts:
    """Decode (B, A, 5+C): cx, cy, w, h, objectness, C class scores; the score is objectness x class.

    With `grid` (A, 3), column, row and stride of each anchor's cell, x and y are offsets in cells and w and h are
    logarithms of cells (YOLOX, https://arxiv.org/abs/2107.08430). An objectness below the threshold ends it, since no
    class exceeds 1.
    """
    boxes, objectness = output[..., :4], output[..., 4:5]
    if grid is not None:
        sizes = (np.exp(boxes[..., 2:].astype(np.float64)) * grid[:, 2:]).astype(np.float32)
        boxes = np.concatenate([(boxes[..., :2] + grid[:, :2]) * grid[:, 2:], sizes], axis=-1)
    scores = np.where(np.isnan(output[..., 5:]), -np.inf, output[..., 5:])
    best = scores.max(axis=-1, keepdims=True) * objectness
    scores = np.where(scores == scores.max(axis=-1, keepdims=True), best, -np.inf)
    return _select(boxes, np.where(objectness >= np.float32(threshold), scores, -np.inf), threshold, wanted)


def end2end(output: F32, threshold: float, wanted: Bool | None) -> Parts:
    """Decode (B, K, 6): x0, y0, x1, y1 in pixels, score, class; a class that is no class index drops the row."""
    score, label = output[..., 4], output[..., 5]
    keep = (score >= np.float32(threshold)) & (label >= 0) & (label < LABEL_LIMIT)
    tile, row = np.nonzero(keep)
    labels = label[tile, row].astype(np.int64)
    chosen = _wanted(labels, wanted)
    tile, row = tile[chosen], row[chosen]
    return output[tile, row, :4], score[tile, row], labels[chosen].astype(np.int32), tile.astype(np.int16)


@QUIET
def detr(boxes: F32, scores: F32, size: float, threshold: float, wanted: Bool | None, *, logits: bool) -> Parts:
    """Decode (B, Q, 4) cx, cy, w, h as fractions of the side, with (B, Q, C) probabilities, or logits of a sigmoid."""
    if logits:
        scores = (1.0 / (1.0 + np.exp(-scores.astype(np.float64)))).astype(np.float32)
    return _select(boxes * np.float32(size), scores, threshold, wanted)


def _select(boxes: F32, scores: F32, threshold: float, wanted: Bool | None) -> Parts:
    """Return the candidates of (B, A, 4) cx, cy, w, h boxes and (B, A, C) scores."""
    scores = np.where(np.isnan(scores), np.float32(-np.inf), scores)
    label = scores.argmax(axis=-1)
    best = np.take_along_axis(scores, label[..., None], axis=-1)[..., 0].astype(np.float32)
    tile, anchor = np.nonzero(best >= np.float32(threshold))
    chosen = _wanted(label[tile, anchor], wanted)
    tile, anchor = tile[chosen], anchor[chosen]
    centre, half = boxes[tile, anchor, :2], boxes[tile, anchor, 2:] * np.float32(0.5)
    xyxy = np.concatenate([centre - half, centre + half], axis=-1).astype(np.float32)
    return xyxy, best[tile, anchor], label[tile, anchor].astype(np.int32), tile.astype(np.int16)


def _wanted(label: I64, wanted: Bool | None) -> Bool:
    """Return which labels are wanted; a label beyond the mask is not."""
    if wanted is None:
        return np.ones(len(label), bool)
    known = label < len(wanted)
    mask: Bool = known & np.append(wanted, False)[np.where(known, label, len(wanted))]
    return mask
