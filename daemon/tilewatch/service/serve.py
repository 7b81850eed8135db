"""`serve`: composes the service and sees it through: watch, work, answer questions, end in time."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from tilewatch import __version__
from tilewatch.detector import open_detector
from tilewatch.errors import ConfigError
from tilewatch.flow.backports import BaseExceptionGroup, TaskGroup
from tilewatch.flow.lane import Lane
from tilewatch.flow.shutdown import Shutdown
from tilewatch.flow.supervisor import verdict
from tilewatch.job import Session
from tilewatch.jobs.ledger import Ledger, ledger_path
from tilewatch.jobs.owners import owner_name
from tilewatch.jobs.watch import Watcher
from tilewatch.service import folders, gpus, places
from tilewatch.service.camera import CameraState, CameraStream
from tilewatch.service.desk import Desk
from tilewatch.service.lastid import LastId
from tilewatch.service.modelfile import ModelFile
from tilewatch.service.outlook import Outlook
from tilewatch.service.reload import SettingsFile, extent
from tilewatch.service.salvage import Salvage
from tilewatch.service.trial import Trial
from tilewatch.service.waiting import usable
from tilewatch.service.watchdog import Watchdog
from tilewatch.service.worker import Worker
from tilewatch.telemetry import log, metrics
from tilewatch.telemetry.health import Health
from tilewatch.telemetry.listener import OpsServer, listen
from tilewatch.telemetry.progress import ProgressReport
from tilewatch.telemetry.server import Endpoints, Picture, build_app
from tilewatch.telemetry.streams import FileSlots

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tilewatch.detector import Detector
    from tilewatch.settings import Settings

EXIT_CUT_SHORT = 75
TICK_SECONDS = 1.0
DISK_SECONDS = 10.0
MODEL_SECONDS = 10.0
LEFTOVERS_SECONDS = 300.0
"""Distance of the looks after results that were left open; what this start finds is looked after at once."""
LEFTOVERS_WORK_SECONDS = 3600.0
"""One look may take so long: a day of a camera's video is copied, and hashed."""
OPEN_SECONDS = 1800.0
"""An engine may take so long to open: some compile the model first."""

logger = log.logger("service")


def serve(settings: Settings, env_file: Path | None = None) -> int:
    """Serve until a stop is asked for and return the exit code: 0 when all was kept in time, else 75.

    Args:
        settings: as read from the environment and `env_file`.
        env_file: read again whenever it changes, or at SIGHUP.

    Raises:
        ProcessError: the settings, a folder or the engine do not do.
    """
    log.configure(settings.log.model_copy(update={"dir": None}), sys.stdout)
    folders.make(settings)
    return uvloop.run(_serve(settings, env_file))


async def _serve(settings: Settings, env_file: Path | None) -> int:
    # One and the same from the first to the last moment: between two of them a stop could be lost.
    shutdown = Shutdown(settings.service.drain_seconds)
    async with shutdown.guard(), AsyncExitStack() as stack:
        if not await usable(settings, shutdown):
            return 0
        log.configure(settings.log, sys.stdout)
        service = await Service.open(settings, env_file, shutdown, stack)
        try:
            await service.run()
        except BaseExceptionGroup as group:
            raise verdict(group) from group
    logger.info("service_stopped", drained=not shutdown.expired)
    return EXIT_CUT_SHORT if shutdown.expired else 0


