"""Minding the process that reads the GPUs: real processes that speak, fall silent, or talk nonsense."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from tests.support.loops import run_on
from tests.support.orin import make_orin
from tilewatch.flow.backports import TaskGroup
from tilewatch.service import gpus
from tilewatch.telemetry.gpus.collector import GpuCollector
from tilewatch.telemetry.gpus.reading import GpuReading, as_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LINE = as_line([GpuReading(device="0", name="NVIDIA L4", power=70.0)])


class Noting(GpuCollector):
    """Keeps every state that a scrape could have seen, and tells when there are enough."""

    def __init__(self, until: int) -> None:
        self.seen: list[tuple[str, ...]] = []
        self.enough = asyncio.Event()
        self._until = until
        super().__init__()

    @property
    def readings(self) -> Sequence[GpuReading]:
        """The last ones."""
        return self._readings

    @readings.setter
    def readings(self, value: Sequence[GpuReading]) -> None:
        self._readings = value
        self.seen.append(tuple(reading.name for reading in value))
        if len(self.seen) >= self._until:
            self.enough.set()


def watched(program: str, *, until: int, patience: float = 20.0) -> tuple[Noting, list[str]]:
    """Mind a program until so many states were seen; returns them, and what was logged of failures."""

    async def mind() -> Noting:
        collector = Noting(until)
        command = [sys.executable, "-c", program]
        async with TaskGroup() as group:
            task = group.create_task(gpus.watch(collector, command, patience=patience, rest=0.01))
            await collector.enough.wait()
            task.cancel()
        return collector

    with capture_logs() as logs:
        collector = run_on("uvloop", mind())
    return collector, [str(entry["cause"]) for entry in logs if entry["event"] == "gpus_unread"]


def test_readings_are_taken_and_gone_when_the_process_ends() -> None:
    """Old figures would be worse than none; it is started again."""
    collector, _ = watched(f"print({LINE!r})", until=5)
    assert collector.seen[:5] == [(), ("NVIDIA L4",), (), ("NVIDIA L4",), ()]


def test_driver_that_hangs_costs_its_process_and_nothing_else() -> None:
    """Silence: the readings go, the process is killed, the reason is said once."""
    program = f"import time; print({LINE!r}, flush=True); time.sleep(600)"
    collector, causes = watched(program, until=3, patience=0.5)
    assert collector.seen[:3] == [(), ("NVIDIA L4",), ()]
    assert set(causes) <= {"no answer from the driver for 0.5 s"}


def test_same_failure_is_said_once() -> None:
    """A machine whose cards cannot be read does not fill its log."""
    _, causes = watched("print('[1]')", until=4)
    assert len(causes) == 1


def test_gpu_is_looked_for_without_touching_a_driver(tmp_path: Path) -> None:
    """A device file, or the files of a Jetson."""
    assert not gpus.present(tmp_path)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").touch()
    assert not gpus.present(tmp_path)
    (tmp_path / "dev/nvidia0").touch()
    assert gpus.present(tmp_path)
    assert gpus.present(make_orin(tmp_path / "orin"))
