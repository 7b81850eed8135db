"""Repairs a stream's timestamps, so that everything behind the decoder may rely on them rising."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction

MP4_TICKS = 2**31 - 1
"""Most that MP4 can put between two pictures, ticks of its own clock."""
COARSEST_CLOCK = 20_000
"""Ticks a second; a coarser time base is multiplied up to less than that when MP4 is written."""


class Timestamps:
    """Makes presentation times strictly increasing with as little change as possible.

    A missing time becomes the last one plus a frame's duration; a repeated or slightly earlier one the last plus one
    tick; a jump far backwards (recordings joined end to end) or beyond `most_ahead` shifts everything after it.

    Args:
        ticks_per_frame: nominal duration of a frame in ticks of the time base, at least 1.
        ticks_per_second: ticks in a second; a step back of more than that is a jump.
        most_ahead: longest gap in ticks that is believed; None: any.
    """

    def __init__(self, *, ticks_per_frame: int, ticks_per_second: int, most_ahead: int | None = None) -> None:
        self.repaired = 0
        self._step = max(1, ticks_per_frame)
        self._jump = max(ticks_per_second, self._step)
        self._most_ahead = most_ahead
        self._shift = 0
        self._last: int | None = None

    def next(self, pts: int | None) -> int:
        """Return the time of the next frame."""
        self._last, changed = self._repair(pts)
        self.repaired += changed
        return self._last

    def _repair(self, pts: int | None) -> tuple[int, bool]:
        if self._last is None:
            return (0, True) if pts is None else (pts, False)
        if pts is None:
            return self._last + self._step, True
        shifted = pts + self._shift
        ahead = shifted - self._last
        if ahead > 0 and (self._most_ahead is None or ahead <= self._most_ahead):
            return shifted, self._shift != 0
        if -self._jump <= ahead <= 0:
            return self._last + 1, True
        self._shift = self._last + self._step - pts
        return self._last + self._step, True


def longest_gap(time_base: Fraction) -> int:
    """Return the longest gap between two frames that can be written: hours, so that a longer one is a damaged time."""
    seconds = MP4_TICKS / max(time_base.denominator, COARSEST_CLOCK)
    return max(1, int(seconds / float(time_base)))
