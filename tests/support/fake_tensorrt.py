"""TensorRT's objects, played: an "engine file" is an ONNX file, and a call runs it through ONNX Runtime.

Shapes, names, profiles, addresses, allocators and the rules of recording are kept as TensorRT keeps them; what the
device's memory holds is what tests.support.fake_cuda put there.
"""

from __future__ import annotations

import ctypes
import sys
from enum import Enum, IntEnum
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from tests.support.fake_cuda import DEVICE, Call

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.support.fake_cuda import FakeCuda

NUMPY = {"FLOAT": np.float32, "HALF": np.float16, "INT64": np.int64}
TYPES = {"tensor(float)": "FLOAT", "tensor(float16)": "HALF", "tensor(int64)": "INT64"}


class TensorIOMode(Enum):
    """Direction of a tensor; the numbers mean nothing."""

    INPUT = "in"
    OUTPUT = "out"


class DataType(Enum):
    """Type of a tensor; the numbers mean nothing."""

    FLOAT = "f"
    HALF = "h"
    INT64 = "l"


class TensorFormat(Enum):
    """How a tensor lies in memory; the numbers mean nothing."""

    LINEAR = "linear"
    CHW32 = "chw32"


class ExecutionContextAllocationStrategy(Enum):
    """Who takes the memory a context works in; the numbers mean nothing."""

    STATIC = "its own, for the profile's most"
    USER_MANAGED = "the caller's"


class ILogger:
    """Base of loggers."""

    class Severity(IntEnum):
        """How bad it is."""

        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3

    def __init__(self) -> None:
        self.made = True


class IErrorRecorder:
    """Base of error recorders."""

    def __init__(self) -> None:
        self.made = True


class IOutputAllocator:
    """Base of output allocators."""

    def __init__(self) -> None:
        self.made = True


