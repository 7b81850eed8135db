"""Rates: what happened lately, and no memory of what did not."""

from __future__ import annotations

from tilewatch.telemetry.rate import Rate


def test_rate_is_of_the_window_and_fades_to_nothing() -> None:
    """A steady stream shows its rate from its first seconds on; when it ends, so does the rate."""
    now = 100.0
    rate = Rate(10, clock=lambda: now)
    assert rate.per_second() == 0
    rate.count(3)
    assert rate.per_second() == 3
    for step in range(400):
        now = 100 + step * 0.05
        rate.count()
        if step == 40:
            assert 19 < rate.per_second() < 23
    assert 18 < rate.per_second() < 21
    now += 11
    assert rate.per_second() == 0