class Service:
    """The parts that live as long as the process; made by `open`."""

    def __init__(
        self, settings: Settings, env_file: Path | None, shutdown: Shutdown, ledger: Ledger, lanes: dict[str, Lane]
    ) -> None:
        self._file = SettingsFile(env_file, lanes["files"].call)
        self._reread = asyncio.Event()
        self._pause = asyncio.Event()
        self._detector: Detector | None = None
        self._model: ModelFile | None = None
        self._streams: list[CameraStream] = []
        self._last_good = settings
        self._shutdown = shutdown
        self._settings = settings
        self._lanes = lanes
        self._metrics = metrics.create()
        self._metrics.target_fps.set(settings.metrics.target_fps)
        self._health = Health(settings.service.stall_seconds)
        self._metrics.follow(self._health)
        self._desk = Desk(ledger, lanes["ledger"], self._health, self._metrics)
        self._outlook = Outlook(self._health, ledger, settings.path.output_dir)
        self._outlook.gpus = self._metrics.gpus
        self._watchdog = Watchdog(self._health)
        note = ledger_path(settings.path.output_dir).with_name("opening")
        self._trial = Trial(note, settings.limit.frame_pixels)

    @classmethod
    async def open(
        cls, settings: Settings, env_file: Path | None, shutdown: Shutdown, stack: AsyncExitStack
    ) -> Service:
        """Open the ledger and the lanes; `stack` closes them."""
        lanes = {
            name: await stack.enter_async_context(Lane(name)) for name in ("ledger", "files", "watchdog", "salvage")
        }
        output = settings.path.output_dir
        opening = partial(
            Ledger.open, output, max_attempts=settings.limit.attempts, results=partial(places.results, output)
        )
        ledger = await lanes["ledger"].call(opening)
        stack.push_async_callback(lanes["ledger"].clean_up, ledger.close)
        found = await lanes["files"].call(places.works, output)
        unfinished = await lanes["ledger"].call(partial(ledger.list, states=("waiting", "ready", "running")))
        await lanes["files"].call(places.forget_all_but, unfinished, output, found)
        return cls(settings, env_file, shutdown, ledger, lanes)

    async def run(self) -> None:
        """Serve until a stop was asked for and everything in work is kept."""
        logger.info("service_started", version=__version__, watching=str(self._settings.watch.watch_dir))
        await self._file.remember()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reread.set)
        async with self._attended():
            while not self._shutdown.requested:
                self._pause.clear()
                async with self._opened() as detector:
                    await self._work(detector)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Detector]:
        """Open the detector; a driver that hangs while it opens is noticed too.

        Where changed settings turn out not to do, the last good ones are in force again.
        """
        async with AsyncExitStack() as stack:
            with self._health.working("engine", "open", allowed=OPEN_SECONDS):
                try:
                    detector = await stack.enter_async_context(open_detector(self._settings, self._metrics))
                except ConfigError as error:
                    if self._settings is self._last_good:
                        raise
                    self._refuse(error)
                    self._settings = self._last_good
                    detector = await stack.enter_async_context(open_detector(self._settings, self._metrics))
            self._last_good = self._settings
            self._detector = detector
            self._model = await self._lanes["files"].call(ModelFile.seen, Path(detector.engine.info.model_path))
            yield detector

    async def _work(self, detector: Detector) -> None:
        """Watch and work until the stop, or until the engine has to be opened anew."""
        self._outlook.engine = detector.engine.info
        self._outlook.detector = detector
        with self._health.watch("engine", {"device": detector.executor.busy_since}):
            self._health.warmed_up()
            logger.info("service_ready")
            async with TaskGroup() as group:
                watcher = group.create_task(self._watcher().run(self._desk.offer), name="watcher")
                for worker in self._workers(detector):
                    group.create_task(worker.run(), name="worker")
                self._streams = await self._cameras(detector)
                for stream in self._streams:
                    group.create_task(stream.run(), name="camera")
                await self._pause.wait()
                self._streams = []
                self._desk.ring()
                watcher.cancel()

    async def _end(self) -> None:
        """Pass a stop on to everything that works."""
        await self._shutdown.stop.wait()
        self._health.drain()
        self._pause.set()

    async def _mind_settings(self) -> None:
        """Read the settings again whenever they change, and do what the change asks for."""
        while True:
            await self._file.changed(self._reread)
            try:
                await self._take_over(await self._lanes["files"].call(self._file.read))
            except ConfigError as error:
                self._refuse(error)

    async def _take_over(self, new: Settings) -> None:
        """Put changed settings in force.

        Raises:
            ConfigError: they do not do; the old ones stay.
        """
        wanted = extent(self._settings, new)
        if wanted == "live" and self._detector:
            self._detector.apply(new)
            log.configure(new.log, sys.stdout)
            for running in list(self._outlook.running.values()):
                if running.video:
                    await running.video.apply_settings()
            for stream in self._streams:
                await stream.apply_settings()
        self._settings = new
        self._outlook.refused = ()
        self._metrics.settings_refused.set(0)
        logger.info("settings_read", change=wanted)
        if wanted == "live":
            self._last_good = new
        if wanted == "reopen":
            self._pause.set()
            self._desk.ring()

    def _refuse(self, error: ConfigError) -> None:
        """Say that a change is refused, wherever an operator may look."""
        logger.error("settings_refused", error=str(error))
        self._outlook.refused = (str(error),)
        self._metrics.settings_refused.set(1)

    def _watcher(self) -> Watcher:
        settings = self._settings
        output = settings.path.output_dir
        return Watcher(settings.watch, output, call=self._lanes["files"].call, opens=self._trial)

    def _workers(self, detector: Detector) -> list[Worker]:
        """Return a worker for each stream that may be in work at once."""
        session = Session(self._pause, ProgressReport(), slots=FileSlots(), health=self._health)
        name = owner_name()
        return [
            Worker(f"{name}-{number}", self._desk, detector, session, self._lanes["files"], self._outlook.running)
            for number in range(self._settings.limit.streams)
        ]

    async def _cameras(self, detector: Detector) -> list[CameraStream]:
        """Return what sees each camera through; what is kept of one that is not asked for any more is forgotten."""
        wanted, known = detector.settings.source.sources, self._outlook.cameras
        self._outlook.cameras = {
            camera.name: known.get(camera.name) or await self._new_camera(camera.name) for camera in wanted
        }
        return [
            CameraStream(camera, self._outlook.cameras[camera.name], detector, self._desk, self._health, self._pause)
            for camera in wanted
        ]

    async def _new_camera(self, name: str) -> CameraState:
        """Return what is to be kept of a camera; its ids go on from those of an earlier process."""
        return CameraState(name, await self._lanes["files"].call(LastId.of, self._settings.path.output_dir, name))

    @asynccontextmanager
    async def _attended(self) -> AsyncIterator[None]:
        """Answer questions, look after disk and health, while the block runs."""
        server = self._server()
        async with TaskGroup() as group:
            group.create_task(self._lanes["watchdog"].call(self._watchdog.watch), name="watchdog")
            group.create_task(self._end(), name="end")
            minders = [self._tick(), self._mind_disk(), self._mind_model(), self._mind_settings(), self._mind_gpus()]
            minders.append(self._mind_leftovers())
            tasks = [group.create_task(minder, name="minder") for minder in minders]
            if server:
                group.create_task(server.run(), name="server")
            try:
                yield
            finally:  # whatever ended the block: the group waits for the watchdog's thread
                self._watchdog.stop()
            if server:
                server.stop()
            for task in tasks:
                task.cancel()

    async def _mind_leftovers(self) -> None:
        """Complete what dead processes left of cameras' results, those of other machines too."""
        settings = self._settings
        salvage = Salvage(
            settings.path.output_dir,
            max_attempts=settings.limit.attempts,
            max_pixels=settings.limit.frame_pixels,
            stopped=self._shutdown.stop.is_set,
        )
        while True:
            if self._desk.open:
                with self._health.working("leftovers", "record", allowed=LEFTOVERS_WORK_SECONDS):
                    await self._lanes["salvage"].call(salvage)
            await asyncio.sleep(LEFTOVERS_SECONDS)

    async def _mind_gpus(self) -> None:
        """Keep the metrics of the GPUs fresh, if there are any."""
        if await self._lanes["files"].call(gpus.present):
            await gpus.watch(self._metrics.gpus, gpus.command())

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
            picture=self._picture,
        )
        return OpsServer(build_app(endpoints, settings.token), listen(settings.host, settings.port))

    async def _picture(self) -> Picture | None:
        """Return the last annotated picture."""
        if self._detector is None:
            return None
        found = await self._lanes["ledger"].call(self._detector.snapshot.look)
        return Picture(*found) if found else None

    async def _tick(self) -> None:
        """Let the watchdog see that the loop runs."""
        while True:
            self._health.beat("service", "loop")
            await asyncio.sleep(TICK_SECONDS)

    async def _mind_disk(self) -> None:
        """Take no work while there is little room, or the output cannot be written; go on once that is over."""
        output = self._settings.path.output_dir
        while True:
            free, size, writable = await self._lanes["files"].call(_room, output)
            reserve = self._settings.disk.reserve
            self._metrics.disk_free.labels(volume="output").set(free)
            self._metrics.disk_size.labels(volume="output").set(size)
            self._metrics.disk_reserve.labels(volume="output").set(reserve)
            if free < reserve:
                need = f"{free / 1e9:.1f} GB free, DISK_RESERVE is {reserve / 1e9:.1f} GB"
                self._desk.close("disk", f"{output}: {need}: free some room, the work goes on by itself")
            else:
                self._desk.reopen("disk")
            if writable:
                self._desk.reopen("output")
            await self._desk.count()
            await asyncio.sleep(DISK_SECONDS)

    async def _mind_model(self) -> None:
        """Say whether the model's file was replaced since it was opened: the service goes on with what it has."""
        while True:
            if model := self._model:
                outdated = await self._lanes["files"].call(model.is_outdated)
                self._metrics.model_outdated.set(outdated)
                if outdated:
                    self._health.degrade("model", f"{model.path}: is not the model in use any more: restart to take it")
                else:
                    self._health.mend("model")
            await asyncio.sleep(MODEL_SECONDS)


def _room(output: Path) -> tuple[int, int, bool]:
    """Return the free and all bytes of a folder's volume, and whether it can be written; blocking."""
    usage = shutil.disk_usage(output)
    return usage.free, usage.total, places.is_writable(output)
