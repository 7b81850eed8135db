"""The metrics of the GPUs, made of the last readings; without any there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tilewatch.telemetry.gpus.reading import GpuReading

FAMILIES = {
    "utilization": ("tilewatch_gpu_utilization_ratio", "Share of the time in which the GPU was busy."),
    "memory_used": ("tilewatch_gpu_memory_used_bytes", "Memory in use on the GPU; on a Jetson, of the machine."),
    "memory_total": ("tilewatch_gpu_memory_total_bytes", "Memory of the GPU; on a Jetson, of the machine."),
    "temperature": ("tilewatch_gpu_temperature_celsius", "Temperature of the GPU."),
    "power": ("tilewatch_gpu_power_watts", "Power of the GPU; on a Jetson, of the rail that feeds it."),
}
"""Name and text of the metric by field of a reading; each has the label `device`."""


class GpuCollector(Collector):
    """Shows whatever was put into `readings`."""

    def __init__(self) -> None:
        self.readings: Sequence[GpuReading] = ()
        """The last ones; empty where there is no GPU, or where it does not answer."""

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return a metric for all that a GPU tells."""
        readings = self.readings
        for field, (name, text) in FAMILIES.items():
            told = [(reading.device, getattr(reading, field)) for reading in readings]
            family = GaugeMetricFamily(name, text, labels=["device"])
            for device, value in told:
                if value is not None:
                    family.add_metric([device], value)
            if family.samples:
                yield family
