"""What `/status` tells, as records: for people, for the page and for the health probe.

Whoever runs the service fills them in; nothing here looks anything up.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tilewatch.telemetry.gpus.reading import GpuReading
    from tilewatch.telemetry.health import Health, State


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """What inference really runs on."""

    backend: str
    """'openvino', 'onnxruntime' or 'tensorrt'."""
    device: str
    """As its runtime names it."""
    precision: str
    model: str
    """File name."""
    sha256: str
    gpu: str | None = None
    """Name of the GPU in use; None where inference runs on the CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageBar:
    """How full the channel behind a stage is."""

    stage: str
    items: int
    capacity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJob:
    """A video in work."""

    name: str
    """Path below the watched folder."""
    stream: str
    """Its label in the metrics, as 'file-0'."""
    frames: int
    """Frames written."""
    total: int | None
    """Frames expected, as far as the container tells."""
    frames_per_second: float
    """Over the last seconds."""
    bars: tuple[StageBar, ...] = ()

    @property
    def eta_seconds(self) -> float | None:
        """Seconds until it is done at the present rate; None while nobody can tell."""
        if self.total is None or not self.frames_per_second:
            return None
        return max(self.total - self.frames, 0) / self.frames_per_second


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStatus:
    """A camera."""

    name: str
    """As configured; never its address."""
    up: bool
    frames: int
    dropped: int
    restarts: int
    frames_per_second: float
    bars: tuple[StageBar, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Something that went wrong lately."""

    at: str
    """ISO 8601, UTC."""
    name: str
    """The video, camera or part it happened to."""
    reason: str
    """One word, as in the metrics."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """Room on the volume of a folder."""

    path: str
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The whole service at one moment."""

    version: str
    state: State
    ready: bool
    live: bool
    reasons: tuple[str, ...] = ()
    """Why it is not ready, not live, or degraded; one line each."""
    uptime_seconds: float
    engine: EngineStatus | None
    """None until it is open."""
    jobs: Mapping[str, int] = field(default_factory=dict)
    """Jobs by state."""
    running: tuple[RunningJob, ...] = ()
    streams: tuple[StreamStatus, ...] = ()
    failures: tuple[Failure, ...] = ()
    """The latest, newest first."""
    settings_refused: tuple[str, ...] = ()
    """Changes of settings that were refused; the old ones are in force."""
    disks: tuple[Disk, ...] = ()
    decoder: str | None = None
    """What the video opened last is decoded by; None before the first."""
    encoder: str | None = None
    """What annotated videos are encoded by; None where none are made."""
    gpus: tuple[GpuReading, ...] = ()
    """As they were a few seconds ago."""


class HealthFacts(TypedDict):
    """What a status tells of health: `Status(**health_facts(health), ...)`."""

    state: State
    ready: bool
    live: bool
    reasons: tuple[str, ...]


def health_facts(health: Health) -> HealthFacts:
    """Return what the register says at this moment, every reason once."""
    ready, live = health.ready(), health.live()
    reasons = tuple(dict.fromkeys((*ready.reasons, *health.troubles)))
    return {"state": health.state, "ready": bool(ready), "live": bool(live), "reasons": reasons}


def as_data(status: Status) -> dict[str, Any]:
    """Return a status as what JSON knows, with the remaining time of every running job."""
    data = asdict(status)
    for shown, job in zip(data["running"], status.running, strict=True):
        shown["eta_seconds"] = job.eta_seconds
    return data
