"""How often something happened lately, for the figures a person reads; everything else is PromQL's work."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BUCKETS = 10


class Rate:
    """Counts events and tells how many there were a second, over the last `window` seconds.

    It keeps ten sums, however many events there are. Nothing counted for a whole window is a rate of 0; a burst counts
    as if it had taken a tenth of the window at least.
    """

    def __init__(self, window: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._span = window / BUCKETS
        self._sums: deque[tuple[int, int]] = deque(maxlen=BUCKETS)
        self._started: float | None = None
        self._window = window

    def count(self, events: int = 1) -> None:
        """Count some events as of now."""
        now = self._clock()
        self._started = now if self._started is None else self._started
        bucket = int(now // self._span)
        if self._sums and self._sums[-1][0] == bucket:
            events += self._sums.pop()[1]
        self._sums.append((bucket, events))

    def per_second(self) -> float:
        """Return the events a second over the window, or over the time since the first one where that is shorter."""
        if self._started is None:
            return 0.0
        now = self._clock()
        oldest = int(now // self._span) - BUCKETS
        total = sum(events for bucket, events in self._sums if bucket > oldest)
        return total / max(min(now - self._started, self._window), self._span)
