"""Ends the process when something in it stands still: a hung thread cannot be ended in any other way.

It waits on a thread of its own, so that it sees a hung event loop too. The orchestrator restarts the process, the
ledger lets the work go on.
"""

from __future__ import annotations

import os
import sys
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from tilewatch.errors import ProcessError
from tilewatch.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from tilewatch.telemetry.health import Health

LOOK_SECONDS = 1.0
RED_SECONDS = 3.0
"""For so long health stays red before the process ends: time for a probe to see why."""

logger = log.logger("watchdog")


def end_process(reasons: tuple[str, ...]) -> NoReturn:
    """End the process at once, without waiting for threads or finalisers."""
    logger.error("process_stalled", reasons=reasons, exit_code=ProcessError.exit_code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ProcessError.exit_code)


class Watchdog:
    """Looks at the register of who has work in hand, until `stop`."""

    def __init__(self, health: Health, end: Callable[[tuple[str, ...]], object] = end_process) -> None:
        self._health = health
        self._end = end
        self._stopped: SimpleQueue[None] = SimpleQueue()

    def watch(self, look_seconds: float = LOOK_SECONDS, red_seconds: float = RED_SECONDS) -> None:
        """Watch until `stop`, or until something has stood still for too long and that has been seen; blocking."""
        red = 0.0
        while not self._pause(look_seconds):
            verdict = self._health.live()
            red = 0.0 if verdict else red + look_seconds
            if red > red_seconds:
                self._end(verdict.reasons)
                return

    def stop(self) -> None:
        """Let `watch` return."""
        self._stopped.put(None)

    def _pause(self, seconds: float) -> bool:
        """Wait, and return whether it is over."""
        try:
            self._stopped.get(timeout=seconds)
        except Empty:
            return False
        return True