class FakeTensorRt:
    """The package, on a device."""

    def __init__(
        self,
        cuda: FakeCuda,
        *,
        version: str = "10.7.0.23",
        profile: tuple[int, int] = (1, 8),
        context_bytes: int = 0,
        scratch_bytes: int = 8,
        seconds_per_tile: float = 0.0,
        run: Callable[[str, np.ndarray], list[np.ndarray]] | None = None,
    ) -> None:
        self.cuda = cuda
        self.version = version
        self.profile = profile
        self.context_bytes = context_bytes
        """Memory an execution context keeps for itself."""
        self.scratch_bytes = scratch_bytes
        """Memory it works in, for each tile."""
        self.seconds_per_tile = seconds_per_tile
        self.run = run
        """Stands in for the model; None: ONNX Runtime."""
        self.engine_bytes = 0
        """Memory an engine's weights need."""
        self.refuse_capture = False
        self.refuse_execution = False
        self.refuse_profile = False
        self.refuse_runtime = False
        self.refuse_addresses = False
        self.late_refusal = False
        """Whether a refused recording is told only when it ends."""
        self.late_shapes = False
        """Whether outputs have a shape only after they were computed."""
        self.formats: dict[str, TensorFormat] = {}
        """Of tensors that do not lie as usual."""
        self.enqueued: list[int] = []
        """Tiles of every call that was put in itself, not from a graph."""
        self.idle = False
        """Whether the outputs stay as they are: for measuring what is around the inference."""

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand in for the package."""
        module: Any = ModuleType("tensorrt")
        module.__spec__ = ModuleSpec("tensorrt", None, origin="played")
        module.__version__ = self.version
        for each in (
            TensorIOMode,
            DataType,
            TensorFormat,
            ExecutionContextAllocationStrategy,
            ILogger,
            IErrorRecorder,
            IOutputAllocator,
        ):
            setattr(module, each.__name__, each)
        module.init_libnvinfer_plugins = init_libnvinfer_plugins
        module.Runtime = lambda logger: Runtime(self, logger)
        monkeypatch.setitem(sys.modules, "tensorrt", module)


def init_libnvinfer_plugins(logger: Any, namespace: str) -> bool:
    """Register what comes with TensorRT."""
    return bool(logger.made and namespace == "")


def load_session(content: bytes) -> Any:
    """Return a model ready to run."""
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


class Runtime:
    """Loads engines."""

    def __init__(self, package: FakeTensorRt, logger: Any) -> None:
        assert package.cuda.devices, "without a device TensorRT does not survive this"
        assert logger.made
        if package.refuse_runtime:
            logger.log(ILogger.Severity.ERROR, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._package = package
        self._logger = logger
        self.error_recorder: Any = None

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        """Return the engine, or None after telling the logger why not."""
        try:
            session = load_session(serialized_engine)
        except Exception:  # noqa: BLE001 -- whatever ONNX Runtime dislikes about bytes that are no engine
            self._logger.log(ILogger.Severity.WARNING, "a warning")
            self._logger.log(ILogger.Severity.INFO, "nothing of interest")
            self._logger.log(ILogger.Severity.ERROR, "magicTag mismatch:\n it is no plan of this version")
            return None
        if self._package.engine_bytes > self._package.cuda.left:
            self.error_recorder.report_error("FAILED_ALLOCATION", "OutOfMemory: requested size was too large")
            return None
        self._logger.log(ILogger.Severity.ERROR, "a complaint it got over")
        return ICudaEngine(self._package, session, self.error_recorder)


class ICudaEngine:
    """A model on the device."""

    def __init__(self, package: FakeTensorRt, session: Any, recorder: Any) -> None:
        self.package = package
        self.session = session
        self.recorder = recorder
        ends = [(value, True) for value in session.get_inputs()] + [(value, False) for value in session.get_outputs()]
        self.tensors = {value.name: (value, is_input) for value, is_input in ends}

    @property
    def num_io_tensors(self) -> int:
        """How many inputs and outputs."""
        return len(self.tensors)

    def get_tensor_name(self, index: int) -> str:
        """Name by place."""
        return str(list(self.tensors)[index])

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        """Input or output."""
        return TensorIOMode.INPUT if self.tensors[name][1] else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        """Type."""
        return DataType[TYPES[self.tensors[name][0].type]]

    def get_tensor_format(self, name: str) -> TensorFormat:
        """How it lies in memory."""
        return self.package.formats.get(name, TensorFormat.LINEAR)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        """Shape, -1 where free."""
        return tuple(side if isinstance(side, int) else -1 for side in self.tensors[name][0].shape)

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        """Least, best and most."""
        assert profile_index == 0
        rest = tuple(64 if side < 0 else side for side in self.get_tensor_shape(name)[1:])
        least, most = self.package.profile
        return [(least, *rest), (most, *rest), (most, *rest)]

    def create_execution_context(
        self, strategy: ExecutionContextAllocationStrategy = ExecutionContextAllocationStrategy.STATIC
    ) -> IExecutionContext | None:
        """Return a context, or None where memory is short."""
        managed = strategy == ExecutionContextAllocationStrategy.USER_MANAGED
        size = self.package.context_bytes + (0 if managed else self.package.scratch_bytes * self.package.profile[1])
        _, address = self.package.cuda._take("context", size)  # noqa: SLF001 -- fakes of one driver
        if not address:
            self.recorder.report_error("FAILED_ALLOCATION", "OutOfMemory: requested size was too large")
            return None
        return IExecutionContext(self, address, managed=managed)


class IExecutionContext:
    """A model at work."""

    def __init__(self, engine: ICudaEngine, memory: int, *, managed: bool) -> None:
        self._engine = engine
        self._managed = managed
        self._scratch = (0, 0)
        self._memory = memory
        self._shape: tuple[int, ...] = ()
        self._settled: tuple[int, ...] = ()
        self._addresses: dict[str, int] = {}
        self._allocators: dict[str, Any] = {}

    def __del__(self) -> None:
        """Free what it took."""
        self._engine.package.cuda.left += self._engine.package.cuda.memory.pop(self._memory).size

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        """Choose a profile."""
        assert stream_handle in self._engine.package.cuda.open["stream"]
        if self._engine.package.refuse_profile:
            self._engine.recorder.report_error("FAILED_ALLOCATION", "OutOfMemory: requested size was too large")
            raise RuntimeError("Error in set optimization profile async.")
        return profile_index == 0

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        """Say how large the input is."""
        least, _, most = self._engine.get_tensor_profile_shape(name, 0)
        fits = all(low <= side <= high for low, side, high in zip(least, shape, most, strict=True))
        fixed = self._engine.get_tensor_shape(name)[0]
        if not fits or fixed not in {-1, shape[0]}:
            self._engine.recorder.report_error("INVALID_ARGUMENT", f"{shape} is outside of the profile")
            return False
        self._shape = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        """Shape, as far as it follows from the input's."""
        shape = self._engine.get_tensor_shape(name)
        if self._engine.package.late_shapes:
            return (self._shape[0], -1, *shape[2:])
        feed = {self._engine.get_tensor_name(0): np.zeros((1, *self._shape[1:]), self._dtype(0))}
        given = dict(zip(list(self._engine.tensors)[1:], self._engine.session.run(None, feed), strict=True))
        return (self._shape[0], *given[name].shape[1:])

    def update_device_memory_size_for_shapes(self) -> int:
        """Say how much it needs to work in; 0 before the shape is set."""
        return self._engine.package.scratch_bytes * (self._shape[0] if self._shape else 0)

    def set_device_memory(self, memory: int, size: int) -> None:
        """Say where it works."""
        self._scratch = (memory, size)

    def _dtype(self, index: int) -> Any:
        return NUMPY[self._engine.get_tensor_dtype(self._engine.get_tensor_name(index)).name]

    def set_tensor_address(self, name: str, memory: int) -> bool:
        """Say where a tensor lies."""
        self._addresses[name] = memory
        return not self._engine.package.refuse_addresses or self._engine.tensors[name][1]

    def set_output_allocator(self, name: str, output_allocator: Any) -> bool:
        """Say who finds room for an output."""
        assert output_allocator.made
        self._allocators[name] = output_allocator
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        """Put the inference into a stream."""
        package, cuda = self._engine.package, self._engine.package.cuda
        assert stream_handle in cuda.open["stream"]
        cuda.calls.append(Call("execute_async_v3", (stream_handle,)))
        if cuda.last_error:
            self._engine.recorder.report_error("FAILED_EXECUTION", f"Cuda Runtime ({cuda.last_error.name})")
            return False
        if package.refuse_execution:
            self._engine.recorder.report_error("FAILED_EXECUTION", "Cask: no kernel")
            return False
        if self._managed and self._scratch[1] < self.update_device_memory_size_for_shapes():
            self._engine.recorder.report_error("INVALID_STATE", "the context has no memory to work in")
            return False
        records = stream_handle in cuda.recording
        if records and (package.refuse_capture or self._settled != self._shape):
            cuda.recording[stream_handle] = None
            self._engine.recorder.report_error("FAILED_EXECUTION", "operation not permitted when stream is capturing")
            return package.late_refusal
        if not records:
            package.enqueued.append(self._shape[0])
            self._settled = self._shape
        shape, addresses, allocators = self._shape, dict(self._addresses), dict(self._allocators)
        cuda.put(stream_handle, lambda: self._run(shape, addresses, allocators, stream_handle))
        return True

    def _run(self, shape: tuple[int, ...], addresses: dict[str, int], allocators: dict[str, Any], stream: int) -> None:
        package = self._engine.package
        package.cuda.busy(package.seconds_per_tile * shape[0], stream)
        if package.idle:
            return
        image, *outputs = self._engine.tensors
        tiles = _array(package.cuda, addresses[image], shape, self._dtype(0))
        results = package.run(image, tiles) if package.run else self._engine.session.run(None, {image: tiles})
        if shape != self._shape:  # recorded, and the context was given another shape since: it computes something else
            results = [np.zeros_like(result) for result in results]
        if self._managed:
            package.cuda.check(*self._scratch, DEVICE)
            ctypes.memset(self._scratch[0], 0xFF, self._scratch[1])
        for name, result in zip(outputs, results, strict=True):
            address = addresses.get(name, 0)
            if name in allocators:
                address = allocators[name].reallocate_output_async(name, address, result.nbytes, 256, stream)
                allocators[name].notify_shape(name, result.shape)
            _array(package.cuda, address, result.shape, result.dtype)[:] = result


def _array(cuda: FakeCuda, address: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return a view of the device's memory."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    cuda.check(address, size, DEVICE)
    raw = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
    view: np.ndarray = raw.view(dtype).reshape(shape)
    return view
