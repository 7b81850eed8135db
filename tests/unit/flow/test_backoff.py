"""The waits between tries: they double up to the cap, spread, and begin small again."""

from __future__ import annotations

from tilewatch.flow.backoff import Backoff


def test_waits_double_up_to_the_cap_and_begin_small_again() -> None:
    """The longest each may be: first, twice that, ... cap; after a reset the first again."""
    waits = Backoff(1.0, 5.0, chance=lambda: 1.0)
    assert [waits.next() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    waits.reset()
    assert waits.next() == 1.0


def test_each_wait_lies_between_half_and_all_of_the_longest() -> None:
    """Jitter never makes a wait longer than the cap, nor a loop without a pause."""
    shares = iter((0.0, 0.5, 1.0))
    waits = [Backoff(4.0, 60.0, chance=lambda: next(shares)).next() for _ in range(3)]
    assert waits == [2.0, 3.0, 4.0]


def test_cap_holds_after_years_of_tries() -> None:
    """No overflow, however often."""
    waits = Backoff(1.0, 30.0, chance=lambda: 0.0)
    assert {waits.next() for _ in range(5000)} == {0.5, 1.0, 2.0, 4.0, 8.0, 15.0}
