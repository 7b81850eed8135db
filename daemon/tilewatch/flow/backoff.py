"""How long to wait before the next try: doubling, capped, and jittered, so that many do not come back all at once."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_DOUBLINGS = 32
"""Enough to reach every cap; keeps the power of two small however long it lasts."""


class Backoff:
    """The waits between tries, each between half of what it may be and all of it.

    Args:
        first: most seconds before the first try.
        cap: most seconds before any try.
        chance: numbers from 0 to 1.
    """

    def __init__(self, first: float, cap: float, chance: Callable[[], float] = random.random) -> None:
        self._first = first
        self._cap = cap
        self._chance = chance
        self._tries = 0

    def next(self) -> float:
        """Return the seconds to wait before the next try."""
        most = min(self._cap, self._first * (1 << min(self._tries, MOST_DOUBLINGS)))
        self._tries += 1
        return most * (1 + self._chance()) / 2

    def reset(self) -> None:
        """Begin small again: it has worked."""
        self._tries = 0
