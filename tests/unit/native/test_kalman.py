"""The motion filter against the published 8x8 matrices, and compiled against twin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tilewatch.native import COMPILED, kalman
from tilewatch.native.reference import kalman as reference

if TYPE_CHECKING:
    from tilewatch.native.reference.kalman import F64

POSITION, RATE = 1 / 20, 1 / 160


@pytest.fixture(params=["compiled", "twin"])
def _both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test on the compiled core and on its numpy twin."""
    if request.param == "compiled" and not COMPILED:
        pytest.skip("the twins are asked for")
    monkeypatch.setattr(kalman, "COMPILED", request.param == "compiled")


pytestmark = pytest.mark.usefixtures("_both")


def boxes(count: int, seed: int = 3) -> F64:
    """Return boxes of people, (count, 4)."""
    rng = np.random.default_rng(seed)
    corner, size = rng.uniform(0, 900, (count, 2)), rng.uniform([20, 60], [80, 240], (count, 2))
    return np.hstack([corner, corner + size])


class Published:
    """ByteTrack's filter with full matrices (Zhang et al. 2022): cx, cy, w/h, h and their rates."""

    def __init__(self, box: F64) -> None:
        self.mean = np.concatenate([self.coordinates(box), np.zeros(4)])
        h = self.mean[3]
        self.cov = np.diag(
            np.square([2 * POSITION * h] * 2 + [1e-2, 2 * POSITION * h] + [10 * RATE * h] * 2 + [1e-5, 10 * RATE * h])
        )

    @staticmethod
    def coordinates(box: F64) -> F64:
        """Return cx, cy, w/h, h."""
        width, height = box[2:] - box[:2]
        return np.array([box[0] + width / 2, box[1] + height / 2, width / height, height])

    def predict(self) -> None:
        """X = F x, P = F P F' + Q."""
        h, step = self.mean[3], np.eye(8) + np.eye(8, k=4)
        noise = np.diag(np.square([POSITION * h] * 2 + [1e-2, POSITION * h] + [RATE * h] * 2 + [1e-5, RATE * h]))
        self.mean, self.cov = step @ self.mean, step @ self.cov @ step.T + noise

    def correct(self, box: F64) -> None:
        """K = P H' S^-1, x = x + K y, P = P - K S K'."""
        h, seen = self.mean[3], np.eye(4, 8)
        spread = seen @ self.cov @ seen.T + np.diag(np.square([POSITION * h] * 2 + [1e-1, POSITION * h]))
        gain = self.cov @ seen.T @ np.linalg.inv(spread)
        self.mean = self.mean + gain @ (self.coordinates(box) - seen @ self.mean)
        self.cov = self.cov - gain @ spread @ gain.T


def test_four_small_filters_equal_the_published_large_one() -> None:
    """Ten steps of prediction and correction give the same means and covariances."""
    path = boxes(1) + np.arange(11)[:, None] * [3.0, 1.0, 3.5, 2.0]
    published, table = Published(path[0]), kalman.start(path[:1], aspect=True)
    for box in path[1:]:
        published.predict()
        published.correct(box)
        kalman.predict(table, 1.0, np.array([True]), aspect=True)
        kalman.correct(table, box[None], aspect=True)
        expected = [
            published.mean[:4],
            published.mean[4:],
            np.diag(published.cov)[:4],
            np.diag(published.cov, 4),
            np.diag(published.cov)[4:],
        ]
        np.testing.assert_allclose(table[0], np.concatenate(expected), rtol=1e-9)


def test_a_prediction_of_five_steps_moves_as_five_of_one() -> None:
    """The closed form: positions exactly; covariances too while the size, and so the noise, stays the same."""
    path = boxes(6)
    once = kalman.start(path, aspect=False)
    kalman.correct(once, path + np.array([4, 2, 4, 2]), aspect=False)
    often = once.copy()
    still = np.zeros(6, bool)  # sizes do not change, hence neither does the noise
    kalman.predict(once, 5.0, still, aspect=False)
    for _ in range(5):
        kalman.predict(often, 1.0, still, aspect=False)
    np.testing.assert_allclose(once, often, rtol=1e-12)


def test_a_lost_track_stops_growing() -> None:
    """Not moving: the rates of both sizes are dropped (of the height alone with an aspect ratio), others stay."""
    for aspect in (False, True):
        table = kalman.start(boxes(2), aspect=aspect)
        table[:, 4:8] = 1.0
        kalman.predict(table, 1.0, np.array([True, False]), aspect=aspect)
        assert table[0, 4:8].tolist() == [1, 1, 1, 1]
        assert table[1, 4:8].tolist() == [1, 1, 1 if aspect else 0, 0]


def test_sizes_stay_positive_over_long_gaps() -> None:
    """An object that shrank does not turn inside out."""
    table = kalman.start(boxes(1), aspect=False)
    table[:, 6:8] = -50.0
    kalman.predict(table, 1000.0, np.array([True]), aspect=False)
    left, top, right, bottom = kalman.bounds(table, aspect=False)[0]
    assert right > left
    assert bottom > top


@pytest.mark.parametrize("aspect", [False, True])
@pytest.mark.parametrize("steps", [0.5, 1.0, 2.4, 30.0])
def test_filter_equals_its_twin(steps: float, *, aspect: bool) -> None:
    """Whole, broken and small steps; none, one and many tracks."""
    for count in (0, 1, 17):
        first, then, moving = boxes(count), boxes(count) + 2, np.arange(count) % 3 > 0
        ours, twin = kalman.start(first, aspect=aspect), reference.start(first, aspect=aspect)
        kalman.predict(ours, steps, moving, aspect=aspect)
        reference.predict(twin, steps, moving, aspect=aspect)
        kalman.correct(ours, then, aspect=aspect)
        reference.correct(twin, then, aspect=aspect)
        np.testing.assert_allclose(ours, twin, rtol=1e-12)
        np.testing.assert_allclose(kalman.bounds(ours, aspect=aspect), reference.bounds(twin, aspect=aspect))


def test_arrays_that_do_not_fit_are_refused() -> None:
    """A kernel never reads beyond an array."""
    table = kalman.start(boxes(2), aspect=False)
    with pytest.raises(ValueError, match="expected"):
        kalman.correct(table, boxes(3), aspect=False)
    with pytest.raises(ValueError, match="expected"):
        kalman.predict(table, 1.0, np.ones(1, bool), aspect=False)
