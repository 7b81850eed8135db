"""What a later stage tells an earlier one, a fixed number of items behind.

The sender of item n hears of item n - lag, and waits for it: what it hears never depends on how fast anything runs.
Answers come in the order of the items, one for each item sent. At most `lag` items are on their way, so the stages
between must not hold an item back until more have come.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Echo(Generic[T]):
    """The way back. One sender, one that answers."""

    def __init__(self, lag: int) -> None:
        if lag < 1:
            raise ValueError(f"lag {lag}: an item cannot hear of itself")
        self.lag = lag
        self._answers: deque[T] = deque()
        self._out = 0
        self._foreign = 0
        self._answered = asyncio.Event()

    async def heard(self) -> T | None:
        """Return the answer to the item sent `lag` before the next one, waiting for it; None where there is no such."""
        if self._out < self.lag:
            return None
        while not self._answers:
            self._answered.clear()
            await self._answered.wait()
        self._out -= 1
        return self._answers.popleft()

    def sent(self) -> None:
        """Count an item that was sent on."""
        self._out += 1

    def answer(self, item: T) -> None:
        """Answer the oldest item that has no answer yet."""
        if self._foreign:
            self._foreign -= 1
            return
        self._answers.append(item)
        self._answered.set()

    def forget(self) -> None:
        """Start afresh: nothing sent so far will be heard of."""
        self._foreign += self._out - len(self._answers)
        self._answers.clear()
        self._out = 0
