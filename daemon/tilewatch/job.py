"""One video on its way through the five stages, from the open file to the result that appears."""

from __future__ import annotations

from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from tilewatch.detector import Camera
from tilewatch.flow.backports import BaseExceptionGroup
from tilewatch.flow.heap import give_back
from tilewatch.flow.lane import Lane
from tilewatch.flow.pipeline import Pipeline, Step
from tilewatch.flow.supervisor import verdict
from tilewatch.perception import Perception
from tilewatch.report import VideoReport
from tilewatch.sinks.video import VideoSink
from tilewatch.stages.decode import decode
from tilewatch.stages.encode import encode
from tilewatch.telemetry import log, metrics
from tilewatch.telemetry.progress import Outcome
from tilewatch.telemetry.streams import FileSlots
from tilewatch.video.source import VideoSource
from tilewatch.workspace import DurableSink, Replay, Segmentation, Workspace, identity

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from tilewatch.detector import Detector
    from tilewatch.records import Frame, RawHeads, StreamInfo, Tracks
    from tilewatch.sinks.base import Sink
    from tilewatch.sinks.result import ResultFolder
    from tilewatch.stages.track import Tracker
    from tilewatch.telemetry.health import Health
    from tilewatch.telemetry.streams import Queue, StreamMetrics

logger = log.logger("job")


@dataclass(frozen=True, slots=True)
class Session:
    """What the videos of one call have in common, beside the detector."""

    stop: asyncio.Event
    """Set: sources end, and what is in work is completed or kept."""
    progress: Progress
    slots: FileSlots = field(default_factory=FileSlots)
    camera: Camera = field(default_factory=Camera)
    max_frames: int | None = None
    health: Health | None = None


class Progress(Protocol):
    """Whoever wants to know how far each video is."""

    def begin(self, name: str, total: int | None) -> Bar:
        """Take note that a video of about `total` frames starts."""


class Bar(Protocol):
    """One video's progress."""

    def flow(self, label: str, channels: Sequence[Queue]) -> None:
        """Take note of the stream's label in the metrics, and of the channels between its stages."""

    def advance(self, frames: int = 1) -> None:
        """Take note that so many more frames are written."""

    def end(self) -> None:
        """Take note that no more will come."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What one video needs beside its lanes."""

    sinks: Sequence[Sink]
    tracker: Tracker
    work: Work | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """What keeps the work on a video over a crash."""

    workspace: Workspace
    durable: DurableSink
    segmentation: Segmentation
    """For the track stage."""
    gating: Segmentation
    """For the tile stage, whose gate starts afresh with every segment: a later process may begin there."""
    replay: Replay | None


