"""Times of a camera's pictures: Unix time, strictly rising, evenly spaced as the camera took them.

Pictures arrive in bursts, a camera's own clock begins anywhere and drifts, and the machine's clock may be set while the
program runs (a board without a battery starts in the past). So a picture's time is the camera's, moved to ours by an
offset that follows slowly; and ours never goes back.
"""

from __future__ import annotations

import time
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TIME_BASE = Fraction(1, 90_000)
NANOSECONDS = 1_000_000_000
FOLLOW = 1 / 64
"""Share of a picture's deviation by which the offset follows: evens out what the network does."""
JUMP_SECONDS = 2.0
"""Beyond that a clock was set, or the camera started anew: no drift."""


class WallClock:
    """The clock of one camera, over all its connections.

    Args:
        wall: Unix time, nanoseconds.
        monotonic: nanoseconds that never go back.
    """

    def __init__(
        self, wall: Callable[[], int] = time.time_ns, monotonic: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._base = wall() - monotonic()
        self._offset: float | None = None
        self._last: int | None = None

    def now(self) -> float:
        """Return Unix time, seconds; follows the machine's clock when that is set forward, never back."""
        ahead = self._wall() - self._monotonic() - self._base
        if ahead > JUMP_SECONDS * NANOSECONDS:
            self._base += ahead
        return (self._base + self._monotonic()) / NANOSECONDS

    def connected(self) -> None:
        """Forget the offset: the camera's times may begin anew."""
        self._offset = None

    def stamp(self, seconds: float | None) -> int:
        """Return the time of a picture that has just arrived, ticks of `TIME_BASE`.

        Args:
            seconds: the camera's own time of it; None where it does not tell.
        """
        arrived = self.now()
        ticks = int((arrived if seconds is None else self._ours(seconds, arrived)) / float(TIME_BASE))
        self._last = ticks if self._last is None else max(ticks, self._last + 1)
        return self._last

    def _ours(self, seconds: float, arrived: float) -> float:
        """Return a time of the camera as ours."""
        deviation = 0.0 if self._offset is None else arrived - seconds - self._offset
        if self._offset is None or abs(deviation) > JUMP_SECONDS:
            self._offset = arrived - seconds
        else:
            self._offset += deviation * FOLLOW
        return seconds + self._offset
