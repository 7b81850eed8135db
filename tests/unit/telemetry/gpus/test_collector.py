"""The metrics of the GPUs have fixed names; without a GPU there are none."""

from __future__ import annotations

from prometheus_client import generate_latest

from tilewatch.telemetry import metrics
from tilewatch.telemetry.gpus.reading import GpuReading, as_line, from_line


def shown(made: metrics.Metrics) -> set[str]:
    """Return the lines of GPU metrics."""
    return {line for line in generate_latest(made.registry).decode().splitlines() if line.startswith("tilewatch_gpu_")}


def test_readings_are_shown_by_device() -> None:
    """All five, the names that dashboards draw; what is not told is absent."""
    made = metrics.create()
    full = GpuReading(
        device="0", name="A", utilization=0.5, memory_used=1, memory_total=2, temperature=40.0, power=10.0
    )
    made.gpus.readings = [full, GpuReading(device="1", name="B", temperature=41.0)]
    assert shown(made) == {
        'tilewatch_gpu_utilization_ratio{device="0"} 0.5',
        'tilewatch_gpu_memory_used_bytes{device="0"} 1.0',
        'tilewatch_gpu_memory_total_bytes{device="0"} 2.0',
        'tilewatch_gpu_temperature_celsius{device="0"} 40.0',
        'tilewatch_gpu_temperature_celsius{device="1"} 41.0',
        'tilewatch_gpu_power_watts{device="0"} 10.0',
    }


def test_machine_without_a_gpu_shows_none() -> None:
    """Not even a zero."""
    assert shown(metrics.create()) == set()


def test_readings_survive_the_way_through_a_pipe() -> None:
    """JSON and back."""
    reading = GpuReading(device="0", name="A", power=1.5)
    assert from_line(as_line([reading])) == (reading,)
