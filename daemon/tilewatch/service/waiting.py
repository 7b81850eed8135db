"""Before the service begins: while it may not use its folders it waits, says so wherever one may look, and goes on."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from tilewatch import __version__
from tilewatch.flow.backports import TaskGroup, timeout
from tilewatch.flow.lane import Lane
from tilewatch.service import folders
from tilewatch.telemetry import log, metrics
from tilewatch.telemetry.health import Health
from tilewatch.telemetry.listener import OpsServer, listen
from tilewatch.telemetry.server import Endpoints, build_app
from tilewatch.telemetry.status import Status, health_facts

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tilewatch.flow.shutdown import Shutdown
    from tilewatch.settings import Settings

LOOK_SECONDS = 2.0

logger = log.logger("service")


async def usable(settings: Settings, shutdown: Shutdown) -> bool:
    """Return True once the folders can be used, False if a stop is asked for before.

    Raises:
        ConfigError: nobody could be answered meanwhile: the address of the ops endpoints does not do.
    """
    async with Lane("folders") as lane:
        look = partial(folders.refused, settings)
        found = await lane.call(look)
        if not found:
            return True
        health = Health(settings.service.stall_seconds)
        async with _answering(settings, health, lane):
            told: dict[Path, str] = {}
            while found and not shutdown.requested:
                _tell(health, told, found)
                told = found
                await _pause(shutdown.stop)
                found = await lane.call(look)
        if found:
            return False
        logger.info("folders_usable")
        return True


def _tell(health: Health, told: dict[Path, str], found: dict[Path, str]) -> None:
    """Say what is wrong with which folder, once in the log and for as long as it lasts in the status."""
    for folder in told.keys() - found.keys():
        health.mend(str(folder))
    for folder, text in found.items():
        health.degrade(str(folder), text)
        if told.get(folder) != text:
            logger.error("folder_refused", folder=str(folder), text=text)


async def _pause(stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with timeout(LOOK_SECONDS):
            await stop.wait()


@asynccontextmanager
async def _answering(settings: Settings, health: Health, lane: Lane) -> AsyncIterator[None]:
    """Serve the ops endpoints while the block runs."""
    if not settings.metrics.port:
        yield
        return
    started = time.monotonic()

    async def status() -> Status:
        uptime = time.monotonic() - started
        return Status(**health_facts(health), version=__version__, uptime_seconds=uptime, engine=None)

    endpoints = Endpoints(registry=metrics.create().registry, call=lane.call, health=health, status=status)
    listener = listen(settings.metrics.host, settings.metrics.port)
    server = OpsServer(build_app(endpoints, settings.metrics.token), listener)
    async with TaskGroup() as group:
        group.create_task(server.run(), name="server")
        yield
        server.stop()
