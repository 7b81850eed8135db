"""Scores of small cases, worked out by hand."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tilewatch.errors import ConfigError
from tilewatch.scoring.comparison import bring_together
from tilewatch.scoring.metrics import Evaluator, Scores
from tilewatch.scoring.motfile import Boxes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.scoring.comparison import Benchmark

A, B, C = 0.0, 200.0, 400.0
"""Left sides of boxes of 100 x 50 that do not touch."""


def boxes(*rows: Sequence[float]) -> Boxes:
    """Return boxes from rows of frame, id, left and, where given, width, confidence, class."""
    table = np.array([[*row, *(100.0, 1.0, 1.0)[len(row) - 3 :]] for row in rows], np.float64).reshape(-1, 6)
    nothing, height = np.zeros(len(table)), np.full(len(table), 50.0)
    box = np.column_stack([table[:, 2], nothing, table[:, 3], height])
    return Boxes(table[:, 0], table[:, 1], box, table[:, 4], table[:, 5])


def score(truth: Boxes, found: Boxes, benchmark: Benchmark = "none") -> Scores:
    """Return the scores of one video."""
    return Evaluator().score([bring_together(truth, found, benchmark)])[1]


ONE = boxes((1, 1, A), (2, 1, A), (3, 1, A), (4, 1, A))
TWO = boxes((1, 1, A), (1, 2, B), (2, 1, A), (2, 2, B))


def test_perfect_result_is_a_hundred_of_everything() -> None:
    """Other ids, other frames' order, gaps in both: only the boxes and who is who matter."""
    truth = boxes((5, 30, A), (1, 30, A), (1, 4, B), (90, 4, B))
    found = boxes((90, 1000, B), (1, 7, A), (1, 1000, B), (5, 7, A))
    assert score(truth, found) == Scores(100, 100, 100, 100, 100, 0, 0, 0)


def test_a_change_of_id_costs_a_switch_and_half_the_association() -> None:
    """One object, four frames, two ids: IDTP 2, IDFN 2, IDFP 2; every true positive is associated with half of its."""
    found = score(ONE, boxes((1, 1, A), (2, 1, A), (3, 2, A), (4, 2, A)))
    assert found == pytest.approx((75, 50, 100 * math.sqrt(0.5), 100, 50, 1, 0, 0))


def test_missed_objects_and_empty_boxes_are_counted() -> None:
    """Of two objects one is followed, and beside them there is a ghost: TP 2, FP 2, FN 2."""
    found = score(TWO, boxes((1, 1, A), (1, 9, C), (2, 1, A), (2, 9, C)))
    assert found == pytest.approx((0, 50, 100 * math.sqrt(1 / 3), 100 / 3, 100, 0, 2, 2))


def test_loose_boxes_cost_hota_alone() -> None:
    """IoU 0.62: right at the 12 limits from 0.05 to 0.60, wrong at the other 7."""
    found = score(ONE, boxes(*[(frame, 1, A, 62) for frame in range(1, 5)]))
    assert found == pytest.approx((100, 100, 100 * 12 / 19, 100 * 12 / 19, 100 * 12 / 19, 0, 0, 0))


def test_nothing_found_and_far_off_frames_are_no_matter() -> None:
    """No box at all; and a box in a frame nobody will ever reach."""
    assert score(ONE, boxes()) == Scores(0, 0, 0, 0, 0, 0, 0, 4)
    assert score(ONE, boxes((10**12, 1, A))) == Scores(-25, 0, 0, 0, 0, 0, 1, 4)


def test_truth_of_confidence_zero_does_not_count() -> None:
    """Who finds it has found nothing."""
    truth = boxes((1, 1, A), (1, 2, B, 100, 0))
    assert score(truth, boxes((1, 1, A))) == Scores(100, 100, 100, 100, 100, 0, 0, 0)
    assert score(truth, boxes((1, 1, A), (1, 2, B))).fp == 1


def test_mot17_takes_away_what_shows_a_distractor_and_counts_people_alone() -> None:
    """A static person (7) may be tracked; a car (3) and a person that does not count may not; nor what is beside it."""
    truth = boxes((1, 1, A), (1, 2, B, 100, 0, 7), (1, 3, C, 100, 0, 3), (1, 4, 600, 100, 0, 1))
    found = boxes((1, 1, A), (1, 2, B), (1, 3, C), (1, 4, 600), (1, 5, B + 60))
    assert score(truth, found, "MOT17") == pytest.approx((-200, 40, 50, 25, 100, 0, 3, 0))
    assert score(truth, found).fp == 4


def test_mot17_without_classes_is_refused() -> None:
    """Six columns are no benchmark's truth."""
    with pytest.raises(ConfigError, match="MOT17 needs a class in column 8"):
        bring_together(ONE._replace(label=np.full(4, np.nan)), ONE, "MOT17")


def test_videos_together_are_counted_together() -> None:
    """Eight objects' boxes, one switch: not the mean of the scores."""
    switched = bring_together(ONE, boxes((1, 1, A), (2, 1, A), (3, 2, A), (4, 2, A)))
    twice = bring_together(boxes(*[(frame, 1, A) for frame in range(1, 13)]), boxes(*[(f, 1, A) for f in range(1, 13)]))
    each, together = Evaluator().score([switched, twice])
    assert [scores.mota for scores in each] == pytest.approx([75, 100])
    assert together.mota == pytest.approx(100 * 15 / 16)
    assert together.idf1 == pytest.approx(100 * 14 / 16)
    assert together.assa == pytest.approx(100 * (4 * 0.5 + 12) / 16)


def test_missing_package_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 78."""
    monkeypatch.setitem(sys.modules, "trackeval", None)
    with pytest.raises(
        ConfigError, match=r"needs TrackEval \(.*\): pip install scipy && pip install --no-deps"
    ) as caught:
        Evaluator()
    assert caught.value.exit_code == 78
