"""Candidates picked on the device: which head that works for, and how its rows are read.

A batch's raw output is tens of megabytes; what is above the threshold in it is a few kilobytes. The kernel
(ext/head_kernel.h) applies the same arithmetic as native.heads to every anchor and appends what it finds to the tile's
rows, in no order; each row names its anchor, so the order is restored here. What it leaves to this side are the
classes that are wanted, and any threshold above the floor it was given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tilewatch.engines.cuda.layout import ANCHOR, LABEL, ROW, SCORE
from tilewatch.engines.heads import Columns, Grid, Rows
from tilewatch.native import heads as native
from tilewatch.native.heads import Candidates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.engines.heads import Head
    from tilewatch.records import F32, Bool

ANCHOR_LIMIT = 1 << 24
"""Above it a float32 no longer counts anchors one by one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """Where the kernel finds what in one tile's raw output; steps in floats."""

    anchors: int
    classes: int
    objectness: bool
    anchor_step: int
    value_step: int
    grid: F32 | None = None
    """(A, 3) float32 column, row, stride of each anchor's cell; None for boxes in pixels."""

    @property
    def tile_step(self) -> int:
        """Floats of one tile."""
        return self.anchors * (self.classes + 4 + self.objectness)


def layout_of(head: Head, shape: Sequence[int]) -> Layout | None:
    """Return how the kernel reads a settled head's output of a tile's `shape`; None for heads it is not for.

    End-to-end and DETR-like heads give few rows as it is.
    """
    if isinstance(head, Columns):
        width, anchors = reversed(shape) if head.transposed else shape
        steps = (width, 1) if head.transposed else (1, anchors)
        found = Layout(anchors=anchors, classes=width - 4, objectness=False, anchor_step=steps[0], value_step=steps[1])
    elif isinstance(head, (Rows, Grid)):
        anchors, width = shape
        found = Layout(
            anchors=anchors,
            classes=width - 5,
            objectness=True,
            anchor_step=width,
            value_step=1,
            grid=head.grid if isinstance(head, Grid) else None,
        )
    else:
        return None
    return found if found.anchors < ANCHOR_LIMIT else None


@dataclass(frozen=True, slots=True)
class PickedHead:
    """A head whose candidates the device has picked: its output is (B, K, 8) rows, unused ones all 0."""

    inner: Head
    """The model's own head, settled."""

    @property
    def name(self) -> str:
        """Name of the model's own head."""
        return self.inner.name

    @property
    def classes(self) -> int | None:
        """Number of classes."""
        return self.inner.classes

    def settle(self, outputs: Sequence[F32]) -> PickedHead:
        """Return itself: the inner head is settled."""
        del outputs
        return self

    def decode(self, outputs: Sequence[F32], threshold: float, wanted: Bool | None = None) -> Candidates:
        """See Head: what the inner head would give for the model's own outputs, if no lower than the floor.

        Raises ValueError for a threshold that is not positive.
        """
        if not threshold > 0:
            raise ValueError(f"threshold {threshold}: must be positive")
        if not outputs:
            return native.none()
        tile, place = np.nonzero(outputs[0][..., SCORE] >= np.float32(threshold))
        rows = outputs[0][tile, place]
        label = rows[:, LABEL].astype(np.int32)
        order = np.lexsort((rows[:, ANCHOR], tile))
        if wanted is not None:
            order = order[_is_wanted(label[order], wanted)]
        rows = rows[order]
        return Candidates(rows[:, :4].copy(), rows[:, SCORE].copy(), label[order], tile[order].astype(np.int16))


def _is_wanted(label: np.ndarray, wanted: Bool) -> np.ndarray:
    """Return which labels are wanted; one beyond the mask is not."""
    known = label < len(wanted)
    mask: np.ndarray = known & np.append(wanted, False)[np.where(known, label, len(wanted))]
    return mask


def used(rows: F32, counts: Sequence[int]) -> F32:
    """Return (B, K, 8) rows of a batch, K the largest count, with zeros where a tile has fewer."""
    most = max(counts, default=0)
    kept: F32 = np.zeros((len(counts), most, ROW), np.float32)
    for tile, count in enumerate(counts):
        kept[tile, :count] = rows[tile, :count]
    return kept
