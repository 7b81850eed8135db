"""The outputs of an execution context in the device's memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewatch.engines.cuda.memory import DeviceBuffer
from tilewatch.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from tilewatch.engines.cuda.binding import Cuda
    from tilewatch.engines.tensorrt.plan import Plan, Tensor

DTYPES: dict[str, type[np.generic]] = {
    "FLOAT": np.float32, "HALF": np.float16, "INT32": np.int32, "INT64": np.int64, "INT8": np.int8, "UINT8": np.uint8,
    "BOOL": np.bool_,
}  # fmt: skip
"""TensorRT's types by name, as far as numpy has them."""


class Output:
    """One output: a place of fixed size where its shape is known, else one that TensorRT asks for as it goes."""

    def __init__(self, cuda: Cuda, plan: Plan, tensor: Tensor, shape: tuple[int, ...]) -> None:
        """Take the memory for the shape of a full batch, the batch first; -1 where a dimension is not known."""
        if tensor.type not in DTYPES:
            raise ConfigError(f"engine {plan.path}: output {tensor.name} is of type {tensor.type}: float is needed")
        self.name = tensor.name
        self.dtype = np.dtype(DTYPES[tensor.type])
        self.known = -1 not in shape
        """Whether its shape is known before it is computed."""
        self._shape = shape
        self._memory = DeviceBuffer(cuda, self.dtype.itemsize * math.prod(shape) if self.known else 1)
        self.allocator: Any = None if self.known else _allocator(cuda, plan, self)

    @property
    def address(self) -> int:
        """Where it lies."""
        return self._memory.address

    @property
    def item(self) -> tuple[int, ...]:
        """Shape of one tile's part."""
        return self._shape[1:]

    def shape_of(self, tiles: int) -> tuple[int, ...]:
        """Return the shape for some tiles."""
        return (tiles, *self._shape[1:])

    def bytes_of(self, tiles: int) -> int:
        """Return the size for some tiles."""
        return self.dtype.itemsize * math.prod(self.shape_of(tiles))

    def became(self, shape: tuple[int, ...]) -> None:
        """Take the shape it turned out to have."""
        self._shape = shape

    def reserve(self, cuda: Cuda, size: int) -> int:
        """Return a place of at least so many bytes."""
        if self._memory.size < size:
            larger = DeviceBuffer(cuda, size)
            self._memory.close()
            self._memory = larger
        return self._memory.address

    def bind(self, context: Any, journal: Any) -> None:  # noqa: ANN401 -- IExecutionContext
        """Tell a context where it goes."""
        done = (
            context.set_tensor_address(self.name, self.address)
            if self.known
            else context.set_output_allocator(self.name, self.allocator)
        )
        if not done:
            raise journal.failure(f"placing output {self.name}")

    def close(self) -> None:
        """Free it. Idempotent."""
        self._memory.close()


def _allocator(cuda: Cuda, plan: Plan, output: Output) -> Any:  # noqa: ANN401 -- the class exists only with TensorRT
    """Return an output allocator that gives an output the memory it turns out to need."""
    trt, journal = plan.trt, plan.journal

    class Allocator(trt.IOutputAllocator):  # type: ignore[name-defined,misc]  # as above
        def __init__(self) -> None:
            trt.IOutputAllocator.__init__(self)

        def reallocate_output(self, tensor_name: str, memory: int, size: int, alignment: int) -> int:
            """Return an address, or 0 where there is no memory; cudaMalloc's addresses suit every alignment."""
            del memory, alignment
            try:
                return output.reserve(cuda, size)
            except EngineError as error:
                journal.note(f"output {tensor_name}: {error}")
                return 0

        def reallocate_output_async(self, tensor_name: str, memory: int, size: int, alignment: int, stream: int) -> int:
            """Return an address; the memory serves one stream only, so that its order is enough."""
            del stream
            return self.reallocate_output(tensor_name, memory, size, alignment)

        def notify_shape(self, tensor_name: str, shape: Any) -> None:  # noqa: ANN401 -- Dims
            """Take the shape it has become."""
            del tensor_name
            output.became(tuple(shape))

    return Allocator()
