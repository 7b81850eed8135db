"""Every metric, made once on an injected registry. Label values come from settings and enums only."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

STAGES = ("decode", "tile", "infer", "track", "encode")
FRAME_BUDGET_SECONDS = 1 / 30
BUCKETS = tuple(FRAME_BUDGET_SECONDS * factor for factor in (0.01, 0.03, 0.1, 0.3, 0.5, 1, 2, 4, 8, 16, 32, 64))
"""Multiples of the time one frame has at 30 frames a second."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """The metrics of one process."""

    registry: CollectorRegistry
    frames: Counter
    """{stream, stage, outcome}: outcome is ok, skipped or dropped."""
    boxes: Counter
    """{stream, outcome}: outcome is kept, merged or suppressed."""
    tiles: Counter
    """{stream, outcome}: outcome is inferred, reused or outside_roi."""
    stage_duration: Histogram
    """{stage}: seconds from asking a stage for an item to having it, waits for input excluded."""
    channel_wait: Counter
    """{stage}: seconds the stage waited for room behind it."""
    batch_items: Histogram
    """Tiles in one engine call."""
    latency: Histogram
    """{stream}: seconds from decode to written."""
    stream_up: Gauge
    """{stream}: 1 while the stream's pipeline runs."""
    build_info: Gauge
    """{version}: always 1."""


def create(registry: CollectorRegistry | None = None) -> Metrics:
    """Make all metrics on a registry, a fresh one when None."""
    registry = registry or CollectorRegistry()
    return Metrics(
        registry=registry,
        frames=Counter(
            "tilewatch_frames", "Frames by stage and outcome.", ("stream", "stage", "outcome"), registry=registry
        ),
        boxes=Counter("tilewatch_boxes", "Boxes by what became of them.", ("stream", "outcome"), registry=registry),
        tiles=Counter("tilewatch_tiles", "Tiles by what was done.", ("stream", "outcome"), registry=registry),
        stage_duration=Histogram(
            "tilewatch_stage_duration_seconds",
            "Time a stage took for one item.",
            ("stage",),
            registry=registry,
            buckets=BUCKETS,
        ),
        channel_wait=Counter(
            "tilewatch_channel_wait_seconds", "Time a stage waited for room behind it.", ("stage",), registry=registry
        ),
        batch_items=Histogram(
            "tilewatch_batch_items",
            "Tiles in one engine call.",
            registry=registry,
            buckets=(1, 2, 4, 6, 8, 12, 16, 32, 64),
        ),
        latency=Histogram(
            "tilewatch_latency_seconds", "Time from decode to written.", ("stream",), registry=registry, buckets=BUCKETS
        ),
        stream_up=Gauge("tilewatch_stream_up", "1 while the stream's pipeline runs.", ("stream",), registry=registry),
        build_info=Gauge("tilewatch_build_info", "Version of the program.", ("version",), registry=registry),
    )
