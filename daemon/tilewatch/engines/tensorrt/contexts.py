"""The execution contexts of a runner: one for each number of tiles, all with one scratch memory.

A recorded call works with what its context derived from its shapes, and `set_input_shape` changes that: afterwards the
record computes something else, without an error (TensorRT's developers: one context for each graph). So a context gets
its shape once. They take turns on one stream, and what a call leaves in the scratch memory nobody needs.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from tilewatch.engines.cuda.memory import DeviceBuffer

if TYPE_CHECKING:
    from tilewatch.engines.cuda.binding import Cuda
    from tilewatch.engines.cuda.stream import Stream
    from tilewatch.engines.tensorrt.outputs import Output
    from tilewatch.engines.tensorrt.plan import Plan


class Contexts:
    """Contexts for inputs of `(tiles, *item)` at one address, made when they are first asked for."""

    def __init__(self, cuda: Cuda, plan: Plan, stream: Stream, item: tuple[int, int, int], address: int) -> None:
        self._cuda = cuda
        self._plan = plan
        self._stream = stream
        self._item = item
        self._address = address
        self._outputs: list[Output] = []
        self._made: dict[int, Any] = {}
        self._scratch: DeviceBuffer | None = None
        self._owned = ExitStack()

    def bind(self, output: Output) -> None:
        """Let an output of all contexts, those made already and those to come, go to its place.

        Raises:
            EngineError: TensorRT refuses.
        """
        self._outputs.append(output)
        for context in self._made.values():
            output.bind(context, self._plan.journal)

    def of(self, tiles: int) -> Any:  # noqa: ANN401 -- IExecutionContext
        """Return the context for so many tiles; its shape must not be set again.

        Raises:
            DeviceMemoryError: the device has no memory for one more.
            EngineError: TensorRT failed.
        """
        if tiles not in self._made:
            self._made[tiles] = self._new((tiles, *self._item))
        return self._made[tiles]

    def _new(self, shape: tuple[int, ...]) -> Any:  # noqa: ANN401 -- IExecutionContext
        engine, trt, image = self._plan.engine, self._plan.trt, self._plan.input.name
        context = engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if context is None:
            raise self._plan.journal.failure("making an execution context")
        self._choose_profile(context)
        self._done(context.set_tensor_address(image, self._address), "placing the input")
        self._done(context.set_input_shape(image, shape), f"setting the input to {shape}")
        scratch = self._scratch_of(context.update_device_memory_size_for_shapes())
        context.set_device_memory(scratch.address, scratch.size)
        for output in self._outputs:
            output.bind(context, self._plan.journal)
        return context

    def _choose_profile(self, context: Any) -> None:  # noqa: ANN401 -- IExecutionContext
        doing = "choosing the profile"
        try:
            self._done(context.set_optimization_profile_async(0, self._stream.handle), doing)
        except RuntimeError as error:  # what the bindings make of False here
            raise self._plan.journal.failure(doing) from error

    def _scratch_of(self, size: int) -> DeviceBuffer:
        """Return scratch memory of at least so many bytes; a smaller one stays, for the records that work in it."""
        if self._scratch is None or self._scratch.size < size:
            self._scratch = DeviceBuffer(self._cuda, size)
            self._owned.callback(self._scratch.close)
        return self._scratch

    def _done(self, done: object, doing: str) -> None:
        """Raise unless TensorRT says that it did it."""
        if not done:
            raise self._plan.journal.failure(doing)

    def close(self) -> None:
        """Free everything; not while a call is in flight. Idempotent."""
        self._made.clear()
        self._scratch = None
        self._owned.close()
