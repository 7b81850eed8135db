"""Head kernels against their numpy twins, and both against values worked out by hand."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tilewatch.native import COMPILED, heads
from tilewatch.native.reference import heads as reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.records import F32, Bool

SCORES = st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.5, 0.9, 1.0, 1.5, -2.0, np.nan, np.inf, -np.inf])
COORDINATES = st.sampled_from([0.0, 1.0, -3.5, 17.25, 640.0, 1e30, np.nan, np.inf])
THRESHOLDS = st.sampled_from([0.01, 0.25, 0.3, 0.5, 1.0])
NOTHING = np.empty((0, 4), np.float32)


def masks(most: int = 4) -> st.SearchStrategy[Bool | None]:
    """Class masks, also shorter and longer than the classes, and none."""
    return st.one_of(st.none(), st.lists(st.booleans(), max_size=most).map(lambda bits: np.array(bits, bool)))


def arrays(*shape: int | None, values: st.SearchStrategy[float] = SCORES) -> st.SearchStrategy[F32]:
    """Float32 arrays; None is a free length."""
    lengths = st.tuples(*(st.integers(0, 6) if side is None else st.just(side) for side in shape))
    drawn: st.SearchStrategy[F32] = hnp.arrays(np.float32, lengths, elements=values.map(np.float32))
    return drawn


def agree(found: heads.Candidates, expected: Sequence[Any]) -> None:
    """Compare all four parts; boxes to rounding, all else exactly."""
    np.testing.assert_allclose(found.xyxy, expected[0], rtol=1e-5)
    for name, twin in zip(("score", "label", "tile"), expected[1:], strict=True):
        part = getattr(found, name)
        np.testing.assert_array_equal(part, twin)
        assert part.dtype == twin.dtype
    assert found.xyxy.dtype == np.float32


def test_compiled_kernels_are_in_use() -> None:
    """The suite tests the compiled core unless the twins are asked for."""
    origin = importlib.util.find_spec("tilewatch.native._heads")
    assert origin is not None
    assert not COMPILED or (origin.name in sys.modules and str(origin.origin).endswith(".so"))


@settings(deadline=None)
@given(boxes=arrays(2, 4, 5, values=COORDINATES), scores=arrays(2, 3, 5), threshold=THRESHOLDS, wanted=masks())
def test_columns_equal_their_twin(boxes: F32, scores: F32, threshold: float, wanted: Bool | None) -> None:
    """Ties, NaN and infinities come out as the twin defines."""
    output = np.concatenate([boxes, scores], axis=1)
    agree(heads.columns(output, threshold, wanted), reference.columns(output, threshold, wanted))


@settings(deadline=None)
@given(output=arrays(None, None, 8), threshold=THRESHOLDS, wanted=masks(), raw=st.booleans())
def test_rows_equal_their_twin(output: F32, threshold: float, wanted: Bool | None, *, raw: bool) -> None:
    """With and without a grid, for any number of tiles and anchors, none included."""
    anchors = np.arange(output.shape[1], dtype=np.float32)
    grid = np.stack([anchors, anchors + 1, anchors + 8], axis=-1) if raw else None
    agree(heads.rows(output, threshold, wanted, grid), reference.rows(output, grid, threshold, wanted))


@settings(deadline=None)
@given(output=arrays(2, None, 6), labels=arrays(2, 6), threshold=THRESHOLDS, wanted=masks())
def test_end2end_equals_its_twin(output: F32, labels: F32, threshold: float, wanted: Bool | None) -> None:
    """A class that is NaN, negative or endless drops the row in both."""
    output[..., 5] = 3 * labels[:, : output.shape[1]]
    agree(heads.end2end(output, threshold, wanted), reference.end2end(output, threshold, wanted))


@settings(deadline=None)
@given(
    boxes=arrays(2, 5, 4, values=COORDINATES),
    scores=arrays(2, 5, 3),
    threshold=THRESHOLDS,
    wanted=masks(),
    logits=st.booleans(),
)
def test_detr_equals_its_twin(boxes: F32, scores: F32, threshold: float, wanted: Bool | None, *, logits: bool) -> None:
    """Probabilities are taken as they are, logits through a sigmoid."""
    expected = reference.detr(boxes, scores, 320, threshold, wanted, logits=logits)
    agree(heads.detr(boxes, scores, threshold, wanted, size=320, logits=logits), expected)


@pytest.mark.parametrize("anchors", [511, 512, 513, 8400])
def test_columns_lose_no_box_when_every_anchor_passes(anchors: int) -> None:
    """There is room for every anchor, and blocks leave no gap."""
    output = np.full((2, 6, anchors), 0.5, np.float32)
    output[:, 0] = np.arange(anchors)
    found = heads.columns(output, 0.5)
    assert len(found.score) == 2 * anchors
    np.testing.assert_array_equal(found.xyxy[:anchors, 0], np.arange(anchors, dtype=np.float32) - 0.25)
    np.testing.assert_array_equal(found.tile, np.repeat([0, 1], anchors))


def test_columns_keep_the_best_class_only() -> None:
    """One candidate an anchor: its best class, the first of equals; the others do not come through a mask."""
    output = np.array([[[10], [20], [4], [6], [0.2], [0.7], [0.7]]], np.float32)
    found = heads.columns(output, 0.3)
    assert found.label.tolist() == [1]
    assert found.xyxy.tolist() == [[8, 17, 12, 23]]
    assert len(heads.columns(output, 0.3, np.array([True, False, True])).score) == 0


def test_rows_multiply_objectness_and_class() -> None:
    """The score is objectness x class, and that is what the threshold is held against."""
    output = np.array([[[10, 20, 4, 6, 0.5, 0.5, 1.0], [10, 20, 4, 6, 0.5, 0.4, 0.1]]], np.float32)
    found = heads.rows(output, 0.25)
    assert (found.score.tolist(), found.label.tolist()) == ([0.5], [1])


def test_raw_rows_unfold_their_cell() -> None:
    """Offsets are added to the cell, sizes are exponentials, both times the stride."""
    output = np.array([[[0.5, -0.5, 0.0, np.log(2.0), 1.0, 1.0]]], np.float32)
    found = heads.rows(output, 0.25, grid=np.array([[3, 4, 8]], np.float32))
    np.testing.assert_allclose(found.xyxy, [[28 - 4, 28 - 8, 28 + 4, 28 + 8]], rtol=1e-6)


def test_detr_logits_become_probabilities_and_fractions_pixels() -> None:
    """A logit of 0 is a half; a box of the whole input is as large as the input."""
    boxes = np.array([[[0.5, 0.5, 1.0, 1.0]]], np.float32)
    found = heads.detr(boxes, np.zeros((1, 1, 2), np.float32), 0.5, size=320, logits=True)
    assert (found.score.tolist(), found.xyxy.tolist()) == ([0.5], [[0, 0, 320, 320]])


def test_strided_and_read_only_outputs_are_taken() -> None:
    """Views of a runtime's memory come as they are."""
    output = np.random.default_rng(1).random((2, 9, 50), np.float32).transpose(0, 2, 1)
    output.flags.writeable = False
    agree(heads.rows(output, 0.25), reference.rows(output, None, 0.25, None))


