"""Hand tile batches to the device's executor and yield the raw heads, in order."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, AsyncIterator

    from tilewatch.records import RawHeads, TileBatch


class Device(Protocol):
    """The executor's part in this stage."""

    @property
    def appetite(self) -> int:
        """Tiles that keep the device busy: what should be under way behind the frame that is waited for."""

    def submit(self, batch: TileBatch) -> asyncio.Future[RawHeads]:
        """Queue the tiles of a frame; the future answers with their heads."""


async def infer(inbox: AsyncIterator[TileBatch], device: Device) -> AsyncGenerator[RawHeads, None]:
    """Keep the device busy across frames; answers come in the order of the frames."""
    under_way: deque[tuple[int, asyncio.Future[RawHeads]]] = deque()
    tiles = 0
    try:
        async for batch in inbox:
            under_way.append((len(batch.tiles), device.submit(batch)))
            tiles += len(batch.tiles)
            while tiles - under_way[0][0] >= device.appetite:  # enough behind the oldest to keep the device busy
                count, answer = under_way.popleft()
                yield await answer
                tiles -= count
        while under_way:
            yield await under_way.popleft()[1]
    finally:
        for _, answer in under_way:
            answer.cancel()
