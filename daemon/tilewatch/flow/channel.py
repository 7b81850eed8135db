"""A bounded queue between two stages: it can be closed, and it counts.

One producer, one consumer. The rules are those of anyio's memory object streams: what was sent before `close` is still
received, a receive that is cancelled loses nothing, and sending after the end is an error.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")


class ChannelClosedError(Exception):
    """An item was sent into a channel that was closed: a bug of the sender."""


@dataclass(slots=True)
class ChannelStatistics:
    """What went through, and how long either side waited for the other."""

    sent: int = 0
    received: int = 0
    dropped: int = 0
    most_items: int = 0
    send_wait_seconds: float = 0.0
    receive_wait_seconds: float = 0.0


class Channel(Generic[T]):
    """A bounded queue of `capacity` items.

    `full` says what a send does when there is no room: 'block' waits, 'drop_oldest' discards the oldest item and counts
    it (for live sources, whose past is worth nothing).

    It is an object with `__anext__` rather than a generator, since a time-out around a generator's next ends the
    generator.
    """

    def __init__(self, name: str, capacity: int, *, full: Literal["block", "drop_oldest"] = "block") -> None:
        if capacity < 1:
            raise ValueError(f"channel {name}: a capacity of {capacity} holds nothing")
        self.name = name
        self.capacity = capacity
        self.statistics = ChannelStatistics()
        self.starving = False
        """True while the receiver waits for an item."""
        self.jammed = False
        """True while the sender waits for room."""
        self.taken_at = 0.0
        """When the receiver's last wait or take ended, `time.perf_counter` seconds."""
        self._drops = full == "drop_oldest"
        self._items: deque[T] = deque()
        self._closed = False
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Return the number of items waiting."""
        return len(self._items)

    @property
    def exhausted(self) -> bool:
        """True once it is closed and everything sent was received."""
        return self._closed and not self._items

    async def send(self, item: T) -> None:
        """Put an item in, waiting for room when the channel blocks.

        Raises:
            ChannelClosedError: the channel was closed.
        """
        self._check_open()
        if len(self._items) >= self.capacity:
            await self._make_room()
        self._items.append(item)
        self.statistics.sent += 1
        self.statistics.most_items = max(self.statistics.most_items, len(self._items))
        self._changed.set()

    def close(self) -> None:
        """Say that nothing more comes; what is inside is still received. Idempotent."""
        self._closed = True
        self._changed.set()

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> T:
        """Return the oldest item, waiting for one; ends when the channel is exhausted."""
        if not self._items:
            await self._wait_for_item()
        item = self._items.popleft()
        self.taken_at = time.perf_counter()
        self.statistics.received += 1
        self._changed.set()
        return item

    async def ready_before(self, other: asyncio.Future[Any]) -> bool:
        """Wait for an item, the end, or another future, and return whether the next receive comes before that one.

        It takes nothing, and what it waits is not waiting for input. A future that is done is always first.
        """
        other.add_done_callback(self._wake)
        try:
            while not (self._items or self._closed or other.done()):
                await self._change()
        finally:
            other.remove_done_callback(self._wake)
        return not other.done()

    def _wake(self, _: object) -> None:
        self._changed.set()

    async def _make_room(self) -> None:
        if self._drops:
            self._items.popleft()
            self.statistics.dropped += 1
            return
        started = time.perf_counter()
        self.jammed = True
        try:
            while len(self._items) >= self.capacity:
                await self._change()
        finally:
            self.jammed = False
            self.statistics.send_wait_seconds += time.perf_counter() - started

    async def _wait_for_item(self) -> None:
        started = time.perf_counter()
        self.starving = True
        try:
            while not self._items:
                if self._closed:
                    raise StopAsyncIteration
                await self._change()
        finally:
            self.starving = False
            self.taken_at = time.perf_counter()
            self.statistics.receive_wait_seconds += self.taken_at - started

    async def _change(self) -> None:
        """Wait until either side did something: with one producer and one consumer only one of them can wait."""
        self._changed.clear()
        await self._changed.wait()

    def _check_open(self) -> None:
        if self._closed:
            raise ChannelClosedError(f"channel {self.name} is closed: nothing comes after the end")