class VideoJob:
    """One video on its way through the five stages.

    Args:
        detector: open and warm.
        session: what it shares with other videos.
        path: the video.
        folder: where the result appears.
        work: folder in which what is done survives a crash; None: nothing is kept.
    """

    def __init__(
        self, detector: Detector, session: Session, path: Path, folder: ResultFolder, work: Path | None = None
    ) -> None:
        self.path = path
        self.report: VideoReport | None = None
        """Of what was done; None before the video is open."""
        self._session = session
        self._detector = detector
        self._source = VideoSource(path, max_pixels=detector.settings.limit.frame_pixels, decoders=detector.decoders)
        self._folder = folder
        self._work = work
        self._live: Callable[[], Awaitable[None]] | None = None

    async def apply_settings(self) -> None:
        """Take over what has changed in the detector's settings from the next frame on, if there is one."""
        if self._live:
            await self._live()

    async def run(self) -> Outcome:
        """Process the video and let its result appear; work that was broken off goes on.

        A stop leaves a result of the frames that were processed, marked as interrupted; or, where work is kept, no
        result but a checkpoint.

        Raises:
            StreamError: this video cannot be processed, or its result not be written.
            ProcessError: the engine failed.
        """
        async with AsyncExitStack() as stack:
            lanes = {name: await stack.enter_async_context(Lane(name)) for name in metrics.STAGES if name != "infer"}
            await lanes["decode"].call(give_back)  # PyAV ties codecs into cycles: the last video's threads and pictures
            info = await lanes["decode"].call(self._source.open)
            stack.push_async_callback(lanes["decode"].clean_up, self._source.close)
            meter = self._detector.metrics.stream(stack.enter_context(self._session.slots.take()))
            self.report = report = await lanes["decode"].call(self._make_report, info, meter)
            parts = await lanes["encode"].call(self._make_parts, info, report)
            stack.push_async_callback(lanes["encode"].clean_up, _abort, parts.sinks)
            bar = self._session.progress.begin(info.path.name, self._expected(info))
            stack.callback(bar.end)
            if parts.work and parts.work.replay:
                await self._catch_up(parts.work.replay, lanes["decode"], report, bar)
            self._live = partial(self._apply, lanes, parts, report)
            await self._flow(meter, self._steps(lanes, parts, report, bar), lanes, report, bar)
            self._live = None
            whole = await lanes["decode"].call(self._is_whole)
            return await lanes["encode"].call(self._finish, report, parts, whole)

    def _make_report(self, info: StreamInfo, meter: StreamMetrics) -> VideoReport:
        detector = self._detector
        return VideoReport(info, self._source, detector.settings, detector.engine.info, meter)

    def _make_parts(self, info: StreamInfo, report: VideoReport) -> Parts:
        """Return the sinks and the tracker, brought to where an earlier process got; blocking."""
        detector, tracker = self._detector, self._detector.tracker(info, self._session.camera)
        if self._work is None:
            video = detector.video(info, self._folder)
            return Parts([*video, *detector.rows(info, self._folder), report], tracker)
        workspace = Workspace(self._work, identity(report.fingerprint, detector.settings, detector.engine.info))
        durable = workspace.sink(detector.segmented(info, self._folder, workspace.folder), report.skips)
        others = [*detector.rows(info, self._folder), report]
        replay = None
        if point := workspace.checkpoint:
            tracker.restore(point.state)
            report.resume(point.skips)
            replay = Replay(self._source, point, workspace.folder, durable, others)
        tracking, gating = (Segmentation(info, detector.settings.checkpoint.seconds) for _ in range(2))
        return Parts([durable, *others], tracker, Work(workspace, durable, tracking, gating, replay))

    async def _catch_up(self, replay: Replay, lane: Lane, report: VideoReport, bar: Bar) -> None:
        """Take in what an earlier process did."""
        skipped = report.skipped("decode")
        while not self._session.stop.is_set() and (frames := await lane.call(replay.step, skipped)):
            bar.advance(frames)
        logger.info("work_resumed", input=str(self.path), frames=report.frames)

    async def _flow(
        self, meter: StreamMetrics, steps: list[Step], lanes: dict[str, Lane], report: VideoReport, bar: Bar
    ) -> None:
        """Run the pipeline to its end."""
        report.watch(steps, lanes)
        pipeline = Pipeline(self.path.stem, steps, meter)
        bar.flow(meter.label, pipeline.channels)
        health = self._session.health
        try:
            with health.watch(meter.label, pipeline.busy_since()) if health else nullcontext():
                await pipeline.run()
        except BaseExceptionGroup as group:
            raise verdict(group) from group

    def _steps(self, lanes: dict[str, Lane], parts: Parts, report: VideoReport, bar: Bar) -> list[Step]:
        """Return the five stages of DESIGN's way of a frame, each with its lane."""
        queue, skipped = self._detector.settings.queue, report.skipped
        begins = parts.work.gating.begins if parts.work else None
        perception = Perception(self._detector, lanes, _tracking(parts), begins=begins)

        def source(_: AsyncIterator[Any]) -> AsyncGenerator[Frame, None]:
            call, stop = lanes["decode"].call, self._session.stop
            limit = self._session.max_frames
            return decode(self._source, call, max_frames=limit, stop=stop, on_damaged=skipped("decode"))

        async def written(inbox: AsyncIterator[Tracks]) -> AsyncGenerator[int, None]:
            async for index in encode(inbox, lanes["encode"].call, parts.sinks):
                if not index:
                    logger.info("first_frame_written", input=str(self.path))
                bar.advance()
                yield index

        return [
            Step(name="decode", stage=source, capacity=queue.decoded),
            *perception.steps(skipped),
            Step(name="encode", stage=written),
        ]

    async def _apply(self, lanes: dict[str, Lane], parts: Parts, report: VideoReport) -> None:
        settings = self._detector.settings
        await lanes["track"].call(parts.tracker.apply, self._detector.reader(), settings)
        report.apply(settings)
        if parts.work:
            mark = identity(report.fingerprint, settings, self._detector.engine.info)
            await lanes["encode"].call(parts.work.durable.apply, mark, settings.draw)

    def _is_whole(self) -> bool:
        """Tell whether nothing is left to do: a stop may come with the very last frame. Blocking."""
        limit_reached = self._source.decoded == self._session.max_frames
        return not self._session.stop.is_set() or limit_reached or self._source.at_end()

    def _finish(self, report: VideoReport, parts: Parts, whole: bool) -> Outcome:  # noqa: FBT001 goes through a lane
        """Let the result appear, or keep the work that a stop left unfinished; blocking."""
        if parts.work and not whole:
            return self._suspend(report, parts, parts.work)
        videos = [sink for sink in parts.sinks if isinstance(sink, (VideoSink, DurableSink))]
        for video in videos:
            video.close()
        give_back()  # what the encoder took is more than the overview needs to be drawn
        for sink in parts.sinks:
            sink.close()
        warnings = [text for sink in videos for text in sink.warnings]
        encoder = next((sink.codec for sink in videos), None)
        self._detector.encoder_taken(encoder)
        outcome = report.complete(self._folder, interrupted=not whole, warnings=warnings, encoder=encoder)
        self._session.camera.tracker = parts.tracker.state()
        if parts.work:
            parts.work.workspace.remove()
        return outcome

    def _suspend(self, report: VideoReport, parts: Parts, work: Work) -> Outcome:
        """Keep everything up to the last frame that was written; with a gate, up to the last checkpoint.

        A gate cannot be taken up in the middle of a segment: it would decide otherwise than one that was not disturbed.
        """
        if self._detector.settings.tile.gate == "off":
            work.durable.suspend(parts.tracker.state())
        return Outcome(input=str(self.path), status="suspended", frames=report.frames)

    def _expected(self, info: StreamInfo) -> int | None:
        """Return how many frames will be written, as far as the container tells."""
        known = [count for count in (info.frame_count, self._session.max_frames) if count]
        return min(known) if info.frame_count else None


def _tracking(parts: Parts) -> Callable[[RawHeads], Tracks]:
    """Return the track stage's function; where work is kept, a segment's first frame carries the state before it."""
    if parts.work is None:
        return parts.tracker
    begins, tracker = parts.work.segmentation.begins, parts.tracker

    def track(heads: RawHeads) -> Tracks:
        before = tracker.state() if begins(heads.frame) else None
        return replace(tracker(heads), before=before)

    return track


def _abort(sinks: Sequence[Sink]) -> None:
    for sink in sinks:
        sink.abort()
