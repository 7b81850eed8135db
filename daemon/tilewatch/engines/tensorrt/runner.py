"""One call in flight: an execution context with its stream, its memory and its graphs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from tilewatch.engines.cuda.frames import tiles_from
from tilewatch.engines.cuda.graph import Graph, capture
from tilewatch.engines.cuda.layout import TileInput, TileJob
from tilewatch.engines.cuda.memory import DeviceBuffer
from tilewatch.engines.cuda.stream import Stream
from tilewatch.engines.tensorrt.outputs import Output
from tilewatch.engines.tensorrt.plan import PLANES
from tilewatch.engines.tensorrt.results import PickedResults, RawResults
from tilewatch.errors import EngineError
from tilewatch.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.engines.cuda.frames import FrameSlot
    from tilewatch.engines.tensorrt.candidates import Layout
    from tilewatch.engines.tensorrt.gpu import Gpu
    from tilewatch.engines.tensorrt.plan import Plan
    from tilewatch.engines.tensorrt.results import Results
    from tilewatch.records import F32

logger = log.logger("tensorrt")


class Run(NamedTuple):
    """Tiles of one frame that follow each other there, and so can be cut by one launch."""

    slot: FrameSlot
    first: int
    tiles: int


class Shape(NamedTuple):
    """What the input of a call looks like."""

    size: int
    """S: side of a tile, pixels."""
    batch: int
    """Most tiles of a call."""
    bgr: bool
    table: int
    """Address of the normalisation's table on the device."""


class Runner:
    """One call at a time: `start`, then `finish`."""

    def __init__(self, gpu: Gpu, plan: Plan, shape: Shape) -> None:
        """Take everything a call of up to `shape.batch` tiles needs.

        Raises:
            DeviceMemoryError: the device has not so much memory.
            EngineError: TensorRT or CUDA failed.
        """
        self._gpu = gpu
        self._plan = plan
        self._shape = shape
        self._graphs: dict[int, Graph | None] = {}
        self._tiles = 0
        with ExitStack() as owned:
            self._stream = _owned(owned, Stream(gpu.cuda))
            self._bytes = PLANES * shape.size**2 * (2 if plan.half else 4)
            self._input = _owned(owned, DeviceBuffer(gpu.cuda, self._bytes * shape.batch))
            self._context = self._made_context()
            owned.callback(self._drop_context)
            self.outputs = [self._made_output(owned, index) for index in range(len(plan.outputs))]
            self._can_record = all(output.known for output in self.outputs)
            self._results: Results = RawResults(gpu, self.outputs)
            owned.callback(self._close_results)
            owned.callback(self._drop_graphs)
            self._owned = owned.pop_all()

    @property
    def batch(self) -> int:
        """Most tiles of a call."""
        return self._shape.batch

    def _made_context(self) -> Any:  # noqa: ANN401 -- IExecutionContext
        """Return a context for full batches, its input in place."""
        context = self._plan.engine.create_execution_context()
        if context is None:
            raise self._plan.journal.failure("making an execution context")
        self._choose_profile(context)
        self._done(context.set_tensor_address(self._plan.input.name, self._input.address), "placing the input")
        self._set_count(context, self._shape.batch)
        return context

    def _choose_profile(self, context: Any) -> None:  # noqa: ANN401 -- IExecutionContext
        doing = "choosing the profile"
        try:
            self._done(context.set_optimization_profile_async(0, self._stream.handle), doing)
        except RuntimeError as error:  # what the bindings make of False here
            raise self._plan.journal.failure(doing) from error

    def _made_output(self, owned: ExitStack, index: int) -> Output:
        tensor = self._plan.outputs[index]
        shape = tuple(self._context.get_tensor_shape(tensor.name))
        output = _owned(owned, Output(self._gpu.cuda, self._plan, tensor, shape))
        output.bind(self._context, self._plan.journal)
        return output

    def _done(self, done: object, doing: str) -> None:
        """Raise unless TensorRT says that it did it."""
        if not done:
            raise self._plan.journal.failure(doing)

    def _set_count(self, context: Any, count: int) -> None:  # noqa: ANN401 -- IExecutionContext
        shape = (count, PLANES, self._shape.size, self._shape.size)
        self._done(context.set_input_shape(self._plan.input.name, shape), f"setting the input to {shape}")

    def pick(self, layout: Layout) -> None:
        """From the next call on bring down the candidates only.

        Raises:
            DeviceMemoryError: as the constructor.
        """
        picked = PickedResults(self._gpu, self.outputs[0], layout, self._shape.batch)
        self._results.close()
        self._results = picked

    def start(self, runs: Sequence[Run], floor: float) -> None:
        """Put a call into the stream: cut, infer, bring the results down.

        Waits for nothing, but for the first call of a size, which is recorded.

        Raises:
            EngineError: TensorRT or CUDA refused.
        """
        self._tiles = 0
        for run in runs:
            self._cut(run)
            self._tiles += run.tiles
        self._infer(max(self._tiles, self._plan.least))
        self._results.start(self._stream, self._tiles, floor)

    def finish(self) -> tuple[F32, ...]:
        """Wait for the call and return its results, valid until the next `start`.

        Raises:
            EngineError: the device failed.
        """
        self._stream.wait()
        return self._results.finish(self._stream, self._tiles)

    def _cut(self, run: Run) -> None:
        """Let the device cut some tiles to their places behind those that are there."""
        self._stream.after(run.slot.block.uploaded)
        run.slot.block.seen = True
        job = TileJob.from_buffer_copy(run.slot.job)
        job.input = TileInput(self._shape.table, self._shape.size, self._plan.half, self._shape.bgr)
        job.tiles = tiles_from(run.slot.job, run.first)
        job.out = self._input.address + self._tiles * self._bytes
        self._gpu.kernels.cut(self._stream, job, run.tiles)

    def _infer(self, count: int) -> None:
        """Run the model on so many tiles: itself the first time, from a record of it ever after."""
        graph = self._graphs.get(count)
        if graph is not None:
            graph.launch(self._stream)
            return
        self._set_count(self._context, count)
        self._enqueue()
        if count not in self._graphs:
            self._graphs[count] = self._recorded(count)

    def _recorded(self, count: int) -> Graph | None:
        """Return a graph of the call that was just put in; None where there can be none.

        TensorRT settles what it has put off in the first call of a size, so that one cannot be recorded itself.
        """
        if not self._can_record:
            return None
        self._stream.wait()
        try:
            return capture(self._gpu.cuda, self._stream, self._enqueue)
        except EngineError as error:
            self._plan.journal.take()  # a complaint about the recording is no reason of what fails later
            self._can_record = False
            logger.warning("graph_refused", tiles=count, error=str(error))
            return None

    def _enqueue(self) -> None:
        self._done(self._context.execute_async_v3(self._stream.handle), "inference")

    def _drop_context(self) -> None:
        self._context = None

    def _close_results(self) -> None:
        self._results.close()

    def _drop_graphs(self) -> None:
        while self._graphs:
            graph = self._graphs.popitem()[1]
            if graph is not None:
                graph.close()

    def close(self) -> None:
        """Free everything; not while a call is in flight. Idempotent."""
        self._owned.close()


class _Closeable(Protocol):
    def close(self) -> None:
        """Free it."""


_Made = TypeVar("_Made", bound=_Closeable)


def _owned(stack: ExitStack, made: _Made) -> _Made:
    """Leave the closing of something to a stack."""
    stack.callback(made.close)
    return made
