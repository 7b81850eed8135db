"""Shapes and metadata to a head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tilewatch.engines.heads import Columns, Detr, EndToEnd, Grid, Rows
from tilewatch.engines.metadata import Metadata
from tilewatch.engines.recognise import recognise
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from tilewatch.engines.recognise import Shape

COCO = tuple(f"name{index}" for index in range(80))


@pytest.mark.parametrize(
    ("shape", "size", "kind", "classes"),
    [
        ((1, 84, 8400), 640, Columns, 80),
        ((1, 5, 2100), 320, Columns, 1),
        ((1, 6, 8400), 640, Columns, 2),
        ((1, 25200, 85), 640, Rows, 80),
        ((1, 25200, 6), 640, Rows, 1),
        ((1, 6000, 85), 640, Rows, 80),
        ((1, 8400, 85), 640, Grid, 80),
        ((1, 300, 6), 640, EndToEnd, None),
        ((1, 100, 6), 320, EndToEnd, None),
    ],
)
def test_layout_is_told_from_the_shape(shape: Shape, size: int, kind: type, classes: int | None) -> None:
    """The number of anchors a cell and the columns tell the layouts apart."""
    head = recognise({"output": shape}, Metadata(), size)
    assert isinstance(head, kind)
    assert head.classes == classes


def test_transposed_yolov8_is_told_by_its_names() -> None:
    """One anchor a cell and 4 + C columns: no objectness."""
    head = recognise({"output": (1, 8400, 84)}, Metadata(names=COCO), 640)
    assert head == Columns(80, transposed=True)


@pytest.mark.parametrize(
    "outputs", [{"dets": (1, 300, 4), "labels": (1, 300, 91)}, {"a": (1, 300, 91), "b": (1, 300, 4)}]
)
def test_detr_is_a_pair_of_boxes_and_scores(outputs: dict[str, Shape]) -> None:
    """Whichever comes first."""
    head = recognise(outputs, Metadata(), 640)
    assert isinstance(head, Detr)
    assert (head.classes, head.boxes) == (91, [shape[2] for shape in outputs.values()].index(4))


def test_detr_of_four_classes_is_told_by_the_output_names() -> None:
    """Two outputs of four columns each differ by name only."""
    head = recognise({"logits": (1, 300, 4), "pred_boxes": (1, 300, 4)}, Metadata(), 640)
    assert isinstance(head, Detr)
    assert head.boxes == 1


def test_ambiguity_names_the_values_that_fit() -> None:
    """Without the number of anchors, two layouts have the same columns."""
    with pytest.raises(ConfigError, match=r"\[1,\?,85\].*set HEAD=yolov5 or HEAD=yolox"):
        recognise({"output": (1, None, 85)}, Metadata(), 640)


@pytest.mark.parametrize(("choice", "kind"), [("yolov5", Rows), ("yolox", Grid)])
def test_setting_decides_what_is_ambiguous(choice: str, kind: type) -> None:
    """HEAD is taken at its word where the shape allows."""
    assert isinstance(recognise({"output": (1, None, 85)}, Metadata(), 640, choice), kind)


def test_setting_outranks_the_importers_note() -> None:
    """The note settles 'auto' only."""
    shape = {"output": (1, 8400, 85)}
    assert isinstance(recognise(shape, Metadata(head="yolov5"), 640), Rows)
    assert isinstance(recognise(shape, Metadata(head="yolov5"), 640, "yolox"), Grid)


@pytest.mark.parametrize(
    ("outputs", "choice"),
    [
        ({"output": (1, 1000)}, "auto"),
        ({"a": (1, 3, 80, 80, 85), "b": (1, 3, 40, 40, 85), "c": (1, 3, 20, 20, 85)}, "auto"),
        ({"output": (1, 84, 8400)}, "detr"),
        ({"output": (1, 300, 7)}, "end2end"),
        ({"output": (1, 300, 6)}, "yolov9000"),
    ],
)
def test_what_fits_no_layout_is_refused_with_its_shape(outputs: dict[str, Shape], choice: str) -> None:
    """Never a guess; the shape is in the message."""
    with pytest.raises(ConfigError, match=r"\[1,"):
        recognise(outputs, Metadata(), 640, choice)
