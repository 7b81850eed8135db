"""One call in flight: execution contexts with their stream, their memory and their graphs."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from tilewatch.engines.cuda.binding import DeviceMemoryError
from tilewatch.engines.cuda.frames import tiles_from
from tilewatch.engines.cuda.graph import Graph, capture
from tilewatch.engines.cuda.layout import TileInput, TileJob
from tilewatch.engines.cuda.memory import DeviceBuffer
from tilewatch.engines.cuda.stream import Stream
from tilewatch.engines.tensorrt.contexts import Contexts
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
        self._filled_up: set[int] = set()
        self._tiles = 0
        with ExitStack() as owned:
            self._stream = _owned(owned, Stream(gpu.cuda))
            self._bytes = PLANES * shape.size**2 * (2 if plan.half else 4)
            self._input = _owned(owned, DeviceBuffer(gpu.cuda, self._bytes * shape.batch))
            item = (PLANES, shape.size, shape.size)
            self._contexts = _owned(owned, Contexts(gpu.cuda, plan, self._stream, item, self._input.address))
            self._contexts.of(shape.batch)
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

    def _made_output(self, owned: ExitStack, index: int) -> Output:
        tensor = self._plan.outputs[index]
        shape = tuple(self._contexts.of(self._shape.batch).get_tensor_shape(tensor.name))
        output = _owned(owned, Output(self._gpu.cuda, self._plan, tensor, shape))
        self._contexts.bind(output)
        return output

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
        self._infer(self._served(max(self._tiles, self._plan.least)))
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
        self._enqueue(count)
        if count not in self._graphs:
            self._graphs[count] = self._recorded(count)

    def _served(self, count: int) -> int:
        """Return for how many tiles the model is run: a full batch where there is no memory for one more context."""
        if count in self._filled_up:
            return self.batch
        try:
            self._contexts.of(count)
        except DeviceMemoryError as error:
            self._filled_up.add(count)
            logger.warning("batch_filled_up", tiles=count, computed=self.batch, error=str(error))
            return self.batch
        return count

    def _recorded(self, count: int) -> Graph | None:
        """Return a graph of the call that was just put in; None where there can be none.

        TensorRT settles what it has put off in the first call of a size, so that one cannot be recorded itself.
        """
        if not self._can_record:
            return None
        self._stream.wait()
        try:
            return capture(self._gpu.cuda, self._stream, partial(self._enqueue, count))
        except EngineError as error:
            self._plan.journal.take()  # a complaint about the recording is no reason of what fails later
            self._can_record = False
            logger.warning("graph_refused", tiles=count, error=str(error))
            return None

    def _enqueue(self, count: int) -> None:
        if not self._contexts.of(count).execute_async_v3(self._stream.handle):
            raise self._plan.journal.failure("inference")

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
