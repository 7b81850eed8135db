"""The NVIDIA side of a build: the device, TensorRT's module, and the engine that runs what was built."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from tilewatch.engines.cuda import device as devices
from tilewatch.engines.tensorrt import TensorRtEngine
from tilewatch.engines.tensorrt.plan import runtime_module
from tilewatch.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from tilewatch.engines.model_engine import ModelEngine
    from tilewatch.engines.options import EngineOptions


class Device(Protocol):
    """What is known of the device an engine is built on."""

    @property
    def name(self) -> str:
        """As the driver reports it."""

    @property
    def capability(self) -> str:
        """Compute capability, '8.7'."""

    @property
    def runtime(self) -> str:
        """CUDA version, '12.6'."""


class Tools(NamedTuple):
    """What builds an engine, what it is built for, and what runs it."""

    trt: ModuleType
    device: Device
    engine: Callable[[EngineOptions], ModelEngine]


def tools() -> Tools:
    """Return the tools of this machine; TensorRT is not touched before a device was found, which it does not survive.

    Raises:
        EngineError: there is no device.
        ConfigError: cuda-python or TensorRT is not installed.
    """
    try:
        device = devices.probe()
    except devices.NoDeviceError as error:
        reason = str(error).partition(": ")[2]
        raise EngineError(f"there is no NVIDIA device to build for: {reason}") from error
    return Tools(runtime_module(), device, TensorRtEngine)
