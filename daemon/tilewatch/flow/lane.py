"""One thread for calls that take more than a millisecond: the only place where threads are made.

A lane runs one call at a time, in order: one lane per decoder, per encoder, per device, since none of them is
thread-safe. A thread cannot be killed, so a cancelled caller waits for its running call: no buffer is freed under it.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from typing_extensions import ParamSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class LaneStatistics:
    """What the lane's thread has done."""

    calls: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    """CPU time of the lane's own thread; threads inside a native library are not in it."""


class Lane:
    """A named thread; `async with` closes it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.statistics = LaneStatistics()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the lane."""
        self.close()

    async def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function on the lane and return its result; its exceptions come through.

        When the caller is cancelled, a call that has not begun never will, and one that has begun is waited for.
        """
        running = self._executor.submit(self._timed, function, *args, **kwargs)
        done = asyncio.wrap_future(running)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            if not running.cancel():
                await _finish(done)
            raise

    async def clean_up(self, function: Callable[P, None], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Run a function that never raises to its end, also when the caller is cancelled before it has begun."""
        await _finish(asyncio.wrap_future(self._executor.submit(self._timed, function, *args, **kwargs)))

    def close(self) -> None:
        """Let the thread go once its queue is empty. Idempotent.

        Every caller waits for its call, so nothing is running any more when the pipeline that owns the lane has ended.
        """
        self._executor.shutdown(wait=False)

    def _timed(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            return function(*args, **kwargs)
        finally:
            self.statistics.calls += 1
            self.statistics.wall_seconds += time.perf_counter() - wall
            self.statistics.cpu_seconds += time.thread_time() - cpu


async def _finish(done: asyncio.Future[T]) -> None:
    """Wait for a call whose result nobody wants, however often the waiter is cancelled meanwhile."""
    while not done.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([done])
    if not done.cancelled():
        done.exception()  # marks it as retrieved: the cancellation outranks it
