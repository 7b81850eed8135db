"""Timestamps rise whatever the file says, and are left alone where they already do."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewatch.video.timestamps import Timestamps, longest_gap

Times = list[int | None]


def mended(times: Times, *, frame: int = 40, second: int = 1000) -> tuple[list[int], int]:
    """Return the times after repair, and how many were repaired."""
    clock = Timestamps(ticks_per_frame=frame, ticks_per_second=second)
    return [clock.next(pts) for pts in times], clock.repaired


@given(st.lists(st.one_of(st.none(), st.integers(-(10**9), 10**9))), st.integers(0, 10**5), st.integers(0, 10**6))
def test_times_always_rise(times: Times, frame: int, second: int) -> None:
    """Whatever comes, the next time is later."""
    given_out, _ = mended(times, frame=frame, second=second)
    assert all(later > earlier for earlier, later in pairwise(given_out))


@given(st.sets(st.integers(-(10**9), 10**9)))
def test_rising_times_are_left_alone(times: set[int]) -> None:
    """Variable rates, gaps and negative starts are no faults."""
    assert mended([*sorted(times)]) == (sorted(times), 0)


@pytest.mark.parametrize(
    ("times", "expected", "repaired"),
    [
        ([None, None, 80], [0, 40, 80], 2),
        ([0, 40, 40, 80], [0, 40, 41, 80], 1),
        ([0, 40, 30, 80], [0, 40, 41, 80], 1),
        ([5000, 5040, 0, 40, 80], [5000, 5040, 5080, 5120, 5160], 3),
    ],
    ids=["missing", "repeated", "a step back", "recordings joined end to end"],
)
def test_unusable_times_are_mended_with_least_change(times: Times, expected: list[int], repaired: int) -> None:
    """A missing time is a frame later, a repeated one a tick, a jump back shifts what follows."""
    assert mended(times) == (expected, repaired)


def test_gap_that_cannot_be_written_shifts_what_follows() -> None:
    """A gap of months is a damaged time: the next frame follows at once, and the distances behind it are kept."""
    clock = Timestamps(ticks_per_frame=40, ticks_per_second=1000, most_ahead=10**6)
    assert [clock.next(pts) for pts in (0, 10**6, 10**9, 10**9 + 70)] == [0, 10**6, 10**6 + 40, 10**6 + 110]
    assert clock.repaired == 2


@pytest.mark.parametrize("time_base", [Fraction(1, 90_000), Fraction(1, 10), Fraction(1001, 30_000), Fraction(1, 1000)])
def test_gaps_of_hours_are_believed(time_base: Fraction) -> None:
    """Cameras that record on motion leave such gaps."""
    assert longest_gap(time_base) * time_base > 6 * 3600
