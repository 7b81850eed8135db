"""The assignment is the best there is: compiled and twin against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from tilewatch.native import COMPILED, assign

COSTS = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 0.8, 1.0, np.inf, np.nan]))


@pytest.fixture(params=["compiled", "twin"])
def _both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test on the compiled core and on its numpy twin."""
    if request.param == "compiled" and not COMPILED:
        pytest.skip("the twins are asked for")
    monkeypatch.setattr(assign, "COMPILED", request.param == "compiled")


pytestmark = pytest.mark.usefixtures("_both")


@st.composite
def matrices(draw: st.DrawFn) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Up to 7 x 7 costs, with ties, forbidden pairs and none at all."""
    rows, columns = draw(st.integers(0, 7)), draw(st.integers(0, 7))
    values = draw(st.lists(COSTS, min_size=rows * columns, max_size=rows * columns))
    return np.array(values, np.float64).reshape(rows, columns)


def gain(cost: np.ndarray[tuple[int, int], np.dtype[np.float64]], limit: float) -> float:
    """Return the largest sum of (limit - cost), by SciPy."""
    worth = np.where(cost < limit, limit - cost, 0)
    return float(worth[linear_sum_assignment(-worth)].sum())


def check(cost: np.ndarray[tuple[int, int], np.dtype[np.float64]], limit: float) -> None:
    """Assert that each column is used once, no forbidden pair is used, and nothing is better."""
    column = assign.assign(cost, limit)
    rows = np.flatnonzero(column >= 0)
    chosen = cost[rows, column[rows]]
    assert column.shape == (len(cost),)
    assert column.dtype == np.int32
    assert len(set(column[rows].tolist())) == len(rows)
    assert (chosen < limit).all()
    assert (limit - chosen).sum() == pytest.approx(gain(cost, limit), abs=1e-9)


@given(cost=matrices(), limit=st.sampled_from([0.25, 0.5, 0.8, 0.9]))
def test_assignment_is_as_good_as_scipys(cost: np.ndarray[tuple[int, int], np.dtype[np.float64]], limit: float) -> None:
    """Ties, infinities, NaN, empty sides: the gain is the best possible, one column a row."""
    check(cost, limit)


@pytest.mark.parametrize("density", [0.03, 0.2, 1.0])
def test_assignment_of_a_crowd_is_as_good_as_scipys(density: float) -> None:
    """60 x 70 costs, few or all pairs allowed: long augmenting paths and many components."""
    rng = np.random.default_rng(7)
    cost = np.where(rng.random((60, 70)) < density, rng.random((60, 70)), np.inf)
    check(cost, 0.8)


def test_two_pairs_win_over_one_better_pair() -> None:
    """The sum counts, not the best pair first."""
    assert assign.assign(np.array([[0.1, 0.3], [0.2, 0.9]]), 0.8).tolist() == [1, 0]


def test_costs_that_are_no_matrix_are_refused() -> None:
    """A vector has no rows and columns."""
    with pytest.raises(ValueError, match="rows and columns"):
        assign.assign(np.zeros(3), 0.8)
