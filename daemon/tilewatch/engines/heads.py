"""Which output layout is this, and what does it say?

A head is recognised from the shapes of the outputs and the metadata (`recognise`), checked and settled on the outputs
of a first batch (`settle`), and decodes every batch after that (`decode`). A cell is a square of `stride` pixels of the
input; the sum of cells over the strides, times one or three anchors a cell, is what tells the layouts apart:

| HEAD    | output                      | anchors               | meaning                                              |
|---------|-----------------------------|-----------------------|------------------------------------------------------|
| yolov8  | [B,4+C,A] (or [B,A,4+C])    | 1 a cell              | cx cy w h in pixels, C scores                        |
| yolov5  | [B,A,5+C]                   | 3 a cell              | cx cy w h in pixels, objectness, C scores            |
| yolox   | [B,A,5+C]                   | 1 a cell              | the same, or raw: offsets and logarithms in cells    |
| end2end | [B,K,6]                     | any other number      | x0 y0 x1 y1 in pixels, score, class                  |
| detr    | [B,Q,4] and [B,Q,C]         | queries               | cx cy w h as fractions, scores or logits             |
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from tilewatch.errors import ConfigError
from tilewatch.native import heads as native

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.native.heads import Candidates
    from tilewatch.records import F32, Bool

PYRAMIDS = ((8, 16, 32), (8, 16, 32, 64), (16, 32), (4, 8, 16, 32))
"""Strides of the feature maps that detectors are built with."""
FRACTION_LIMIT = 8.0
"""Mean centre of all anchors: half the side (32 and more) in pixels, 0 to 1 as a fraction, about 0.5 in cells."""
SCORE_SLACK = 1e-3


class Head(Protocol):
    """One way of reading a model's outputs."""

    @property
    def name(self) -> str:
        """Name for logs and the manifest: the value of HEAD, and the variant once it is known."""

    @property
    def classes(self) -> int | None:
        """Number of classes; None where the layout does not tell."""

    def settle(self, outputs: Sequence[F32]) -> Head:
        """Return the head with its variant known from a batch's outputs.

        Raises:
            ConfigError: the values are not what this layout means.
        """

    def decode(self, outputs: Sequence[F32], threshold: float, wanted: Bool | None = None) -> Candidates:
        """Return the candidates of a batch's (B, ...) outputs; none for no outputs (a batch of no tiles).

        `wanted` is (C,) bool or None for all classes; boxes are pixels of each tile's input.
        """


