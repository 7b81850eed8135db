"""Which of the files that were found are finished: memory between two walks through the folder, no clock, no disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tilewatch.jobs.folder import Stamp

PATIENCE_SECONDS = 60.0
PATIENCE_SETTLES = 10
"""A file that does not open is waited for until it was quiet for the larger of the two: a copy may make pauses."""
RETRY_SECONDS = 5.0
NANO = 1e-9


@dataclass(slots=True)
class Candidate:
    """A file that may still grow."""

    stamp: Stamp
    quiet_since: float
    """Seconds of the monotonic clock."""
    look_at: float
    """When it is looked into next; the same clock."""


class Sweep:
    """What is known of each file. All times but `wall` are seconds of the monotonic clock.

    Args:
        settle_seconds: without a change after which a file counts as finished.
    """

    def __init__(self, settle_seconds: float) -> None:
        self._settle = settle_seconds
        self._patience = max(PATIENCE_SECONDS, PATIENCE_SETTLES * settle_seconds)
        self._candidates: dict[str, Candidate] = {}
        self._settled: dict[str, Stamp] = {}

    @property
    def waiting(self) -> int:
        """Files that are not finished, or were not yet looked into."""
        return len(self._candidates)

    def update(self, files: Mapping[str, Stamp], now: float, wall: float) -> None:
        """Take in what a walk has found; files that have gone are forgotten.

        Args:
            files: found, by path.
            now: the time.
            wall: Unix seconds, to which the files' own times are compared.
        """
        self._settled = {path: stamp for path, stamp in self._settled.items() if files.get(path) == stamp}
        self._candidates = {
            path: self._candidate(path, stamp, now, wall) for path, stamp in files.items() if path not in self._settled
        }

    def due(self, now: float) -> list[str]:
        """Return the files that are quiet and to be looked into, the oldest first."""
        ready = [(one.stamp.mtime_ns, path) for path, one in self._candidates.items() if one.look_at <= now]
        return [path for _, path in sorted(ready)]

    def next_due(self) -> float | None:
        """Return when the next file is to be looked into; None: there is none."""
        return min((one.look_at for one in self._candidates.values()), default=None)

    def stamp(self, path: str) -> Stamp:
        """Return how a candidate was found."""
        return self._candidates[path].stamp

    def settle(self, path: str) -> None:
        """Leave a file alone until it changes."""
        self._settled[path] = self._candidates.pop(path).stamp

    def has_patience(self, path: str, now: float) -> bool:
        """Tell whether a file that does not open is still waited for."""
        return now - self._candidates[path].quiet_since < self._patience

    def postpone(self, path: str, now: float) -> None:
        """Look into a file again later, and seldom once patience has ended."""
        again = max(RETRY_SECONDS, self._settle) if self.has_patience(path, now) else self._patience
        self._candidates[path].look_at = now + again

    def _candidate(self, path: str, stamp: Stamp, now: float, wall: float) -> Candidate:
        """Return what is known of a file: seen before unchanged, changed, or new."""
        known = self._candidates.get(path)
        if known and known.stamp == stamp:
            return known
        # A file that comes with an old time was renamed or moved into place: it is complete. One that was seen
        # growing has to be quiet before our eyes, whatever time its server gives it.
        age = 0.0 if known else max(0.0, wall - stamp.mtime_ns * NANO)
        return Candidate(stamp, now - age, now - age + self._settle)
