"""`serve`: composes the service and sees it through: watch, work, answer questions, end in time."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import uvloop

from tilewatch import __version__
from tilewatch.detector import open_detector
from tilewatch.errors import ConfigError
from tilewatch.flow.backports import BaseExceptionGroup, TaskGroup, timeout
from tilewatch.flow.lane import Lane
from tilewatch.flow.shutdown import Shutdown
from tilewatch.flow.supervisor import verdict
from tilewatch.job import Session
from tilewatch.jobs.ledger import Ledger
from tilewatch.jobs.watch import Watcher
from tilewatch.service import places
from tilewatch.service.desk import Desk
from tilewatch.service.outlook import Outlook
from tilewatch.service.watchdog import Watchdog
from tilewatch.service.worker import Worker
from tilewatch.telemetry import log, metrics
from tilewatch.telemetry.health import Health
from tilewatch.telemetry.listener import OpsServer, listen
from tilewatch.telemetry.progress import ProgressReport
from tilewatch.telemetry.server import Endpoints, build_app
from tilewatch.telemetry.streams import FileSlots
from tilewatch.video.opening import can_open

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tilewatch.detector import Detector
    from tilewatch.settings import Settings

EXIT_CUT_SHORT = 75
TICK_SECONDS = 1.0
DISK_SECONDS = 10.0
OPEN_SECONDS = 1800.0
"""An engine may take so long to open: some compile the model first."""

logger = log.logger("service")


def serve(settings: Settings) -> int:
    """Serve until a stop is asked for and return the exit code: 0 when all was kept in time, else 75.

    Raises:
        ProcessError: the settings, a folder or the engine do not do.
    """
    log.configure(settings.log, sys.stdout)
    _check_folders(settings)
    return uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> int:
    async with AsyncExitStack() as stack:
        service = await Service.open(settings, stack)
        try:
            await service.run()
        except BaseExceptionGroup as group:
            raise verdict(group) from group
    return EXIT_CUT_SHORT if service.shutdown.expired else 0


class Service:
    """The parts that live as long as the process; made by `open`."""

    def __init__(self, settings: Settings, ledger: Ledger, lanes: dict[str, Lane]) -> None:
        self.shutdown = Shutdown(settings.service.drain_seconds)
        self._settings = settings
        self._lanes = lanes
        self._metrics = metrics.create()
        self._health = Health(settings.service.stall_seconds)
        self._desk = Desk(ledger, lanes["ledger"], self._health, self._metrics)
        self._outlook = Outlook(self._health, ledger, settings.path.output_dir)
        self._watchdog = Watchdog(self._health)

    @classmethod
    async def open(cls, settings: Settings, stack: AsyncExitStack) -> Service:
        """Open the ledger and the lanes; `stack` closes them."""
        lanes = {name: await stack.enter_async_context(Lane(name)) for name in ("ledger", "files", "watchdog")}
        output = settings.path.output_dir
        opening = partial(
            Ledger.open, output, max_attempts=settings.limit.attempts, results=partial(places.results, output)
        )
        ledger = await lanes["ledger"].call(opening)
        stack.push_async_callback(lanes["ledger"].clean_up, ledger.close)
        unfinished = await lanes["ledger"].call(partial(ledger.list, states=("waiting", "ready", "running")))
        await lanes["files"].call(places.forget_all_but, unfinished, output)
        return cls(settings, ledger, lanes)

    async def run(self) -> None:
        """Serve until a stop was asked for and everything in work is kept."""
        logger.info("service_started", version=__version__, watching=str(self._settings.watch.watch_dir))
        async with (
            self.shutdown.guard(),
            self._attended(),
            self._opened() as detector,
        ):
            await self._work(detector)
        logger.info("service_stopped", drained=not self.shutdown.expired)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Detector]:
        """Open the detector; a driver that hangs while it opens is noticed too."""
        async with AsyncExitStack() as stack:
            with self._health.working("engine", "open", allowed=OPEN_SECONDS):
                detector = await stack.enter_async_context(open_detector(self._settings, self._metrics))
            yield detector

    async def _work(self, detector: Detector) -> None:
        """Watch and work until the stop."""
        self._outlook.engine = detector.engine.info
        watching = {"device": detector.executor.busy_since}
        with self._health.watch("engine", watching):
            self._health.warmed_up()
            logger.info("service_ready")
            async with TaskGroup() as group:
                watcher = group.create_task(self._watcher().run(self._desk.offer), name="watcher")
                for worker in self._workers(detector):
                    group.create_task(worker.run(), name="worker")
                await self.shutdown.stop.wait()
                self._health.drain()
                self._desk.ring()
                watcher.cancel()

    def _watcher(self) -> Watcher:
        settings = self._settings
        opens = partial(can_open, max_pixels=settings.limit.frame_pixels)
        return Watcher(settings.watch, settings.path.output_dir, call=self._lanes["files"].call, opens=opens)

    def _workers(self, detector: Detector) -> list[Worker]:
        """Return a worker for each stream that may be in work at once."""
        session = Session(self.shutdown, ProgressReport(), slots=FileSlots(), health=self._health)
        name = f"{socket.gethostname()}-{os.getpid()}"
        return [
            Worker(f"{name}-{number}", self._desk, detector, session, self._lanes["files"], self._outlook.running)
            for number in range(self._settings.limit.streams)
        ]

    @asynccontextmanager
    async def _attended(self) -> AsyncIterator[None]:
        """Answer questions, look after disk and health, while the block runs."""
        server = self._server()
        try:
            async with TaskGroup() as group:
                tasks = [
                    group.create_task(self._tick(), name="tick"),
                    group.create_task(self._mind_disk(), name="disk"),
                    group.create_task(self._lanes["watchdog"].call(self._watchdog.watch), name="watchdog"),
                ]
                if server:
                    group.create_task(server.run(), name="server")
                yield
                self._watchdog.stop()
                if server:
                    server.stop()
                for task in tasks[:2]:
                    task.cancel()
        finally:
            self._watchdog.stop()

    def _server(self) -> OpsServer | None:
        """Return the server of the ops endpoints, listening; None where none is wanted."""
        settings = self._settings.metrics
        if not settings.port:
            return None
        lane = self._lanes["ledger"]
        endpoints = Endpoints(
            registry=self._metrics.registry,
            call=lane.call,
            health=self._health,
            status=partial(lane.call, self._outlook.status),
        )
        return OpsServer(build_app(endpoints, settings.token), listen(settings.host, settings.port))

    async def _tick(self) -> None:
        """Let the watchdog see that the loop runs."""
        while True:
            self._health.beat("service", "loop")
            await asyncio.sleep(TICK_SECONDS)

    async def _mind_disk(self) -> None:
        """Take no work while there is little room, or the output cannot be written; go on once that is over."""
        output, reserve = self._settings.path.output_dir, self._settings.disk.reserve
        while True:
            usage, writable = await self._lanes["files"].call(_room, output)
            self._metrics.disk_free.labels(volume="output").set(usage)
            if usage < reserve:
                need = f"{usage / 1e9:.1f} GB free, DISK_RESERVE is {reserve / 1e9:.1f} GB"
                self._desk.close("disk", f"{output}: {need}: free some room, the work goes on by itself")
            else:
                self._desk.reopen("disk")
            if writable:
                self._desk.reopen("output")
            await self._desk.count()
            with suppress(TimeoutError):
                async with timeout(DISK_SECONDS):
                    await self.shutdown.stop.wait()
                    return


def _room(output: Path) -> tuple[int, bool]:
    """Return the free bytes of a folder's volume, and whether it can be written; blocking."""
    return shutil.disk_usage(output).free, places.is_writable(output)


def _check_folders(settings: Settings) -> None:
    """Refuse folders that do not do before anything else is done.

    Raises:
        ConfigError: names the folder, and the command that mends it.
    """
    watched, output = settings.watch.watch_dir, settings.path.output_dir
    if not watched.is_dir():
        raise ConfigError(f"{watched}: the watched folder is not there: make it, or set WATCH_DIR")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{output}: cannot be made ({error.strerror}): make it, or set OUTPUT_DIR") from error
    for folder, mode, need in ((watched, os.R_OK | os.X_OK, "read"), (output, os.W_OK | os.X_OK, "written")):
        if not os.access(folder, mode):
            owner = f"{os.getuid()}:{os.getgid()}"
            raise ConfigError(f"{folder}: cannot be {need}: run `chown -R {owner} {folder}` on the host")