def grid_of(size: int, anchors: int, per_cell: int = 1) -> F32 | None:
    """Return (A, 3) float32 column, row, stride of each anchor's cell; None when no pyramid has so many anchors."""
    for strides in PYRAMIDS:
        if anchors == per_cell * sum((size // stride) ** 2 for stride in strides):
            return np.concatenate([_cells(size // stride, stride) for stride in strides for _ in range(per_cell)])
    return None


def _cells(side: int, stride: int) -> F32:
    """Return (side * side, 3) column, row, stride, row by row."""
    rows, columns = np.divmod(np.arange(side * side), side)
    return np.stack([columns, rows, np.full(side * side, stride)], axis=-1).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Columns:
    """[B,4+C,A], or [B,A,4+C] when `transposed`."""

    classes: int
    transposed: bool = False
    name: ClassVar[str] = "yolov8"

    def settle(self, outputs: Sequence[F32]) -> Columns:
        """Check pixels and scores."""
        output = self._columns(outputs)
        _check_pixels(self.name, output[:, :2])
        _check_scores(self.name, output[:, 4:])
        return self

    def decode(self, outputs: Sequence[F32], threshold: float, wanted: Bool | None = None) -> Candidates:
        """See Head."""
        return native.columns(self._columns(outputs), threshold, wanted) if outputs else native.none()

    def _columns(self, outputs: Sequence[F32]) -> F32:
        return outputs[0].transpose(0, 2, 1) if self.transposed else outputs[0]


@dataclass(frozen=True, slots=True)
class Rows:
    """[B,A,5+C] in pixels."""

    classes: int
    name: ClassVar[str] = "yolov5"

    def settle(self, outputs: Sequence[F32]) -> Rows:
        """Check pixels and scores."""
        _check_pixels(self.name, outputs[0][..., :2])
        _check_scores(self.name, outputs[0][..., 4:])
        return self

    def decode(self, outputs: Sequence[F32], threshold: float, wanted: Bool | None = None) -> Candidates:
        """See Head."""
        return native.rows(outputs[0], threshold, wanted) if outputs else native.none()


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """[B,A,5+C] of one anchor a cell: raw offsets and logarithms when `grid` is set, pixels when it is not."""

    classes: int
    size: int
    variant: str = ""
    grid: F32 | None = None

    @property
    def name(self) -> str:
        """Name with the variant."""
        return f"yolox {self.variant}".rstrip()

    def settle(self, outputs: Sequence[F32]) -> Grid:
        """Tell raw from decoded by the mean centre of all anchors, whatever the picture: they cover the whole input."""
        output = outputs[0]
        _check_scores("yolox", output[..., 4:])
        if bool((output[..., 4] == 1).all()):
            raise ConfigError("HEAD=yolox: every objectness is 1, as YOLOv6 exports it: set HEAD=yolov5")
        if abs(float(output[..., :2].mean())) > FRACTION_LIMIT:
            return replace(self, variant="decoded", grid=None)
        grid = grid_of(self.size, output.shape[1])
        if grid is None:
            raise ConfigError(f"HEAD=yolox: {output.shape[1]} anchors fit no known strides at TILE_SIZE={self.size}")
        return replace(self, variant="raw", grid=grid)

    def decode(self, outputs: Sequence[F32], threshold: float, wanted: Bool | None = None) -> Candidates:
        """See Head; only after `settle`."""
        return native.rows(outputs[0], threshold, wanted, self.grid) if outputs else native.none()


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """[B,K,6]: needs no NMS, K is the most objects the model reports."""

    name: ClassVar[str] = "end2end"
    classes: ClassVar[None] = None

    def settle(self, outputs: Sequence[F32]) -> EndToEnd:
        """Check scores and class indices, and that boxes are no fractions where there are any."""
        score, label = outputs[0][..., 4], outputs[0][..., 5]
        _check_scores(self.name, score)
        if not bool(((label == np.rint(label)) & (label >= -1)).all()):
            raise ConfigError("HEAD=end2end: the last column holds no class indices: set HEAD to another layout")
        sure = outputs[0][score > SCORE_SLACK]
        if len(sure) and float(np.abs(sure[:, :4]).max()) <= 2:  # noqa: PLR2004 -- a fraction with some overhang
            raise ConfigError("HEAD=end2end: the boxes are fractions, not pixels: export the model with pixel boxes")
        return self

    def decode(self, outputs: Sequence[F32], threshold: float, wanted: Bool | None = None) -> Candidates:
        """See Head."""
        return native.end2end(outputs[0], threshold, wanted) if outputs else native.none()


@dataclass(frozen=True, slots=True)
class Detr:
    """[B,Q,4] fractions and [B,Q,C] scores or logits; `boxes` is the index of the first among the outputs."""

    classes: int
    size: int
    boxes: int
    logits: bool | None = None

    @property
    def name(self) -> str:
        """Name with the variant."""
        return {None: "detr", True: "detr logits", False: "detr scores"}[self.logits]

    def settle(self, outputs: Sequence[F32]) -> Detr:
        """Tell logits from scores: nearly all logits are below 0."""
        boxes, scores = outputs[self.boxes], outputs[1 - self.boxes]
        if not (np.isfinite(boxes).all() and float(boxes.min()) > -1 and float(boxes.max()) < 2):  # noqa: PLR2004
            raise ConfigError("HEAD=detr: the boxes are no fractions of the input: export cx, cy, w, h from 0 to 1")
        return replace(self, logits=bool((scores < 0).any() or (scores > 1).any()))

    def decode(self, outputs: Sequence[F32], threshold: float, wanted: Bool | None = None) -> Candidates:
        """See Head; only after `settle`."""
        if not outputs:
            return native.none()
        boxes, scores = outputs[self.boxes], outputs[1 - self.boxes]
        return native.detr(boxes, scores, threshold, wanted, size=self.size, logits=bool(self.logits))


def _check_pixels(name: str, centres: F32) -> None:
    """Refuse centres that are not spread over the input in pixels."""
    if not abs(float(centres.mean())) > FRACTION_LIMIT:
        raise ConfigError(
            f"HEAD={name}: the boxes are not in pixels (mean centre {float(centres.mean()):.2f}): "
            "export the model with decoded pixel boxes, or set HEAD=yolox for a raw YOLOX"
        )


def _check_scores(name: str, scores: F32) -> None:
    """Refuse scores that are no probabilities."""
    low, high = float(scores.min()), float(scores.max())
    if not (low >= -SCORE_SLACK and high <= 1 + SCORE_SLACK):
        raise ConfigError(
            f"HEAD={name}: scores from {low:.3g} to {high:.3g} are no probabilities: "
            "set HEAD to another layout, or export the model with its sigmoid"
        )
