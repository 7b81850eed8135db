"""The engine and all that the videos of one process share: opened once, warm before the first frame."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tilewatch import __version__
from tilewatch.engines import names as class_names
from tilewatch.engines import select, zoo
from tilewatch.engines.executor import Executor
from tilewatch.engines.host import HostEngine
from tilewatch.engines.options import EngineOptions, mounted_model
from tilewatch.engines.picker import Picker
from tilewatch.flow.backports import TaskGroup
from tilewatch.flow.heap import give_back
from tilewatch.flow.lane import Lane
from tilewatch.motion.gate import MotionGate
from tilewatch.sinks.annotate import Annotator
from tilewatch.sinks.base import SinkContext
from tilewatch.sinks.coco import CocoSink
from tilewatch.sinks.csvfile import CsvSink
from tilewatch.sinks.jsonl import JsonlSink
from tilewatch.sinks.mot import MotSink
from tilewatch.sinks.overview import OverviewSink
from tilewatch.sinks.parquet import ParquetSink
from tilewatch.sinks.segments import SegmentedVideoSink
from tilewatch.sinks.snapshot import Snapshot
from tilewatch.sinks.video import VideoSink
from tilewatch.stages.tile import TileStage
from tilewatch.stages.track import Tracker
from tilewatch.telemetry import log
from tilewatch.video.decoders import Decoders
from tilewatch.video.probe import pick_encoder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

    from tilewatch.engines.model_engine import ModelEngine
    from tilewatch.records import StreamInfo
    from tilewatch.settings import Format, Settings
    from tilewatch.sinks.base import Sink
    from tilewatch.sinks.result import ResultFolder
    from tilewatch.stages.track import Decoder
    from tilewatch.telemetry.metrics import Metrics

logger = log.logger("detector")


@dataclass(slots=True)
class Camera:
    """What one camera's segments hand on, one to the next."""

    tracker: bytes | None = None
    """State of the track stage after the last segment that was completed."""


class Detector:
    """The engine and everything that all videos share."""

    def __init__(self, settings: Settings, counters: Metrics, engine: ModelEngine, lane: Lane) -> None:
        self.settings = settings
        self.metrics = counters
        self.engine = engine
        self._picker = Picker(engine.head, settings.score_floor) if isinstance(engine, HostEngine) else None
        self.executor = Executor(
            engine,
            lane.call,
            batch_wait_ms=settings.batch.wait_ms,
            pick=self._picker or tuple,
            on_batch=counters.batch_done,
        )
        self.decoders = Decoders(settings.decode.decoder, told=counters.decoder_taken, failed=counters.decoder_failed)
        self.encoder: str | None = None
        """What encodes annotated videos, in FFmpeg's words; None where none are made."""
        self.snapshot = Snapshot()
        """The last annotated picture of the videos whose work is kept."""
        self.wanted = class_names.wanted(settings.detect.classes, engine.info.names, engine.head.classes)

    def reader(self) -> Decoder:
        """Return what reads the candidates that count out of the heads."""
        head = self._picker.head if self._picker else self.engine.head
        return partial(head.decode, threshold=self.settings.score_floor, wanted=self.wanted)

    def encoder_taken(self, name: str | None) -> None:
        """Take note of what encodes."""
        self.encoder = name
        if name:
            self.metrics.encoder_taken(name)

    def apply(self, settings: Settings) -> None:
        """Take over settings that do not touch the engine; videos in work have to be told.

        Raises:
            ConfigError: a class that the model does not know.
        """
        self.wanted = class_names.wanted(settings.detect.classes, self.engine.info.names, self.engine.head.classes)
        self.engine.set_floor(settings.score_floor)
        if self._picker:
            self._picker.set_floor(settings.score_floor)
        self.settings = settings

    def cutter(self) -> TileStage:
        """Return a fresh tile stage, with its gate where one is asked for."""
        tile = self.settings.tile
        return TileStage(self.engine, tile, MotionGate(tile) if tile.gate == "motion" else None)

    def tracker(self, info: StreamInfo, camera: Camera) -> Tracker:
        """Return a fresh tracker: ids start from 1 for every video, or go on where the segments of one camera do."""
        tracker = Tracker(self.reader(), self.settings)
        if self.settings.track.id_scope == "camera" and camera.tracker is not None:
            tracker.follow(camera.tracker, float(info.start_pts * info.time_base))
        return tracker

    def camera_tracker(self, state: bytes | None, now: float, *, last_id: int = 0) -> Tracker:
        """Return the tracker of a camera.

        Args:
            state: of an earlier one, with which tracks and ids go on; None: there is none.
            now: Unix seconds.
            last_id: ids begin above it where there is no state to go on with.
        """
        tracker = Tracker(self.reader(), self.settings, first_id=last_id + 1)
        try:
            if state:
                tracker.follow(state, now)
        except ValueError as error:  # the way of tracking was changed: there is nothing to go on from
            logger.warning("tracks_begun_anew", error=str(error))
        return tracker

    def video(self, info: StreamInfo, folder: ResultFolder) -> list[VideoSink]:
        """Return the sink of the annotated video, if it was asked for; blocking."""
        if "video" not in self.settings.output.formats:
            return []
        context = self._context(info)
        return [VideoSink(folder.path("video"), context, self._annotator(context), self.settings.video)]

    def segmented(self, info: StreamInfo, folder: ResultFolder, work: Path) -> SegmentedVideoSink | None:
        """Return the sink of an annotated video that grows in segments, if it was asked for; blocking.

        What is seen of a file may be looked at meanwhile.
        """
        if "video" not in self.settings.output.formats:
            return None
        context = self._context(info)
        return SegmentedVideoSink(
            folder.path("video"),
            work,
            context,
            self._annotator(context),
            self.settings.video,
            shown=None if info.live else self.snapshot.offer,
        )

    def rows(self, info: StreamInfo, folder: ResultFolder) -> list[Sink]:
        """Return the sinks of the other formats that were asked for; blocking."""
        formats = self.settings.output.formats
        return row_sinks(formats, self._context(info), folder, model=self.engine.info.model_path)

    def _context(self, info: StreamInfo) -> SinkContext:
        return SinkContext(info=info, names=self.engine.info.names, tracking=self.settings.tracking.enable_tracking)

    def _annotator(self, context: SinkContext) -> Annotator:
        return Annotator(context, self.settings.draw)


