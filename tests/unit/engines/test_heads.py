"""Heads settled on a first batch."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.models import ANCHORS, SIDE, boxes
from tilewatch.engines.heads import Columns, Detr, EndToEnd, Grid, Head, Rows, grid_of
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from tilewatch.records import F32


def yolox(*, raw: bool) -> F32:
    """Return (1, A, 7) of every anchor's box at its cell, raw or decoded, with one sure object at anchor 9."""
    output = np.zeros((1, ANCHORS, 7), np.float32)
    output[0, :, :4] = boxes().T
    grid = grid_of(SIDE, ANCHORS)
    assert grid is not None
    if raw:
        output[0, :, :2] = output[0, :, :2] / grid[:, 2:] - grid[:, :2]
        output[0, :, 2:4] = np.log(output[0, :, 2:4] / grid[:, 2:])
    output[0, 9, 4:] = [0.9, 0.1, 0.8]
    return output


@pytest.mark.parametrize("raw", [True, False])
def test_yolox_raw_and_decoded_give_the_same_box(*, raw: bool) -> None:
    """The variant is told by where the centres lie; both mean the same."""
    output = yolox(raw=raw)
    head = Grid(2, SIDE).settle([output])
    assert head.name == ("yolox raw" if raw else "yolox decoded")
    found = head.decode([output], 0.25)
    np.testing.assert_allclose(found.xyxy, [[4, 4, 20, 20]], rtol=1e-5)
    assert (found.label.tolist(), found.score.tolist()) == ([1], [pytest.approx(0.72)])


def test_objectness_of_one_everywhere_is_yolov6() -> None:
    """It looks like YOLOX but wants another input: refused with the value that fits."""
    output = yolox(raw=False)
    output[..., 4] = 1
    with pytest.raises(ConfigError, match="HEAD=yolov5"):
        Grid(2, SIDE).settle([output])


@pytest.mark.parametrize(("offset", "logits"), [(-3.0, True), (0.0, False)])
def test_detr_logits_are_told_from_scores(offset: float, *, logits: bool) -> None:
    """Logits are mostly below 0, scores never."""
    scores = np.random.default_rng(0).random((1, 20, 3), np.float32) + np.float32(offset)
    head = Detr(3, SIDE, 0).settle([np.full((1, 20, 4), 0.5, np.float32), scores])
    assert head.logits is logits


FRACTIONS = np.random.default_rng(0).random((1, 7, ANCHORS), np.float32)
LOGITS = np.concatenate([boxes()[None], np.full((1, 3, ANCHORS), -4.0, np.float32)], axis=1)
CLASSES = np.array([[[10, 10, 20, 20, 0.9, 1.5]]], np.float32)
SMALL = np.array([[[0.1, 0.1, 0.2, 0.2, 0.9, 1.0]]], np.float32)


@pytest.mark.parametrize(
    ("head", "outputs", "message"),
    [
        (Columns(3), [FRACTIONS], "not in pixels"),
        (Columns(3), [LOGITS], "no probabilities"),
        (Columns(3), [LOGITS * np.float32(np.nan)], "not in pixels"),
        (Rows(2), [FRACTIONS.transpose(0, 2, 1)], "set HEAD=yolox"),
        (EndToEnd(), [CLASSES], "no class indices"),
        (EndToEnd(), [SMALL], "fractions, not pixels"),
        (Detr(3, SIDE, 0), [np.full((1, 5, 4), 300, np.float32), np.zeros((1, 5, 3), np.float32)], "no fractions"),
    ],
)
def test_values_that_mean_something_else_are_refused(head: Head, outputs: list[F32], message: str) -> None:
    """A wrong layout is found on the first batch, not in the results."""
    with pytest.raises(ConfigError, match=message):
        head.settle(outputs)


@pytest.mark.parametrize("head", [Columns(3), Rows(3), Grid(3, SIDE), EndToEnd(), Detr(3, SIDE, 0)])
def test_no_outputs_are_no_candidates(head: Head) -> None:
    """A frame without tiles to infer has no boxes."""
    assert len(head.decode((), 0.25).score) == 0


def test_transposed_columns_decode_as_plain_ones() -> None:
    """[B,A,4+C] means what [B,4+C,A] means."""
    output = np.concatenate([boxes()[None], np.random.default_rng(2).random((1, 3, ANCHORS), np.float32)], axis=1)
    plain = Columns(3).settle([output]).decode([output], 0.25)
    turned = replace(Columns(3), transposed=True).settle([output.transpose(0, 2, 1)])
    for one, other in zip(plain, turned.decode([output.transpose(0, 2, 1)], 0.25), strict=True):
        np.testing.assert_array_equal(one, other)


def test_grid_counts_columns_first_and_knows_its_strides() -> None:
    """Anchors run along rows; an unknown number of anchors has no grid."""
    grid = grid_of(64, ANCHORS)
    assert grid is not None
    assert grid[:2].tolist() == [[0, 0, 8], [1, 0, 8]]
    assert grid[-1].tolist() == [1, 1, 32]
    assert grid_of(64, ANCHORS + 2) is None
