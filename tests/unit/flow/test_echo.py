"""What comes back, a fixed number of items behind: never sooner, never later, whatever the timing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tilewatch.flow.echo import Echo

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    Run = Callable[[Coroutine[Any, Any, Any]], Any]


async def send(echo: Echo[int]) -> int | None:
    """Hear of an earlier item, then send the next."""
    heard = await echo.heard()
    echo.sent()
    return heard


@pytest.mark.parametrize("early", [True, False])
def test_item_hears_of_the_one_a_lag_before_it(run: Run, early: bool) -> None:
    """Whether the answers are there long before or are waited for."""

    async def scenario() -> list[int | None]:
        echo, heard = Echo[int](2), []
        for number in range(6):
            if not early and number >= 2:
                asyncio.get_running_loop().call_later(0, echo.answer, number - 2)
            heard.append(await send(echo))
            if early:
                echo.answer(number)
        return heard

    assert run(scenario()) == [None, None, 0, 1, 2, 3]


def test_nothing_sent_before_a_fresh_start_is_heard(run: Run) -> None:
    """Neither answers that are there nor those still to come."""

    async def scenario() -> list[int | None]:
        echo = Echo[int](2)
        for _ in range(2):
            await send(echo)
        echo.answer(0)
        echo.forget()
        heard = [await send(echo), await send(echo)]
        for number in (1, 2, 3):
            echo.answer(number)
        return [*heard, await send(echo), await send(echo)]

    assert run(scenario()) == [None, None, 2, 3]


def test_item_that_was_not_sent_on_is_not_waited_for(run: Run) -> None:
    """A frame skipped before the way round has no answer, and none is missing."""

    async def scenario() -> list[int | None]:
        echo = Echo[int](1)
        first = await send(echo)
        echo.answer(0)
        lost = await echo.heard()
        return [first, lost, await send(echo)]

    assert run(scenario()) == [None, 0, None]


def test_lag_of_nothing_is_refused() -> None:
    """An item would wait for itself."""
    with pytest.raises(ValueError, match="lag 0"):
        Echo[int](0)
