"""The composition root: the only file that picks concrete classes and wires them together."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from tilewatch import __version__
from tilewatch.engines import names as class_names
from tilewatch.engines import select, zoo
from tilewatch.engines.executor import Executor
from tilewatch.engines.options import EngineOptions
from tilewatch.errors import StreamError
from tilewatch.flow.backports import BaseExceptionGroup, TaskGroup
from tilewatch.flow.echo import Echo
from tilewatch.flow.lane import Lane
from tilewatch.flow.pipeline import Pipeline, Step, each
from tilewatch.flow.shutdown import Shutdown
from tilewatch.flow.supervisor import verdict
from tilewatch.motion.gate import LAG_FRAMES, MotionGate
from tilewatch.report import VideoReport
from tilewatch.sinks.annotate import Annotator
from tilewatch.sinks.base import SinkContext
from tilewatch.sinks.coco import CocoSink
from tilewatch.sinks.csvfile import CsvSink
from tilewatch.sinks.destinations import destinations, discard
from tilewatch.sinks.jsonl import JsonlSink
from tilewatch.sinks.mot import MotSink
from tilewatch.sinks.overview import OverviewSink
from tilewatch.sinks.parquet import ParquetSink
from tilewatch.sinks.video import VideoSink
from tilewatch.stages.decode import decode
from tilewatch.stages.encode import encode
from tilewatch.stages.infer import infer
from tilewatch.stages.tile import TileStage
from tilewatch.stages.track import Tracker
from tilewatch.telemetry import log, metrics
from tilewatch.telemetry.progress import Outcome, ProgressReport
from tilewatch.video.source import VideoSource

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence

    from tilewatch.engines.host import HostEngine
    from tilewatch.flow.channel import Channel
    from tilewatch.records import Frame, RawHeads, StreamInfo, TileBatch, Tracks
    from tilewatch.settings import Format, Settings
    from tilewatch.sinks.base import Sink
    from tilewatch.sinks.result import ResultFolder
    from tilewatch.telemetry.metrics import Metrics

MODEL_FOLDER = Path("/models")
EXIT_STOPPED = 75

logger = log.logger("app")


@dataclass(frozen=True, slots=True)
class Session:
    """What the videos of one call have in common, beside the detector."""

    shutdown: Shutdown
    progress: ProgressReport
    max_frames: int | None
    profile: bool


def run(
    inputs: Sequence[Path], output: Path, settings: Settings, *, max_frames: int | None = None, profile: bool = False
) -> int:
    """Process videos one after the other and return the exit code: the first failure's, 75 when stopped, else 0.

    Raises:
        ProcessError: nothing could be processed: the settings, the model or the output do not do.
    """
    log.configure(settings.log)
    folders = destinations(inputs, output)
    try:
        return uvloop.run(_run(folders, settings, max_frames=max_frames, profile=profile))
    finally:
        discard(folders)


async def _run(folders: dict[Path, ResultFolder], settings: Settings, *, max_frames: int | None, profile: bool) -> int:
    """Process all videos and return the exit code."""
    session = Session(Shutdown(settings.service.drain_seconds), ProgressReport(), max_frames, profile)
    outcomes = await _process_all(folders, settings, session)
    if session.shutdown.requested:
        left = len(folders) - len(outcomes)
        logger.warning("run_stopped", drained=not session.shutdown.expired, videos_left=left)
        return EXIT_STOPPED
    return next((outcome.exit_code for outcome in outcomes if outcome.exit_code), 0)


async def _process_all(folders: dict[Path, ResultFolder], settings: Settings, session: Session) -> list[Outcome]:
    """Return how each video ended, until a stop is asked for."""
    outcomes: list[Outcome] = []
    with session.progress:
        try:
            async with session.shutdown.guard(), open_detector(settings, metrics.create()) as detector:
                for path, folder in folders.items():
                    if not session.shutdown.requested:
                        outcomes.append(await _process(VideoJob(detector, session, path, folder)))
        except BaseExceptionGroup as group:
            raise verdict(group) from group
    return outcomes


async def _process(job: VideoJob) -> Outcome:
    """Process one video; a failure that is only its own becomes its outcome."""
    try:
        outcome = await job.run()
    except StreamError as error:
        outcome = _failure(job, error)
    job.session.progress.finish(outcome)
    if job.session.profile and job.report:
        job.session.progress.stages(job.report.stage_rows(), outcome.seconds, job.report.tiles)
    return outcome


def _failure(job: VideoJob, error: StreamError) -> Outcome:
    """Return the outcome of a video that gave no result; one stopped before its first frame has not failed."""
    if job.session.shutdown.requested and not (job.report and job.report.frames):
        return Outcome(input=str(job.path), status="interrupted")
    logger.error("video_failed", input=str(job.path), reason=error.reason, error=str(error))
    return Outcome(input=str(job.path), status="failed", exit_code=error.exit_code, error=str(error))


class Detector:
    """The engine and everything that all videos share."""

    def __init__(self, settings: Settings, counters: Metrics, engine: HostEngine, executor: Executor) -> None:
        self.settings = settings
        self.metrics = counters
        self.engine = engine
        self.executor = executor
        self.wanted = class_names.wanted(settings.detect.classes, engine.info.names, engine.head.classes)

    def cutter(self) -> TileStage:
        """Return a fresh tile stage, with its gate where one is asked for."""
        tile = self.settings.tile
        return TileStage(self.engine, tile, MotionGate(tile) if tile.gate == "motion" else None)

    def tracker(self) -> Tracker:
        """Return a fresh tracker: ids start from 1 for every video."""
        read = partial(self.engine.head.decode, threshold=self.settings.score_floor, wanted=self.wanted)
        return Tracker(read, self.settings)

    def sinks(self, info: StreamInfo, folder: ResultFolder) -> list[Sink]:
        """Return the sinks of the formats that were asked for; blocking."""
        settings = self.settings
        context = SinkContext(info=info, names=self.engine.info.names, tracking=settings.tracking.enable_tracking)
        makers: dict[Format, Callable[[Path], Sink]] = {
            "video": lambda path: VideoSink(path, context, Annotator(context, settings.draw), settings.video),
            "jsonl": lambda path: JsonlSink(path, context),
            "mot": lambda path: MotSink(path, context),
            "csv": lambda path: CsvSink(path, context),
            "coco": lambda path: CocoSink(path, context),
            "parquet": lambda path: ParquetSink(path, context),
            "overview": lambda path: OverviewSink(path, context, model_name=Path(self.engine.info.model_path).name),
        }
        return [makers[name](folder.path(name)) for name in settings.output.formats]


@asynccontextmanager
async def open_detector(settings: Settings, counters: Metrics) -> AsyncIterator[Detector]:
    """Open and warm up the engine, and serve it while the block runs.

    Raises:
        ConfigError: the model or a setting cannot be used.
        EngineError: the engine failed.
    """
    counters.build_info.labels(version=__version__).set(1)
    async with Lane("device") as lane:
        engine = await lane.call(_open_engine, settings)
        executor = Executor(
            engine,
            lane.call,
            batch_wait_ms=settings.batch.wait_ms,
            on_batch=lambda tiles, _: counters.batch_items.observe(tiles),
        )
        try:
            async with TaskGroup() as group:
                group.create_task(executor.run(), name="executor")
                yield Detector(settings, counters, engine, executor)
                executor.stop()
        finally:
            await lane.call(engine.close)


class VideoJob:
    """One video on its way through the five stages."""

    def __init__(
        self,
        detector: Detector,
        session: Session,
        path: Path,
        folder: ResultFolder,
        *,
        restart: Callable[[Frame], bool] = lambda _: False,
    ) -> None:
        """`restart` tells the frames at which the gate starts afresh: those a later run may begin with."""
        self.path = path
        self._restart = restart
        self.session = session
        self.report: VideoReport | None = None
        self._detector = detector
        self._source = VideoSource(path, max_pixels=detector.settings.limit.frame_pixels)
        self._folder = folder

    async def run(self) -> Outcome:
        """Process the video and let its result appear.

        Raises:
            StreamError: this video cannot be processed, or its result not be written.
            ProcessError: the engine failed.
        """
        async with AsyncExitStack() as stack:
            lanes = {name: await stack.enter_async_context(Lane(name)) for name in metrics.STAGES if name != "infer"}
            info = await lanes["decode"].call(self._source.open)
            stack.push_async_callback(lanes["decode"].clean_up, self._source.close)
            sinks = await lanes["encode"].call(self._detector.sinks, info, self._folder)
            stack.push_async_callback(lanes["encode"].clean_up, _abort, sinks)
            report = await lanes["decode"].call(self._make_report, info)
            self.report = report
            await self._flow(info, lanes, [*sinks, report])
            stopped = self.session.shutdown.requested
            warnings = [text for sink in sinks if isinstance(sink, VideoSink) for text in sink.warnings]
            return await lanes["encode"].call(report.complete, self._folder, interrupted=stopped, warnings=warnings)

    def _make_report(self, info: StreamInfo) -> VideoReport:
        detector = self._detector
        return VideoReport(info, self._source, detector.settings, detector.engine.info, detector.metrics)

    async def _flow(self, info: StreamInfo, lanes: dict[str, Lane], sinks: Sequence[Sink]) -> None:
        """Run the pipeline to its end."""
        steps = self._steps(lanes, sinks)
        assert self.report is not None  # noqa: S101 set by `run`, the only caller
        self.report.watch(steps, lanes)
        self.session.progress.begin(info.path.name, self._expected(info))
        up = self._detector.metrics.stream_up.labels(stream=info.stream)
        up.set(1)
        try:
            await Pipeline(info.stream, steps, self._detector.metrics).run()
        except BaseExceptionGroup as group:
            raise verdict(group) from group
        finally:
            up.set(0)

    def _steps(self, lanes: dict[str, Lane], sinks: Sequence[Sink]) -> list[Step]:
        """Return the five stages of DESIGN's way of a frame, each with its lane."""
        assert self.report is not None  # noqa: S101 set by `run`, the only caller
        queue, skipped = self._detector.settings.queue, self.report.skipped
        tile, track = self._tile_and_track(lanes)

        def source(_: AsyncIterator[Any]) -> AsyncGenerator[Frame, None]:
            call, stop = lanes["decode"].call, self.session.shutdown.stop
            return decode(
                self._source, call, max_frames=self.session.max_frames, stop=stop, on_damaged=skipped("decode")
            )

        def inference(inbox: Channel[TileBatch]) -> AsyncGenerator[RawHeads, None]:
            return infer(inbox, self._detector.executor)

        async def written(inbox: AsyncIterator[Tracks]) -> AsyncGenerator[int, None]:
            async for index in encode(inbox, lanes["encode"].call, sinks):
                if not index:
                    logger.info("first_frame_written", input=str(self.path))
                self.session.progress.advance()
                yield index

        return [
            Step(name="decode", stage=source, capacity=queue.decoded),
            Step(name="tile", stage=each(tile, on_skip=skipped("tile")), capacity=queue.tiled),
            Step(name="infer", stage=inference, capacity=queue.inferred),
            Step(name="track", stage=each(track, on_skip=skipped("track")), capacity=queue.tracked),
            Step(name="encode", stage=written),
        ]

    def _tile_and_track(
        self, lanes: dict[str, Lane]
    ) -> tuple[Callable[[Frame], Awaitable[TileBatch]], Callable[[RawHeads], Awaitable[Tracks]]]:
        """Return the functions of the tile and the track stage; with a gate the tracks go back to the tiles."""
        cutter, tracker = self._detector.cutter(), self._detector.tracker()
        echo: Echo[Tracks | None] = Echo(LAG_FRAMES)

        async def tile(frame: Frame) -> TileBatch:
            return await lanes["tile"].call(cutter, frame)

        async def track(heads: RawHeads) -> Tracks:
            return await lanes["track"].call(tracker, heads)

        async def gated_tile(frame: Frame) -> TileBatch:
            if afresh := self._restart(frame):
                echo.forget()
            tracks = await echo.heard()
            batch = await lanes["tile"].call(cutter, frame, tracks, afresh=afresh)
            echo.sent()
            return batch

        async def echoing_track(heads: RawHeads) -> Tracks:
            tracks = None
            try:
                tracks = await track(heads)
            finally:  # a frame that is skipped has its answer too, else the gate would wait for it
                echo.answer(tracks)
            return tracks

        return (gated_tile, echoing_track) if cutter.gate else (tile, track)

    def _expected(self, info: StreamInfo) -> int | None:
        """Return how many frames will be written, as far as the container tells."""
        known = [count for count in (info.frame_count, self.session.max_frames) if count]
        return min(known) if info.frame_count else None


def _open_engine(settings: Settings) -> HostEngine:
    """Return the engine the settings ask for, open and warm; blocking."""
    labels = settings.model.labels_path
    options = EngineOptions(
        model=_model_path(settings),
        size=settings.tile.size,
        precision=settings.model.precision,
        threads=settings.model.engine_threads,
        batch=settings.batch.size,
        head=settings.model.head,
        names=class_names.from_file(labels) if labels else None,
    )
    engine = select.choose(settings.model.backend)(options)
    engine.open()
    engine.warm_up()
    info = engine.info
    logger.info(
        "engine_opened",
        backend=info.backend,
        device=info.device,
        precision=info.precision,
        model=info.model_path,
        head=info.head,
    )
    return engine


def _model_path(settings: Settings) -> Path:
    """Return the model to use: the one named, else the one mounted, else the default one."""
    if settings.model.model_path:
        return settings.model.model_path
    mounted = [MODEL_FOLDER / "model.engine", MODEL_FOLDER / "model.onnx"]
    return next((path for path in mounted if path.is_file()), None) or zoo.default_model(settings.tile.size)


def _abort(sinks: Sequence[Sink]) -> None:
    for sink in sinks:
        sink.abort()
