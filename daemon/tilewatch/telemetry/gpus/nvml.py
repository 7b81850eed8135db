"""NVIDIA cards, by the driver's library NVML, through the package nvidia-ml-py: `pip install 'tilewatch[nvidia]'`."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from tilewatch.telemetry.gpus.reading import GpuReading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

PERCENT = 100.0
MILLI = 1000.0


class NvmlMeter:
    """Reads the cards. Blocking.

    A card that was lost, or that does not tell something, leaves that out. A laptop's or a virtual machine's card
    tells less than a server's.

    Args:
        library: the module pynvml, initialised.
    """

    def __init__(self, library: Any) -> None:  # noqa: ANN401 the package has no types
        self._nvml = library

    @classmethod
    def open(cls) -> NvmlMeter | None:
        """Return a meter, None where there is no package, no driver or no card."""
        try:
            import pynvml  # noqa: PLC0415  (part of an extra)
        except ImportError:
            return None
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError:
            return None
        return cls(pynvml)

    @property
    def driver_version(self) -> str | None:
        """Of the kernel driver, as '550.54.15'."""
        return self._told(self._nvml.nvmlSystemGetDriverVersion)

    @property
    def cuda_version(self) -> str | None:
        """Newest CUDA that the driver can serve, as '12.4'."""
        number = self._told(self._nvml.nvmlSystemGetCudaDriverVersion_v2)
        return None if number is None else f"{number // 1000}.{number % 1000 // 10}"

    def read(self) -> Sequence[GpuReading]:
        """Return a reading of each card that answers."""
        readings = [self._card(index) for index in range(self._told(self._nvml.nvmlDeviceGetCount) or 0)]
        return [reading for reading in readings if reading]

    def compute_capabilities(self) -> Sequence[str]:
        """Return the architecture of each card that answers, as '8.9'."""
        handles = [self._handle(index) for index in range(self._told(self._nvml.nvmlDeviceGetCount) or 0)]
        told = [self._told(self._nvml.nvmlDeviceGetCudaComputeCapability, handle) for handle in handles if handle]
        return [".".join(map(str, numbers)) if numbers else "unknown" for numbers in told]

    def _handle(self, index: int) -> Any | None:  # noqa: ANN401 a pointer of the library
        return self._told(self._nvml.nvmlDeviceGetHandleByIndex, index)

    def _card(self, index: int) -> GpuReading | None:
        nvml = self._nvml
        handle = self._handle(index)
        if handle is None:
            return None
        use = self._told(nvml.nvmlDeviceGetUtilizationRates, handle)
        memory = self._told(nvml.nvmlDeviceGetMemoryInfo, handle)
        temperature = self._told(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU)
        power = self._told(nvml.nvmlDeviceGetPowerUsage, handle)
        return GpuReading(
            device=str(index),
            name=self._told(nvml.nvmlDeviceGetName, handle) or "NVIDIA GPU",
            utilization=None if use is None else use.gpu / PERCENT,
            memory_used=None if memory is None else memory.used,
            memory_total=None if memory is None else memory.total,
            temperature=None if temperature is None else float(temperature),
            power=None if power is None else power / MILLI,
        )

    def _told(self, ask: Callable[..., T], *arguments: object) -> T | None:
        """Return what a function of the library says, None where the card does not tell that."""
        with suppress(self._nvml.NVMLError):
            return ask(*arguments)
        return None
