"""Sees a camera through for as long as the service runs: connects, works, records, and connects again."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tilewatch.errors import DiskFullError, SinkError, StreamError
from tilewatch.flow.backoff import Backoff
from tilewatch.flow.backports import BaseExceptionGroup, TaskGroup, timeout
from tilewatch.flow.lane import Lane
from tilewatch.flow.pipeline import Pipeline, Step
from tilewatch.flow.supervisor import verdict
from tilewatch.perception import Perception
from tilewatch.service import places
from tilewatch.service.recorder import Recorder
from tilewatch.stages.decode import decode
from tilewatch.stages.encode import encode
from tilewatch.telemetry import log, metrics
from tilewatch.telemetry.rate import Rate
from tilewatch.video.live import LiveSource, Timeline

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, AsyncIterator

    from tilewatch.detector import Detector
    from tilewatch.flow.channel import Channel
    from tilewatch.records import Frame, StreamInfo, Tracks
    from tilewatch.service.desk import Desk
    from tilewatch.service.lastid import LastId
    from tilewatch.settings import Camera
    from tilewatch.stages.track import Tracker
    from tilewatch.telemetry.health import Health

logger = log.logger("camera")


@dataclass(slots=True, eq=False)
class CameraState:
    """What is kept of a camera over all connections and engines, and what the status shows of it."""

    name: str
    ids: LastId
    timeline: Timeline = field(default_factory=Timeline)
    tracker: bytes | None = None
    """State of the track stage when an engine was closed: ids go on with the next one."""
    frames: int = 0
    """Frames written by this process."""
    restarts: int = 0
    """Connections that were lost or could not be made."""
    channels: tuple[Channel[Any], ...] = ()
    """Between its stages; empty while it is not connected."""
    rate: Rate = field(default_factory=Rate)
    _dropped: int = 0

    @property
    def up(self) -> bool:
        """Whether it is connected."""
        return bool(self.channels)

    @property
    def dropped(self) -> int:
        """Frames that nobody took in time."""
        return self._dropped + sum(channel.statistics.dropped for channel in self.channels)

    def disconnected(self) -> None:
        """Take note that the connection has ended."""
        self._dropped, self.channels = self.dropped, ()


@dataclass(frozen=True, slots=True)
class Halt:
    """Tells a connection to end: the service stops, or nothing may be written."""

    stop: asyncio.Event
    desk: Desk

    def is_set(self) -> bool:
        """Tell whether to end."""
        return self.stop.is_set() or not self.desk.open


class CameraStream:
    """One camera at one engine.

    Args:
        camera: name and address.
        state: what is kept of it.
        detector: open and warm.
        desk: while it takes no work, nothing is recorded either.
        health: is told of what works and what is lost.
        stop: set: the open result is completed, and `run` returns.
    """

    def __init__(  # noqa: PLR0913, PLR0917 the parts of the service that it works with
        self,
        camera: Camera,
        state: CameraState,
        detector: Detector,
        desk: Desk,
        health: Health,
        stop: asyncio.Event,
    ) -> None:
        settings = detector.settings
        self._camera = camera
        self._state = state
        self._detector = detector
        self._desk = desk
        self._health = health
        self._stop = stop
        self._meter = detector.metrics.stream(camera.name)
        self._backoff = Backoff(settings.stream.backoff_seconds, settings.stream.backoff_cap_seconds)
        now = state.timeline.clock.now()
        self._tracker: Tracker = detector.camera_tracker(state.tracker, now, last_id=state.ids.value)
        self._recorder = Recorder(camera.name, detector, self._meter, state.timeline.decoded, state.ids)
        self._lanes = {name: Lane(name) for name in metrics.STAGES if name != "infer"}
        self._said = ""

    async def apply_settings(self) -> None:
        """Take over what has changed in the detector's settings, from the next frame on."""
        if self._stop.is_set():
            return  # the next one at the next engine begins with them
        settings = self._detector.settings
        await self._lanes["track"].call(self._tracker.apply, self._detector.reader(), settings)
        await self._lanes["encode"].call(self._recorder.apply, settings.draw)

    async def run(self) -> None:
        """Work until the stop; ids go on over everything that happens meanwhile.

        Raises:
            ProcessError: the engine failed.
        """
        self._meter.down()
        async with AsyncExitStack() as stack:
            for lane in self._lanes.values():
                await stack.enter_async_context(lane)
            stack.push_async_callback(self._lanes["encode"].clean_up, self._recorder.abort)
            async with TaskGroup() as group:
                group.create_task(self._complete_at_stop(), name=f"{self._camera.name}:stop")
                while not self._stop.is_set():
                    await self._go_on()
            await self._complete()
            self._state.tracker = self._tracker.state()
            self._health.mend(self._trouble)
            state = self._state
            facts = {"frames_in": state.timeline.decoded, "written": state.frames, "dropped": state.dropped}
            logger.info("stream_closed", stream=state.name, **facts, restarts=state.restarts)

    async def _complete_at_stop(self) -> None:
        """Let the open result appear while a camera that is gone is still being waited for: a drain has a deadline."""
        await self._stop.wait()
        if not self._state.up:
            await self._complete()

    @property
    def _trouble(self) -> str:
        return f"camera {self._camera.name}"

    async def _go_on(self) -> None:
        """Take the next step: wait until something may be written, or be connected for as long as that lasts."""
        if not self._desk.open:
            await self._complete()
            await self._rest()
            return
        try:
            with self._health.working(self._camera.name, "record"):
                now = self._state.timeline.clock.now()
                await self._lanes["encode"].call(self._recorder.complete_if_due, now)
            await self._connection()
        except SinkError as error:
            await self._give_up(error)
        except StreamError as error:
            await self._try_again(error)

    async def _rest(self) -> None:
        """Wait until something may be written; what came meanwhile has rung the bell already."""
        if not self._desk.open and not self._stop.is_set():
            await self._desk.rest()

    async def _complete(self) -> None:
        """Let the open result appear, as far as the output volume allows."""
        try:
            with self._health.working(self._camera.name, "record"):
                await self._lanes["encode"].call(self._recorder.close)
        except SinkError as error:
            await self._give_up(error)

    async def _connection(self) -> None:
        """Connect, and work until the connection is lost or a stop is asked for.

        Raises:
            StreamError: why it was lost, or could not be made; everything that was received is recorded.
            SinkError: it could not be recorded.
        """
        settings, decoder = self._detector.settings, self._lanes["decode"]
        source = LiveSource(
            self._camera,
            self._state.timeline,
            max_pixels=settings.limit.frame_pixels,
            timeout_seconds=settings.stream.timeout_seconds,
            decoders=self._detector.decoders,
        )
        try:
            with self._health.working(self._camera.name, "connect"):
                info = await decoder.call(source.open)
            await self._flow(source, info)
        finally:
            with self._health.working(self._camera.name, "disconnect"):
                await decoder.clean_up(source.close)
        if source.lost and not self._stop.is_set():
            raise source.lost

    async def _flow(self, source: LiveSource, info: StreamInfo) -> None:
        """Run the pipeline of one connection to its end."""
        self._recorder.connected(info)
        pipeline = Pipeline(self._camera.name, self._steps(source), self._meter)
        logger.info("stream_connected", stream=info.stream, codec=info.codec, width=info.width, height=info.height)
        self._health.mend(self._trouble)
        self._said, self._state.channels = "", pipeline.channels
        begun = time.monotonic()
        try:
            with self._health.watch(self._camera.name, pipeline.busy_since()):
                await pipeline.run()
        except BaseExceptionGroup as group:
            raise verdict(group) from group
        finally:
            self._state.disconnected()
            if time.monotonic() - begun >= self._detector.settings.stream.healthy_seconds:
                self._backoff.reset()

    def _steps(self, source: LiveSource) -> list[Step]:
        """Return the five stages; what nobody takes in time is dropped behind the first."""
        skipped, lanes = self._recorder.skipped, self._lanes
        perception = Perception(self._detector, lanes, self._tracker, urgent=True)
        halt = Halt(self._stop, self._desk)

        def frames(_: AsyncIterator[Any]) -> AsyncGenerator[Frame, None]:
            return decode(source, lanes["decode"].call, max_frames=None, stop=halt, on_damaged=skipped("decode"))

        async def written(inbox: AsyncIterator[Tracks]) -> AsyncGenerator[int, None]:
            async for index in encode(inbox, lanes["encode"].call, [self._recorder]):
                self._state.frames += 1
                self._state.rate.count()
                yield index

        capacity = self._detector.settings.queue.decoded
        return [
            Step(name="decode", stage=frames, capacity=capacity, drop_oldest=True),
            *perception.steps(skipped),
            Step(name="encode", stage=written),
        ]

    async def _give_up(self, error: SinkError) -> None:
        """Drop the open result; where the fault is the output volume's, wait until that is over."""
        await self._lanes["encode"].clean_up(self._recorder.abort, str(error))
        output = self._detector.settings.path.output_dir
        if isinstance(error, DiskFullError):
            self._desk.close("disk", str(error))
        elif not await self._lanes["encode"].call(places.is_writable, output):
            self._desk.close("output", str(error))
        await self._try_again(error)

    async def _try_again(self, error: StreamError) -> None:
        """Say what has happened, and wait before the next try."""
        pause = self._backoff.next()
        self._state.restarts += 1
        self._meter.restarted(error.reason)
        self._health.degrade(self._trouble, str(error))
        tell = logger.debug if str(error) == self._said else logger.warning  # a camera may be gone for months
        facts = {"reason": error.reason, "error": str(error), "retry_seconds": round(pause, 1)}
        tell("stream_lost", stream=self._camera.name, **facts)
        self._said = str(error)
        with suppress(TimeoutError):
            async with timeout(pause):
                await self._stop.wait()
