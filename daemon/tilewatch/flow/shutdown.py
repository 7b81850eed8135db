"""How the program stops: a first signal asks the sources to end and starts the clock, a second one ends at once."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tilewatch.flow.backports import timeout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Shutdown:
    """The stop signal and the one deadline behind it.

    `stop` is set by the first signal: sources end, and the end travels through the pipelines. Whatever has not come to
    its end `drain_seconds` later, or at the second signal, is cancelled.
    """

    def __init__(self, drain_seconds: float) -> None:
        self.stop = asyncio.Event()
        self.expired = False
        """True once the deadline has cancelled what was left."""
        self._drain_seconds = drain_seconds
        self._deadline = timeout(None)

    @property
    def requested(self) -> bool:
        """True once the end was asked for."""
        return self.stop.is_set()

    @asynccontextmanager
    async def guard(self) -> AsyncIterator[None]:
        """Hold the signals and the deadline over a block of work."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.request)
        try:
            async with self._deadline:
                yield
        except TimeoutError:
            if not self._deadline.expired():
                raise
            self.expired = True
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    def request(self) -> None:
        """Ask for the end; asked twice, demand it."""
        if self._deadline.expired():
            return
        now = asyncio.get_running_loop().time()
        self._deadline.reschedule(now if self.stop.is_set() else now + self._drain_seconds)
        self.stop.set()