@pytest.mark.parametrize("shape", [(1, 4, 10), (5, 10), (1 << 15, 5, 1)])
def test_columns_refuse_shapes_they_would_read_beyond(shape: tuple[int, ...]) -> None:
    """A wrong shape is a bug of the caller and said so."""
    with pytest.raises(ValueError, match="shape"):
        heads.columns(np.zeros(shape, np.float32), 0.25)


@pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan")])
def test_threshold_must_be_positive(threshold: float) -> None:
    """An anchor without any score must not pass."""
    with pytest.raises(ValueError, match="threshold"):
        heads.columns(np.zeros((1, 5, 1), np.float32), threshold)


def test_detr_refuses_boxes_and_scores_of_different_queries() -> None:
    """Boxes without scores are a bug of the caller."""
    with pytest.raises(ValueError, match="do not fit"):
        heads.detr(np.zeros((1, 2, 4), np.float32), np.zeros((1, 3, 4), np.float32), 0.5, size=64, logits=False)


def test_no_candidates_are_arrays_of_length_zero() -> None:
    """Nothing is N = 0, with the dtypes of something."""
    assert [part.shape for part in heads.none()] == [(0, 4), (0,), (0,), (0,)]
    assert heads.columns(np.zeros((0, 84, 8400), np.float32), 0.25).xyxy.shape == NOTHING.shape
