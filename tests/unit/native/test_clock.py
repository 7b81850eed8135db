"""From timestamps to filter steps."""

from __future__ import annotations

import math

import pytest

from tilewatch.native.clock import RESET, Clock


def steps(*stamps: float) -> list[float]:
    """Return the steps a new clock gives."""
    clock = Clock()
    return [clock.advance(stamp) for stamp in stamps]


def test_gaps_count_in_thirtieths_of_a_second() -> None:
    """25, 30 and 60 frames/s, and a lost frame."""
    assert steps(5.0, 5.04, 5.04 + 1 / 30, 5.04 + 1 / 20, 5.04 + 3 / 20) == pytest.approx([1, 1.2, 1, 0.5, 3])


def test_rounded_timestamps_give_whole_steps() -> None:
    """Milliseconds of 30 frames/s: 33, 33, 34."""
    assert steps(0, 0.033, 0.066, 0.1) == [1, 1, 1, 1]


@pytest.mark.parametrize("late", [1.1, 0.5, -7.0, math.nan, math.inf, -math.inf])
def test_a_late_timestamp_stands_for_a_gap_like_the_one_before(late: float) -> None:
    """It is counted, time goes on, and the next good one is measured from the newest good one."""
    clock = Clock()
    assert [clock.advance(stamp) for stamp in (1.0, 1.1, late, 1.2)] == pytest.approx([1, 3, 3, 3])
    assert clock.late == 1
    assert clock.now == pytest.approx(1 / 30 + 0.3)


def test_a_clock_that_was_set_back_is_followed() -> None:
    """After some late timestamps in a row gaps are measured again."""
    clock = Clock()
    clock.advance(100.0)
    for frame in range(RESET):
        clock.advance(frame / 10)
    assert clock.advance((RESET + 1) / 10) == pytest.approx(6)
    assert clock.late == RESET


def test_an_endless_gap_stays_finite() -> None:
    """An hour stands for anything longer."""
    assert steps(0, 1e300, 2e300) == [1, 108000, 108000]