def row_sinks(formats: Collection[Format], context: SinkContext, folder: ResultFolder, *, model: str) -> list[Sink]:
    """Return the sinks of those of the formats that are no video; blocking."""
    makers: dict[Format, Callable[[Path], Sink]] = {
        "jsonl": lambda path: JsonlSink(path, context),
        "mot": lambda path: MotSink(path, context),
        "csv": lambda path: CsvSink(path, context),
        "coco": lambda path: CocoSink(path, context),
        "parquet": lambda path: ParquetSink(path, context),
        "overview": lambda path: OverviewSink(path, context, model_name=Path(model).name),
    }
    return [makers[name](folder.path(name)) for name in formats if name != "video"]


@asynccontextmanager
async def open_detector(settings: Settings, counters: Metrics) -> AsyncIterator[Detector]:
    """Open and warm up the engine, and serve it while the block runs.

    Raises:
        ConfigError: the model or a setting cannot be used.
        EngineError: the engine failed.
    """
    counters.build_info.labels(version=__version__).set(1)
    async with Lane("device") as lane:
        encoder = await lane.call(_check_codecs, settings)
        engine = await lane.call(_open_engine, settings)
        detector = Detector(settings, counters, engine, lane)
        info = engine.info
        counters.batch_capacity.set(engine.feeding.batch)
        counters.engine_opened(
            backend=info.backend,
            device=info.device,
            precision=info.precision,
            model=Path(info.model_path).name,
            sha256=info.model_sha256,
        )
        try:
            async with TaskGroup() as group:
                group.create_task(detector.executor.run(), name="executor")
                detector.encoder_taken(encoder)
                yield detector
                detector.executor.stop()
        finally:
            await lane.call(engine.close)


def _check_codecs(settings: Settings) -> str | None:
    """Return the encoder for annotated videos, None where none are made; blocking.

    Raises:
        ConfigError: a decoder or an encoder that is asked for by name does not work here.
    """
    Decoders(settings.decode.decoder).check()
    return pick_encoder(settings.video.codec) if "video" in settings.output.formats else None


def _open_engine(settings: Settings) -> ModelEngine:
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
    engine = select.choose(settings.model.backend, options.model)(options)
    engine.set_floor(settings.score_floor)
    engine.open()
    engine.warm_up()
    give_back()  # a model is copied several times on its way into the engine
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
    return mounted_model() or zoo.default_model(settings.tile.size)
