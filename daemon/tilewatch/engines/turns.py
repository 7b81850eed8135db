"""Who is next at a device that several streams share.

Each stream's work waits in a line of its own, oldest first, and the lines take turns: one item a turn, whatever their
length, so that a stream with eight tiles a frame does not get eight times the share of one with a single tile. Urgent
lines (live sources, which lose what is not looked at in time) go before the others, but not always: whoever waits in
an ordinary line shares every fourth turn.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

MOST_URGENT_IN_A_ROW = 3
"""Turns of urgent lines before an ordinary one that waits has its turn: at least a quarter of the device is theirs."""


class Line(Generic[T]):
    """What one stream has waiting."""

    __slots__ = ("items", "urgent")

    def __init__(self, *, urgent: bool = False) -> None:
        self.urgent = urgent
        self.items: deque[T] = deque()


class Turns(Generic[T]):
    """The lines in which something waits, in the order of their next turn."""

    def __init__(self) -> None:
        self._urgent: deque[Line[T]] = deque()
        self._ordinary: deque[Line[T]] = deque()
        self._urgent_in_a_row = 0
        self._count = 0

    def __len__(self) -> int:
        """Return the number of items waiting in all lines."""
        return self._count

    def put(self, line: Line[T], items: list[T]) -> None:
        """Let items wait at the end of a line; a line that was empty has its turn after all others."""
        if items and not line.items:
            self._lines_like(line).append(line)
        line.items.extend(items)
        self._count += len(items)

    def take(self, most: int) -> list[T]:
        """Return the next items, as many as there are up to `most`."""
        return [self._next() for _ in range(min(most, self._count))]

    def keep(self, line: Line[T], wanted: Callable[[T], bool]) -> None:
        """Drop the items of a line that are not wanted any more."""
        kept = deque(item for item in line.items if wanted(item))
        self._count -= len(line.items) - len(kept)
        if line.items and not kept:
            self._lines_like(line).remove(line)
        line.items = kept

    def clear(self) -> None:
        """Forget everything that waits."""
        for line in (*self._urgent, *self._ordinary):
            line.items.clear()
        self._urgent.clear()
        self._ordinary.clear()
        self._count = 0

    def _next(self) -> T:
        lines = self._lines_to_serve()
        line = lines.popleft()
        item = line.items.popleft()
        if line.items:
            lines.append(line)
        self._count -= 1
        return item

    def _lines_to_serve(self) -> deque[Line[T]]:
        """Return the lines whose turn it is: the urgent ones, unless an ordinary one has waited for long enough."""
        overdue = self._ordinary and self._urgent_in_a_row >= MOST_URGENT_IN_A_ROW
        if self._urgent and not overdue:
            self._urgent_in_a_row += 1
            return self._urgent
        self._urgent_in_a_row = 0
        return self._ordinary

    def _lines_like(self, line: Line[T]) -> deque[Line[T]]:
        return self._urgent if line.urgent else self._ordinary
