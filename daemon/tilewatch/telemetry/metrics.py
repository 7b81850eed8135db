"""Every metric, made once on an injected registry.

Label values come from settings and enums only, so the number of series is bounded whatever is processed: a video's
label is the slot it runs in (`telemetry.streams`), never its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)

from tilewatch.errors import TilewatchError
from tilewatch.telemetry.classes import ClassLabels
from tilewatch.telemetry.gpus.collector import GpuCollector
from tilewatch.telemetry.rate import Rate
from tilewatch.telemetry.streams import StreamMetrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tilewatch.telemetry.health import Health

STAGES = ("decode", "tile", "infer", "track", "encode")
JOB_STATES = ("waiting", "ready", "running", "done", "failed", "cancelled")
TILE_OUTCOMES = ("inferred", "reused", "outside_roi")
INTAKE_CAUSES = ("disk", "output")
HARDWARE_DECODERS = ("nvdec", "nvv4l2")
FRAME_BUDGET_SECONDS = 1 / 30
BUCKETS = tuple(FRAME_BUDGET_SECONDS * factor for factor in (0.01, 0.03, 0.1, 0.3, 0.5, 1, 2, 4, 8, 16, 32, 64))
"""Multiples of the time one frame has at 30 frames a second."""
BATCHES = (1, 2, 4, 6, 8, 12, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class Metrics:
    """The metrics of one process."""

    registry: CollectorRegistry
    frames: Counter
    """{stream, stage, outcome}: outcome is ok, skipped or dropped."""
    frames_processed: Counter
    """Frames written by all streams, under the name of the original system."""
    inference_rate: Rate
    """Frames inferred lately; shown as `tilewatch_inference_fps`, the original system's name."""
    boxes: Counter
    """{stream, outcome}: outcome is kept, merged or suppressed."""
    tiles: Counter
    """{outcome}: see TILE_OUTCOMES."""
    tracks: Counter
    """{class}: tracks by the class they were first reported with."""
    class_labels: ClassLabels
    """Bounds the classes that are told apart."""
    stage_duration: Histogram
    """{stage}: seconds from asking a stage for an item to having it, waits for input excluded."""
    channel_wait: Counter
    """{stage}: seconds the stage waited for room behind it."""
    channel_items: Gauge
    """{stream, stage}: items waiting behind the stage, read at every scrape."""
    channel_capacity: Gauge
    """{stream, stage}: most items that can wait there."""
    batch_items: Histogram
    """Tiles in one engine call."""
    batch_capacity: Gauge
    """Most tiles in one engine call: less than BATCH_SIZE where the engine gains nothing by it, or memory is short."""
    batch_duration: Histogram
    """Seconds from an engine call's submit to its result."""
    latency: Histogram
    """{stream}: seconds from decode to written."""
    last_frame: Gauge
    """{stream}: Unix time of the last frame written."""
    stream_up: Gauge
    """{stream}: 1 while the stream's pipeline runs."""
    stream_restarts: Counter
    """{stream, reason}: reason is that of the error's class."""
    jobs: Gauge
    """{state}: see JOB_STATES."""
    job_queue_depth: Gauge
    """Jobs that could run now if there were room: what to scale on."""
    job_failures: Counter
    """{reason}: reason is that of the error's class."""
    disk_free: Gauge
    """{volume}: bytes; volume is `output`, that of OUTPUT_DIR."""
    disk_size: Gauge
    """{volume}: bytes, free or not."""
    disk_reserve: Gauge
    """{volume}: bytes below which no new video is begun (DISK_RESERVE)."""
    ready: Gauge
    """1 while work is taken, as /healthz/ready says."""
    stalled_stages: Gauge
    """Stages that have held one item for longer than STALL_SECONDS: the process is about to be ended."""
    intake_paused: Gauge
    """{cause}: 1 while no new work is begun because of it; see INTAKE_CAUSES."""
    target_fps: Gauge
    """Frames a second that are asked for (METRICS_TARGET_FPS); 0: nothing is."""
    model_outdated: Gauge
    """1 while the model's file is another one than that in use."""
    settings_refused: Gauge
    """Changes of settings that are refused at present."""
    engine: Info
    """backend, device, precision, model and sha256 of what is in use."""
    decoder: Info
    """decoder: what the video opened last is decoded by, 'software' or hardware."""
    encoder: Info
    """encoder: what annotated videos are encoded by, in FFmpeg's words."""
    decoder_failures: Counter
    """{decoder}: videos and connections in whose midst a hardware decoder died or hung."""
    build_info: Gauge
    """{version}: always 1."""
    gpus: GpuCollector
    """What the GPUs tell; nothing where there is none."""

    def stream(self, label: str) -> StreamMetrics:
        """Return the metrics of one stream, by a label of `telemetry.streams`."""
        return StreamMetrics(self, label)

    def engine_opened(self, *, backend: str, device: str, precision: str, model: str, sha256: str) -> None:
        """Say what inference runs on."""
        facts = {"backend": backend, "device": device, "precision": precision, "model": model, "sha256": sha256}
        self.engine.info(facts)

    def follow(self, health: Health) -> None:
        """Show, at every scrape, whether work is taken and how much stands still."""
        self.ready.set_function(lambda: float(bool(health.ready())))
        self.stalled_stages.set_function(lambda: float(len(health.live().reasons)))

    def tracked(self, by_class: Mapping[str, int]) -> None:
        """Count tracks that were reported for the first time, by the name of their class."""
        for name, count in by_class.items():
            self.tracks.labels(self.class_labels.of(name)).inc(count)

    def decoder_taken(self, name: str) -> None:
        """Say what decodes."""
        self.decoder.info({"decoder": name})

    def decoder_failed(self, name: str) -> None:
        """Count a hardware decoder that died or hung."""
        self.decoder_failures.labels(decoder=name).inc()

    def encoder_taken(self, name: str) -> None:
        """Say what encodes."""
        self.encoder.info({"encoder": name})

    def batch_done(self, tiles: int, seconds: float) -> None:
        """Count one engine call that came back."""
        self.batch_items.observe(tiles)
        self.batch_duration.observe(seconds)

    def count_jobs(self, by_state: Mapping[str, int]) -> None:
        """Take the ledger's count; a state it does not name has none."""
        for state in JOB_STATES:
            self.jobs.labels(state=state).set(by_state.get(state, 0))
        self.job_queue_depth.set(by_state.get("ready", 0))


