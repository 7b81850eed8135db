"""The infer stage: the device is kept busy, answers keep their order and wait for nobody, nothing is left behind."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tilewatch.flow.channel import Channel
from tilewatch.stages.infer import infer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Device:
    """Answers when the test says so; a batch without tiles at once, as the executor does."""

    appetite = 8

    def __init__(self) -> None:
        self.asked: list[tuple[int, asyncio.Future[Any]]] = []

    def submit(self, batch: Any) -> asyncio.Future[Any]:
        """Queue a batch."""
        self.asked.append((batch.number, asyncio.get_running_loop().create_future()))
        if not len(batch.tiles):
            self.answer(batch.number)
        return self.asked[-1][1]

    def answer(self, number: int) -> None:
        """Answer one batch with its number."""
        next(future for asked, future in self.asked if asked == number).set_result(number)


async def channel(*sizes: int, closed: bool = True) -> Channel[Any]:
    """Return a channel of numbered batches of so many tiles."""
    inbox: Channel[Any] = Channel("tile", 100)
    for number, tiles in enumerate(sizes):
        await inbox.send(SimpleNamespace(number=number, tiles=range(tiles)))
    if closed:
        inbox.close()
    return inbox


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(10):
        await asyncio.sleep(0)


async def anext_of(stage: Any) -> Any:
    """Return the next item as a coroutine, which `ensure_future` needs."""
    return await stage.__anext__()


def test_as_many_tiles_are_under_way_as_the_device_likes_and_no_more(run: Run) -> None:
    """Batches of three tiles for an appetite of eight: three more behind the oldest, then wait for that one."""

    async def scenario() -> list[list[int]]:
        device, seen = Device(), []
        stage = infer(await channel(*[3] * 6), device)
        first = asyncio.ensure_future(anext_of(stage))
        await settle()
        seen.append([number for number, _ in device.asked])
        device.answer(1)
        await settle()
        assert not first.done()
        device.answer(0)
        assert await first == 0
        await stage.aclose()
        seen.append([number for number, future in device.asked if future.cancelled()])
        return seen

    assert run(scenario()) == [[0, 1, 2, 3], [2, 3]]


def test_answers_come_in_the_order_of_the_frames_and_all_of_them(run: Run) -> None:
    """Whatever order the device finishes in; the flush delivers what is left."""

    async def scenario() -> list[int]:
        device = Device()

        async def answers() -> None:
            await settle()
            for number in (2, 1, 0, 3):
                device.answer(number)
            await settle()
            device.answer(4)

        other = asyncio.ensure_future(answers())
        found: list[Any] = [number async for number in infer(await channel(*[2] * 5), device)]
        await other
        return found

    assert run(scenario()) == [0, 1, 2, 3, 4]


def test_answer_goes_on_as_soon_as_it_is_there(run: Run) -> None:
    """No frame waits for frames behind it: a source that pauses holds nothing back."""

    async def scenario() -> int:
        device, inbox = Device(), await channel(1, closed=False)
        first = asyncio.ensure_future(anext_of(infer(inbox, device)))
        await settle()
        device.answer(0)
        return await asyncio.wait_for(first, 5)

    assert run(scenario()) == 0


def test_frames_without_tiles_travel_on_at_once_and_never_pile_up(run: Run) -> None:
    """Alone they pass through; behind one that is waited for, each takes room."""

    async def scenario() -> tuple[list[int], int, list[int]]:
        device, inbox = Device(), await channel(*[0] * 5, 1, *[0] * 50)
        stage = infer(inbox, device)
        passed = [await anext_of(stage) for _ in range(5)]
        sixth = asyncio.ensure_future(anext_of(stage))
        await settle()
        behind = len(device.asked) - 6
        device.answer(5)
        return passed, behind, [await sixth, *[number async for number in stage]]

    assert run(scenario()) == ([0, 1, 2, 3, 4], Device.appetite, list(range(5, 56)))
