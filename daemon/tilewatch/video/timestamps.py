"""Repairs a stream's timestamps, so that everything behind the decoder may rely on them rising."""

from __future__ import annotations


class Timestamps:
    """Makes presentation times strictly increasing with as little change as possible.

    A missing time becomes the last one plus a frame's duration; a repeated or slightly earlier one the last plus one
    tick; a jump far backwards (recordings joined end to end) shifts everything after it.

    Args:
        ticks_per_frame: nominal duration of a frame in ticks of the time base, at least 1.
        ticks_per_second: ticks in a second; a step back of more than that is a jump.
    """

    def __init__(self, *, ticks_per_frame: int, ticks_per_second: int) -> None:
        self.repaired = 0
        self._step = max(1, ticks_per_frame)
        self._jump = max(ticks_per_second, self._step)
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
        if shifted > self._last:
            return shifted, self._shift != 0
        if self._last - shifted <= self._jump:
            return self._last + 1, True
        self._shift = self._last + self._step - pts
        return self._last + self._step, True