def create(registry: CollectorRegistry | None = None) -> Metrics:
    """Make all metrics on a registry, a fresh one when None; without the series that say since when each is there."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    make = _Maker(registry or CollectorRegistry())
    rate = Rate()
    ProcessCollector(registry=make.registry)
    make.gauge("inference_fps", "Frames inferred per second, over the last ten seconds.").set_function(rate.per_second)
    found = Metrics(
        registry=make.registry,
        frames=make.counter("frames", "Frames by stage and outcome.", "stream", "stage", "outcome"),
        frames_processed=make.counter("frames_processed", "Frames written by all streams."),
        inference_rate=rate,
        boxes=make.counter("boxes", "Boxes by what became of them.", "stream", "outcome"),
        tiles=make.counter("tiles", "Tiles by what became of them.", "outcome"),
        tracks=make.counter("tracks", "Tracks by the class they were first reported with.", "class"),
        class_labels=ClassLabels(),
        stage_duration=make.histogram("stage_duration_seconds", "Time a stage took for one item.", BUCKETS, "stage"),
        channel_wait=make.counter("channel_wait_seconds", "Time a stage waited for room behind it.", "stage"),
        channel_items=make.gauge("channel_items", "Items waiting behind a stage.", "stream", "stage"),
        channel_capacity=make.gauge("channel_capacity_items", "Most items that can wait there.", "stream", "stage"),
        batch_items=make.histogram("batch_items", "Tiles in one engine call.", BATCHES),
        batch_capacity=make.gauge("batch_capacity_items", "Most tiles in one engine call."),
        batch_duration=make.histogram("batch_duration_seconds", "Time from submit to result.", BUCKETS),
        latency=make.histogram("latency_seconds", "Time from decode to written.", BUCKETS, "stream"),
        last_frame=make.gauge("last_frame_timestamp_seconds", "When the last frame was written.", "stream"),
        stream_up=make.gauge("stream_up", "1 while the stream's pipeline runs.", "stream"),
        stream_restarts=make.counter("stream_restarts", "Restarts of a stream, by reason.", "stream", "reason"),
        jobs=make.gauge("jobs", "Jobs by state.", "state"),
        job_queue_depth=make.gauge("job_queue_depth", "Jobs that wait for room to run."),
        job_failures=make.counter("job_failures", "Jobs set aside as failed, by reason.", "reason"),
        disk_free=make.gauge("disk_free_bytes", "Room on the volume of a folder.", "volume"),
        disk_size=make.gauge("disk_size_bytes", "Size of the volume of a folder.", "volume"),
        disk_reserve=make.gauge("disk_reserve_bytes", "Room below which no new video is begun.", "volume"),
        ready=make.gauge("ready", "1 while work is taken."),
        stalled_stages=make.gauge("stalled_stages", "Stages that have held one item for too long."),
        intake_paused=make.gauge("intake_paused", "1 while no new work is begun because of it.", "cause"),
        target_fps=make.gauge("target_fps", "Frames per second that are asked for; 0 where nothing is."),
        model_outdated=make.gauge("model_outdated", "1 while the model's file is not the one in use."),
        settings_refused=make.gauge("settings_refused", "Changes of settings that are refused at present."),
        engine=Info("tilewatch_engine", "What inference runs on.", registry=make.registry),
        decoder=Info("tilewatch_decoder", "What decodes the videos.", registry=make.registry),
        encoder=Info("tilewatch_encoder", "What encodes the annotated videos.", registry=make.registry),
        decoder_failures=make.counter("decoder_failures", "Hardware decoders that died or hung.", "decoder"),
        build_info=make.gauge("build_info", "Version of the program.", "version"),
        gpus=GpuCollector(),
    )
    make.registry.register(found.gpus)
    for outcome in TILE_OUTCOMES:
        found.tiles.labels(outcome=outcome)
    for reason in _reasons(TilewatchError):
        found.job_failures.labels(reason=reason)
    for cause in INTAKE_CAUSES:
        found.intake_paused.labels(cause=cause)
    for decoder in HARDWARE_DECODERS:
        found.decoder_failures.labels(decoder=decoder)
    found.count_jobs({})
    return found


def _reasons(error: type[TilewatchError]) -> Iterator[str]:
    """Yield the reason of a class of errors and of all below it."""
    yield error.reason
    for narrower in error.__subclasses__():
        yield from _reasons(narrower)


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes metrics with the program's prefix on one registry."""

    registry: CollectorRegistry

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"tilewatch_{name}", text, labels, registry=self.registry)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"tilewatch_{name}", text, labels, registry=self.registry)

    def histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"tilewatch_{name}", text, labels, registry=self.registry, buckets=buckets)
