"""From shapes and metadata to a head, or to an error that says which values of HEAD would fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from tilewatch.engines.heads import Columns, Detr, EndToEnd, Grid, Head, Rows, grid_of
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from tilewatch.engines.metadata import Metadata

Shape: TypeAlias = Sequence["int | None"]
"""Dimensions of an output, the batch included; None where it is not known before running."""

CENTRED, SCORED, CORNERED = 4, 5, 6
"""Columns before the classes without and with objectness, and of an end-to-end row."""
RANK = 3


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the layouts are judged by."""

    names: tuple[str, ...]
    outputs: tuple[tuple[int | None, ...], ...]
    metadata: Metadata
    size: int

    @property
    def dims(self) -> tuple[int, int]:
        """The two dimensions behind the batch of a single output; 0 where unknown, (-1, -1) where there are more."""
        if len(self.outputs) != 1 or len(self.outputs[0]) != RANK:
            return -1, -1
        _, first, second = self.outputs[0]
        return first or 0, second or 0

    def is_grid(self, anchors: int, per_cell: int = 1) -> bool:
        """Return whether a detector of known strides has so many anchors."""
        return anchors > 0 and grid_of(self.size, anchors, per_cell) is not None


def _yolov8(facts: _Facts, *, sure: bool) -> Head | None:
    first, second = facts.dims
    named = len(facts.metadata.names)
    if facts.is_grid(first) and named and second - CENTRED == named:
        return Columns(named, transposed=True)
    likely = facts.is_grid(second) if sure else second == 0 or second > first
    return Columns(first - CENTRED) if first > CENTRED and likely else None


def _yolov5(facts: _Facts, *, sure: bool) -> Head | None:
    first, second = facts.dims
    likely = facts.is_grid(first, 3) if sure else first == 0 or first > second
    return Rows(second - SCORED) if second > SCORED and likely else None


def _yolox(facts: _Facts, *, sure: bool) -> Head | None:
    first, second = facts.dims
    transposed = len(facts.metadata.names) == second - CENTRED
    likely = facts.is_grid(first) and not transposed if sure else first == 0 or first > second
    return Grid(second - SCORED, facts.size) if second > SCORED and likely else None


def _end2end(facts: _Facts, *, sure: bool) -> Head | None:
    first, second = facts.dims
    anchors = facts.is_grid(first) or facts.is_grid(first, 3)
    return EndToEnd() if second == CORNERED and (facts.metadata.end2end or not (sure and anchors)) else None


def _detr(facts: _Facts, *, sure: bool) -> Head | None:
    del sure
    if len(facts.outputs) != 2 or any(len(shape) != RANK for shape in facts.outputs):  # noqa: PLR2004 -- a pair
        return None
    fours = [index for index, shape in enumerate(facts.outputs) if shape[2] == CENTRED]
    if len(fours) == 2:  # noqa: PLR2004 -- four classes: the outputs' names decide
        fours = [index for index in fours if "box" in facts.names[index] or "det" in facts.names[index]]
    if len(fours) != 1 or facts.outputs[0][1] != facts.outputs[1][1]:
        return None
    classes = facts.outputs[1 - fours[0]][2]
    return Detr(classes, facts.size, fours[0]) if classes else None


Fit: TypeAlias = Callable[..., "Head | None"]
LAYOUTS: dict[str, Fit] = {
    "yolov8": _yolov8,
    "yolov5": _yolov5,
    "yolox": _yolox,
    "end2end": _end2end,
    "detr": _detr,
}
"""Every value of HEAD beside 'auto'."""


def recognise(outputs: Mapping[str, Shape], metadata: Metadata, size: int, choice: str = "auto") -> Head:
    """Return the head of a model, not yet settled.

    Args:
        outputs: shape of every output, by name, in order.
        metadata: what the model says about itself.
        size: side of the input, pixels.
        choice: HEAD; 'auto' takes the importer's note, else judges.

    Raises:
        ConfigError: no layout fits, or more than one; or the chosen one does not.
    """
    facts = _Facts(tuple(outputs), tuple(tuple(shape) for shape in outputs.values()), metadata, size)
    wanted = (metadata.head or choice) if choice == "auto" else choice
    if wanted != "auto":
        head = LAYOUTS[wanted](facts, sure=False) if wanted in LAYOUTS else None
        if head is None:
            raise ConfigError(f"HEAD={wanted} does not fit outputs {_text(outputs)}: {_advice(facts)}")
        return head
    fits = _fits(facts, sure=True) or _fits(facts, sure=False)
    if len(fits) != 1:
        raise ConfigError(f"outputs {_text(outputs)} are no detector's that is known for sure: {_advice(facts)}")
    return next(iter(fits.values()))


def _fits(facts: _Facts, *, sure: bool) -> dict[str, Head]:
    found = {name: fit(facts, sure=sure) for name, fit in LAYOUTS.items()}
    return {name: head for name, head in found.items() if head is not None}


def _advice(facts: _Facts) -> str:
    """Return what to do about it."""
    names = list(_fits(facts, sure=False))
    return f"set HEAD={' or HEAD='.join(names)}" if names else f"no layout fits (known: {', '.join(LAYOUTS)})"


def _text(outputs: Mapping[str, Shape]) -> str:
    """Return the shapes for people: 'output0 [1,84,8400]'."""
    return ", ".join(
        f"{name} [{','.join('?' if d is None else str(d) for d in shape)}]" for name, shape in outputs.items()
    )
