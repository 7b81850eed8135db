"""A camera's clock: its pictures' spacing, our time, and never a step back."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest

from tilewatch.video.wallclock import TIME_BASE, WallClock

SECOND = 1_000_000_000
START = 1_700_000_000


@dataclass
class Machine:
    """The clocks of a machine, turned by hand."""

    wall: int = START * SECOND
    monotonic: int = 5 * SECOND

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += round(seconds * SECOND)
        self.monotonic += round(seconds * SECOND)

    def clock(self) -> WallClock:
        """Return a camera's clock on this machine."""
        return WallClock(lambda: self.wall, lambda: self.monotonic)


def seconds(ticks: int) -> float:
    """Return a time since the machine's start."""
    return float(ticks * TIME_BASE) - START


def test_pictures_keep_their_spacing_when_they_arrive_in_bursts() -> None:
    """Ten a second, taken evenly, arriving in fives: spaced 0.1 s to a few ms, at the time of arrival."""
    machine = Machine()
    clock, times = machine.clock(), []
    for number in range(50):
        if number % 5 == 0:
            machine.wait(0.5)
        times.append(seconds(clock.stamp(7000 + number / 10)))
    steps = [after - before for before, after in pairwise(times)]
    assert min(steps) > 0.09
    assert max(steps) < 0.11
    assert times[-1] == pytest.approx(5.2, abs=0.3)


def test_pictures_without_a_time_get_that_of_their_arrival() -> None:
    """The first one of a connection often has none."""
    machine = Machine()
    clock = machine.clock()
    machine.wait(3)
    assert seconds(clock.stamp(None)) == pytest.approx(3, abs=1e-4)


@pytest.mark.parametrize("camera", [[10.0, 10.1, 9.0, 9.1], [10.0, 10.0, 10.0, 10.0], [10.0, 90_000.0, 3.0, 3.1]])
def test_times_rise_strictly_whatever_the_camera_says(camera: list[float]) -> None:
    """Repeated, backward, leaping: at least one tick between two pictures, and always about now."""
    machine = Machine()
    clock, last = machine.clock(), 0
    for moment in camera:
        machine.wait(0.1)
        ticks = clock.stamp(moment)
        assert ticks > last
        assert seconds(ticks) == pytest.approx((machine.monotonic - 5 * SECOND) / SECOND, abs=2.0)
        last = ticks


def test_drift_is_followed_without_a_jump() -> None:
    """A camera whose clock is 0.1 % fast for an hour: always within half a second of ours."""
    machine = Machine()
    clock, times = machine.clock(), []
    for number in range(36_000):
        machine.wait(0.1)
        times.append(seconds(clock.stamp(number * 0.1001)))
    assert times[-1] == pytest.approx(3600, abs=0.5)
    assert max(after - before for before, after in pairwise(times)) < 0.11


def test_new_connection_begins_a_new_mapping_and_times_go_on() -> None:
    """After a restart the camera counts from anywhere."""
    machine = Machine()
    clock = machine.clock()
    first = clock.stamp(500.0)
    machine.wait(1.5)
    clock.connected()
    assert seconds(clock.stamp(500.1)) == pytest.approx(1.5, abs=1e-4)
    assert first < clock.stamp(500.2)


def test_clock_set_forward_is_followed_and_set_back_is_not() -> None:
    """A board that starts in the past gets its time from the network; nothing is ever dated before what was."""
    machine = Machine()
    clock = machine.clock()
    machine.wall += 1000 * SECOND
    assert seconds(clock.stamp(None)) == pytest.approx(1000, abs=1e-4)
    machine.wall -= 500 * SECOND
    machine.wait(1)
    assert seconds(clock.stamp(None)) == pytest.approx(1001, abs=1e-4)
