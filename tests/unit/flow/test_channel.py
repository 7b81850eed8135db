"""The bounded channel: nothing lost, nothing unbounded, endings seen on both sides."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tilewatch.flow.channel import Channel, ChannelClosedError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


async def received(channel: Channel[int]) -> list[int]:
    """Return everything a channel still gives."""
    return [item async for item in channel]


async def settle() -> None:
    """Let every task that can go on go on."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_items_arrive_in_order_when_closed_behind_them(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """What was sent before the close is still received, then the channel ends."""

    async def scenario() -> list[int]:
        channel = Channel[int]("a", 3)
        for item in (1, 2, 3):
            await channel.send(item)
        channel.close()
        before = channel.exhausted
        items = await received(channel)
        assert (before, channel.exhausted) == (False, True)
        return items

    assert run(scenario()) == [1, 2, 3]


def test_sender_waits_when_the_channel_is_full(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """A full channel blocks its sender until an item is taken, and counts the wait."""

    async def scenario() -> None:
        channel = Channel[int]("a", 2)
        await channel.send(1)
        await channel.send(2)
        third = asyncio.ensure_future(channel.send(3))
        await settle()
        assert not third.done()
        assert await channel.__anext__() == 1
        await third
        assert channel.statistics.most_items == 2
        assert channel.statistics.send_wait_seconds > 0

    run(scenario())


def test_receiver_waits_until_an_item_is_sent(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """An empty channel blocks its reader until there is an item."""

    async def scenario() -> int:
        channel = Channel[int]("a", 1)
        first = asyncio.ensure_future(channel.__anext__())
        await settle()
        assert not first.done()
        await channel.send(7)
        return await first

    assert run(scenario()) == 7


def test_oldest_is_dropped_and_counted_when_live(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """A live channel never blocks its sender: the past goes, and is counted."""

    async def scenario() -> tuple[list[int], int]:
        channel = Channel[int]("a", 2, full="drop_oldest")
        for item in range(5):
            await channel.send(item)
        channel.close()
        return await received(channel), channel.statistics.dropped

    assert run(scenario()) == ([3, 4], 3)


def test_cancelled_receive_loses_nothing(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """A reader that gives up waiting leaves the next item for the next read."""

    async def scenario() -> int:
        channel = Channel[int]("a", 1)
        first = asyncio.ensure_future(channel.__anext__())
        await settle()
        first.cancel()
        await channel.send(1)
        with pytest.raises(asyncio.CancelledError):
            await first
        return await channel.__anext__()

    assert run(scenario()) == 1


def test_cancelled_send_is_not_delivered(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """A sender that gives up waiting has sent nothing."""

    async def scenario() -> list[int]:
        channel = Channel[int]("a", 1)
        await channel.send(1)
        second = asyncio.ensure_future(channel.send(2))
        await settle()
        second.cancel()
        await settle()
        channel.close()
        return await received(channel)

    assert run(scenario()) == [1]


def test_send_into_a_closed_channel_is_refused(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """Nothing comes after the end."""

    async def scenario() -> None:
        channel = Channel[int]("a", 1)
        channel.close()
        with pytest.raises(ChannelClosedError, match="closed"):
            await channel.send(1)

    run(scenario())


def test_capacity_below_one_is_refused() -> None:
    """A channel that holds nothing would hang everything."""
    with pytest.raises(ValueError, match="holds nothing"):
        Channel[int]("a", 0)


@pytest.mark.parametrize("first", ["item", "end", "other", "both"])
def test_waiting_for_an_item_or_something_else_takes_nothing(
    run: Callable[[Coroutine[Any, Any, Any]], Any], first: str
) -> None:
    """What came first is told, a future that is done before anything; the items stay, and no wait is counted."""

    async def scenario() -> tuple[bool, int, float]:
        loop = asyncio.get_running_loop()
        inbox, other = Channel[int]("test", 2), loop.create_future()
        waiting = asyncio.ensure_future(inbox.ready_before(other))
        await asyncio.sleep(0)
        if first in {"item", "both"}:
            await inbox.send(1)
        if first == "end":
            inbox.close()
        if first in {"other", "both"}:
            other.set_result(None)
        return await waiting, len(inbox), inbox.statistics.receive_wait_seconds

    ready = first in {"item", "end"}
    assert run(scenario()) == (ready, int(first in {"item", "both"}), 0.0)
