"""Hand tile batches to the device's executor and yield the raw heads, in order, each as soon as it is there."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator

    from typing_extensions import Self

    from tilewatch.records import RawHeads, TileBatch


class Device(Protocol):
    """The executor's part in this stage."""

    @property
    def appetite(self) -> int:
        """Tiles that keep the device busy: what should be under way behind the frame that is waited for."""

    def submit(self, batch: TileBatch) -> asyncio.Future[RawHeads]:
        """Queue the tiles of a frame; the future answers with their heads."""


class Inbox(Protocol):
    """The channel's part in this stage."""

    async def ready_before(self, other: asyncio.Future[RawHeads], /) -> bool:
        """Wait for an item, the end, or a future; return whether the item or the end came first."""

    def __aiter__(self) -> Self:
        """Return itself."""

    async def __anext__(self) -> TileBatch:
        """Return the next batch."""


async def infer(inbox: Inbox, device: Device) -> AsyncGenerator[RawHeads, None]:
    """Keep the device busy across frames; an answer never waits for frames behind it."""
    under_way: deque[asyncio.Future[RawHeads]] = deque()
    sizes: deque[int] = deque()
    try:
        async for batch in inbox:
            under_way.append(device.submit(batch))
            sizes.append(max(len(batch.tiles), 1))  # a frame without tiles takes room too
            while under_way and (
                sum(sizes) - sizes[0] >= device.appetite or not await inbox.ready_before(under_way[0])
            ):
                sizes.popleft()
                yield await under_way.popleft()
        while under_way:
            yield await under_way.popleft()
    finally:
        for answer in under_way:
            answer.cancel()
