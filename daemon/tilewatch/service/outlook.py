"""What the service tells of itself at a moment: the facts behind `/status` and the page."""

from __future__ import annotations

import shutil
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from tilewatch import __version__
from tilewatch.telemetry.status import (
    Disk,
    EngineStatus,
    Failure,
    RunningJob,
    StageBar,
    Status,
    StreamStatus,
    health_facts,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tilewatch.detector import Detector
    from tilewatch.engines.base import EngineInfo
    from tilewatch.jobs.store import JobStore, State
    from tilewatch.service.camera import CameraState
    from tilewatch.service.worker import Running
    from tilewatch.telemetry.gpus.collector import GpuCollector
    from tilewatch.telemetry.health import Health
    from tilewatch.telemetry.streams import Queue

FAILURES = 10
FAILED: tuple[State, ...] = ("failed",)


class Outlook:
    """Gathers what is to be told.

    Args:
        health: of the service.
        store: of the jobs.
        output: folder whose volume is told of.
    """

    def __init__(self, health: Health, store: JobStore, output: Path) -> None:
        self.running: dict[int, Running] = {}
        """Jobs in work."""
        self.cameras: dict[str, CameraState] = {}
        """By name."""
        self.engine: EngineInfo | None = None
        """None while there is none."""
        self.detector: Detector | None = None
        """Where the codecs in use are told of; None while there is none."""
        self.gpus: GpuCollector | None = None
        """Where the readings of the GPUs are."""
        self.refused: tuple[str, ...] = ()
        """Changes of settings that were refused."""
        self._health = health
        self._store = store
        self._output = output
        self._started = time.monotonic()

    def status(self) -> Status:
        """Return everything; blocking, on the store's lane."""
        return Status(
            **health_facts(self._health),
            version=__version__,
            uptime_seconds=time.monotonic() - self._started,
            engine=_engine(self.engine),
            jobs=self._counts(),
            running=tuple(_shown(running) for running in list(self.running.values())),
            streams=tuple(_camera(state) for state in list(self.cameras.values())),
            failures=self._failures(),
            settings_refused=self.refused,
            disks=(self._disk(),),
            decoder=self.detector.decoders.in_use if self.detector else None,
            encoder=self.detector.encoder if self.detector else None,
            gpus=tuple(self.gpus.readings) if self.gpus else (),
        )

    def _counts(self) -> Mapping[str, int]:
        return {str(state): count for state, count in self._store.counts().items()}

    def _failures(self) -> tuple[Failure, ...]:
        failed = self._store.list(states=FAILED, limit=FAILURES)
        return tuple(
            Failure(at=_moment(job.finished or job.updated), name=job.path, reason=job.reason, text=job.error)
            for job in failed
        )

    def _disk(self) -> Disk:
        usage = shutil.disk_usage(self._output)
        return Disk(path=str(self._output), free_bytes=usage.free, total_bytes=usage.total)


def _engine(info: EngineInfo | None) -> EngineStatus | None:
    if info is None:
        return None
    name = info.model_path.rsplit("/", 1)[-1]
    return EngineStatus(
        backend=info.backend, device=info.device, precision=info.precision, model=name, sha256=info.model_sha256
    )


def _shown(running: Running) -> RunningJob:
    return RunningJob(
        name=running.job.path,
        stream=running.label,
        frames=running.frames,
        total=running.total,
        frames_per_second=running.rate.per_second(),
        bars=_bars(running.channels),
    )


def _camera(state: CameraState) -> StreamStatus:
    return StreamStatus(
        name=state.name,
        up=state.up,
        frames=state.frames,
        dropped=state.dropped,
        restarts=state.restarts,
        frames_per_second=state.rate.per_second(),
        bars=_bars(state.channels),
    )


def _bars(channels: Sequence[Queue]) -> tuple[StageBar, ...]:
    return tuple(StageBar(stage=queue.name, items=len(queue), capacity=queue.capacity) for queue in channels)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
