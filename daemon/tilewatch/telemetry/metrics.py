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
from tilewatch.telemetry.gpus.collector import GpuCollector
from tilewatch.telemetry.rate import Rate
from tilewatch.telemetry.streams import StreamMetrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STAGES = ("decode", "tile", "infer", "track", "encode")
JOB_STATES = ("waiting", "ready", "running", "done", "failed", "cancelled")
TILE_OUTCOMES = ("inferred", "reused", "outside_roi")
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
    """{volume}: bytes; volume is the lower-case name of the setting, as output_dir."""
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
        stage_duration=make.histogram("stage_duration_seconds", "Time a stage took for one item.", BUCKETS, "stage"),
        channel_wait=make.counter("channel_wait_seconds", "Time a stage waited for room behind it.", "stage"),
        channel_items=make.gauge("channel_items", "Items waiting behind a stage.", "stream", "stage"),
        channel_capacity=make.gauge("channel_capacity_items", "Most items that can wait there.", "stream", "stage"),
        batch_items=make.histogram("batch_items", "Tiles in one engine call.", BATCHES),
        batch_duration=make.histogram("batch_duration_seconds", "Time from submit to result.", BUCKETS),
        latency=make.histogram("latency_seconds", "Time from decode to written.", BUCKETS, "stream"),
        last_frame=make.gauge("last_frame_timestamp_seconds", "When the last frame was written.", "stream"),
        stream_up=make.gauge("stream_up", "1 while the stream's pipeline runs.", "stream"),
        stream_restarts=make.counter("stream_restarts", "Restarts of a stream, by reason.", "stream", "reason"),
        jobs=make.gauge("jobs", "Jobs by state.", "state"),
        job_queue_depth=make.gauge("job_queue_depth", "Jobs that wait for room to run."),
        job_failures=make.counter("job_failures", "Jobs set aside as failed, by reason.", "reason"),
        disk_free=make.gauge("disk_free_bytes", "Room on the volume of a folder.", "volume"),
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
