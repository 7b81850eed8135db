"""Event loops the asynchronous tests run on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import uvloop
from blockbuster import blockbuster_ctx

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

T = TypeVar("T")
LOOPS = ("asyncio", "uvloop")


def run_on(name: str, coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on the named kind of loop, with blocking calls detected."""
    loop = uvloop.new_event_loop() if name == "uvloop" else asyncio.new_event_loop()
    loop.set_debug(name == "asyncio")
    try:
        with blockbuster_ctx("tilewatch"):
            return loop.run_until_complete(coroutine)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
