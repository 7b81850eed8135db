"""CUDA graphs: what was put into a stream once, launched again by a single call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tilewatch.engines.cuda.binding import CudaError, call

if TYPE_CHECKING:
    from collections.abc import Callable

    from tilewatch.engines.cuda.binding import Cuda
    from tilewatch.engines.cuda.stream import Stream


class Graph:
    """Recorded work; its shapes and addresses are those of the recording."""

    def __init__(self, cuda: Cuda, work: Any) -> None:  # noqa: ANN401 -- the runtime's own handle
        self._runtime = cuda.runtime
        self._work: Any = work

    def launch(self, stream: Stream) -> None:
        """Put the work into a stream."""
        call(self._runtime.cudaGraphLaunch, self._work, stream.handle)

    def close(self) -> None:
        """Free it. Idempotent."""
        work, self._work = self._work, None
        if work is not None:
            call(self._runtime.cudaGraphExecDestroy, work)


def capture(cuda: Cuda, stream: Stream, work: Callable[[], None]) -> Graph:
    """Record what a function puts into a stream, without doing it.

    Raises:
        CudaError: the work cannot be recorded (it waits for the device, or allocates); the stream can be used again.
    """
    runtime = cuda.runtime
    mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
    call(runtime.cudaStreamBeginCapture, stream.handle, mode)
    try:
        work()
    except BaseException:
        _abandon(cuda, stream)
        raise
    recorded = _ended(cuda, stream)
    try:
        return Graph(cuda, call(runtime.cudaGraphInstantiate, recorded, 0))
    finally:
        call(runtime.cudaGraphDestroy, recorded)


def _ended(cuda: Cuda, stream: Stream) -> Any:  # noqa: ANN401 -- the runtime's own handle
    """End a recording and return it; where that fails, nobody finds the error later and takes it for his own."""
    try:
        return call(cuda.runtime.cudaStreamEndCapture, stream.handle)
    except CudaError:
        cuda.runtime.cudaGetLastError()
        raise


def _abandon(cuda: Cuda, stream: Stream) -> None:
    """End a recording that failed, so that the stream can be used again."""
    try:
        recorded = _ended(cuda, stream)
    except CudaError:  # what failed had already ended it
        return
    if recorded is not None:
        call(cuda.runtime.cudaGraphDestroy, recorded)
