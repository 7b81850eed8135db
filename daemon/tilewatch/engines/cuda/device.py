"""Is there a device, and what is it?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tilewatch.engines.cuda.binding import CudaError, call, load
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from tilewatch.engines.cuda.binding import Cuda

INDEX = 0
"""The device used is the first one that CUDA_VISIBLE_DEVICES leaves visible."""
NAME_BYTES = 128


class NoDeviceError(ConfigError):
    """There is no NVIDIA device that could be used; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device as CUDA describes it."""

    name: str
    major: int
    minor: int
    integrated: bool
    """True: it shares its memory with the processor (Jetson), so nothing needs to be copied."""
    memory_bytes: int
    driver: str
    """Newest CUDA version the driver knows, '12.6'."""
    runtime: str
    """CUDA version that cuda-python was built for."""

    @property
    def capability(self) -> str:
        """Compute capability, '8.7'."""
        return f"{self.major}.{self.minor}"


def probe() -> Device:
    """Return the device. Must come before `tensorrt` is imported, which does not survive its absence.

    Raises:
        NotInstalledError: cuda-python is not installed.
        NoDeviceError: no driver or no device.
    """
    cuda = load()
    try:
        count = call(cuda.runtime.cudaGetDeviceCount)
        if not count:
            raise NoDeviceError("BACKEND=tensorrt needs an NVIDIA device: CUDA sees none (CUDA_VISIBLE_DEVICES?)")
        return _describe(cuda)
    except CudaError as error:
        raise NoDeviceError(f"BACKEND=tensorrt needs an NVIDIA device: {error}") from error


def use(cuda: Cuda) -> None:
    """Make the device that of the calling thread; waiting threads sleep instead of spinning.

    Raises:
        CudaError: the device cannot be used.
    """
    call(cuda.runtime.cudaSetDevice, INDEX)
    call(cuda.runtime.cudaSetDeviceFlags, cuda.runtime.cudaDeviceScheduleBlockingSync)
    call(cuda.runtime.cudaFree, 0)  # makes the context, which the driver API needs


def _describe(cuda: Cuda) -> Device:
    runtime, attributes = cuda.runtime, cuda.runtime.cudaDeviceAttr
    call(cuda.driver.cuInit, 0)
    handle = call(cuda.driver.cuDeviceGet, INDEX)
    name = call(cuda.driver.cuDeviceGetName, NAME_BYTES, handle)
    return Device(
        name=name.split(b"\0")[0].decode(errors="replace").strip(),
        major=call(runtime.cudaDeviceGetAttribute, attributes.cudaDevAttrComputeCapabilityMajor, INDEX),
        minor=call(runtime.cudaDeviceGetAttribute, attributes.cudaDevAttrComputeCapabilityMinor, INDEX),
        integrated=bool(call(runtime.cudaDeviceGetAttribute, attributes.cudaDevAttrIntegrated, INDEX)),
        memory_bytes=int(call(cuda.driver.cuDeviceTotalMem, handle)),
        driver=_version(call(runtime.cudaDriverGetVersion)),
        runtime=_version(call(runtime.cudaRuntimeGetVersion)),
    )


def _version(number: int) -> str:
    """Return '12.6' for 12060."""
    return f"{number // 1000}.{number % 1000 // 10}"
