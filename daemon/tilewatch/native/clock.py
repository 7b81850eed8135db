"""From the timestamps of a stream to steps of the motion filter."""

from __future__ import annotations

import math

UNIT = 1 / 30
"""Seconds of one filter step, whatever the stream's frame rate."""
NEARLY = 0.03
"""Steps this close to a whole number are that number: many containers round timestamps to milliseconds."""
LONGEST = 3600.0
"""Seconds; a longer gap counts as this one, which keeps the filter's numbers finite."""
RESET = 10
"""After so many late timestamps in a row the clock was set back; before, frames were out of order."""


class Clock:
    """The time of one stream.

    A timestamp that is not after the newest one, or no number, is late: it stands for a gap like the one before.
    """

    def __init__(self) -> None:
        self.frame = 0
        """Frames so far."""
        self.now = 0.0
        """Seconds since the first frame; never goes back."""
        self.late = 0
        """Late timestamps so far."""
        self._newest = -math.inf
        self._gap = UNIT
        self._run = 0

    def advance(self, seconds: float) -> float:
        """Go on to the next frame and return the steps since the last one; the first frame is one step."""
        gap = seconds - self._newest
        self.frame += 1
        if not math.isfinite(seconds) or gap <= 0:
            self._set_late(seconds)
        else:
            self._gap = min(gap, LONGEST) if math.isfinite(self._newest) else UNIT
            self._newest, self._run = seconds, 0
        self.now += self._gap
        steps = self._gap / UNIT
        return float(round(steps)) if abs(steps - round(steps)) < NEARLY else steps

    def _set_late(self, seconds: float) -> None:
        """Count a late timestamp; a clock that was set back is followed."""
        self.late += 1
        self._run += 1
        if self._run >= RESET and math.isfinite(seconds):
            self._newest, self._run = seconds, 0

    @property
    def newest(self) -> float:
        """The newest timestamp, seconds; -inf before the first."""
        return self._newest

    def state(self) -> tuple[float, ...]:
        """Return all there is to it, as six numbers."""
        return (self.frame, self.now, self.late, self._newest, self._gap, self._run)

    def restore(self, state: tuple[float, ...]) -> None:
        """Be as the clock was that gave this state."""
        frame, self.now, late, self._newest, self._gap, run = state
        self.frame, self.late, self._run = int(frame), int(late), int(run)
