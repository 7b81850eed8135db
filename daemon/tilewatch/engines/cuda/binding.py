"""The modules of cuda-python, and the one place where its calls are checked."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from tilewatch.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

NO_LIBRARY = "a missing library"
NO_MEMORY = "set a smaller BATCH_SIZE, build the engine anew with a smaller --batch, or end what else uses the device"
REMEDIES = {
    NO_LIBRARY: "for libcuda install the driver, or start the container with the NVIDIA runtime (--gpus all); for "
    "libnvrtc install the package nvidia-cuda-nvrtc of cuda-python's CUDA version",
    "cudaErrorMemoryAllocation": NO_MEMORY,
    "cudaErrorInsufficientDriver": "no NVIDIA driver in reach, or one older than cuda-python: update it, start the "
    "container with the NVIDIA runtime (--gpus all), or install the cuda-python of its version",
    "cudaErrorNoDevice": "no device in reach: start the container with the NVIDIA runtime, see CUDA_VISIBLE_DEVICES",
    "cudaErrorSystemDriverMismatch": "the driver's library and its kernel module differ: restart the machine",
    "cudaErrorSystemNotReady": "the system is not ready for CUDA: are nvidia-persistenced and the fabric manager up?",
    "cudaErrorDevicesUnavailable": "the device is taken: end what uses it exclusively",
    "cudaErrorECCUncorrectable": "the device's memory is defective: reset it, and replace it if that comes again",
    "cudaErrorIllegalAddress": "the device is in an unknown state: the process must be started anew",
    "cudaErrorLaunchFailure": "the device is in an unknown state: the process must be started anew",
    "cudaErrorLaunchTimeout": "the device is in an unknown state: the process must be started anew",
    "CUDA_ERROR_OUT_OF_MEMORY": NO_MEMORY,
    "CUDA_ERROR_NO_BINARY_FOR_GPU": "the kernels were compiled for another device: this is a defect, report it",
    "NVRTC_ERROR_INVALID_OPTION": "this NVRTC does not know the device: install the one of the driver's CUDA version",
}
OUT_OF_MEMORY = frozenset({"cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY"})


class CudaError(EngineError):
    """A call to CUDA failed: says which, with what code, and what to do."""

    reason: ClassVar[str] = "engine_failed"

    def __init__(self, call: str, code: str, detail: str = "") -> None:
        self.call = call
        self.code = code
        remedy = REMEDIES.get(code, "see the code in NVIDIA's documentation of the call")
        super().__init__(f"{call} failed with {code}{f' ({detail})' if detail else ''}: {remedy}")


class DeviceMemoryError(CudaError):
    """The device has no memory left for this."""


class NotInstalledError(ConfigError):
    """A package of the NVIDIA path is not there."""


class Cuda(NamedTuple):
    """cuda-python's modules."""

    runtime: Any
    driver: Any
    nvrtc: Any


def load() -> Cuda:
    """Return cuda-python's modules; touches no device.

    Raises:
        NotInstalledError: cuda-python is not installed, or is older than 12.6.
    """
    try:
        return Cuda(*(importlib.import_module(f"cuda.bindings.{name}") for name in Cuda._fields))
    except ModuleNotFoundError as error:
        raise NotInstalledError(
            "BACKEND=tensorrt needs the package cuda-python, 12.6 or newer: pip install 'tilewatch[nvidia]'"
        ) from error


def call(function: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401 -- whatever the call returns
    """Call a function of cuda-python and return what it returned beside its status.

    Raises:
        DeviceMemoryError: out of memory.
        CudaError: it failed in any other way.
    """
    try:
        status, *values = function(*arguments)
    except RuntimeError as error:  # a library of CUDA cannot be loaded: 12.6 for the driver, all versions for NVRTC
        raise CudaError(function.__name__, NO_LIBRARY, str(error).partition("\n")[0]) from error
    if status:
        name = str(status.name)
        raise (DeviceMemoryError if name in OUT_OF_MEMORY else CudaError)(function.__name__, name)
    return values[0] if len(values) == 1 else tuple(values)
