"""Streams, in which work is done in order, and events, by which one waits for another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilewatch.engines.cuda.binding import call

if TYPE_CHECKING:
    from tilewatch.engines.cuda.binding import Cuda


class Event:
    """A point in a stream."""

    def __init__(self, cuda: Cuda) -> None:
        self._runtime = cuda.runtime
        self._event = call(self._runtime.cudaEventCreateWithFlags, self._runtime.cudaEventDisableTiming)
        self._recorded = False

    @property
    def handle(self) -> object:
        """The runtime's own handle."""
        return self._event

    def record(self, stream: Stream) -> None:
        """Mark what has been put into a stream so far."""
        call(self._runtime.cudaEventRecord, self._event, stream.handle)
        self._recorded = True

    def wait(self) -> None:
        """Wait until the marked work is done; at once when nothing was marked.

        Under cuda-python 12.6 the GIL is held meanwhile: only for work of less than a millisecond.
        """
        if self._recorded:
            call(self._runtime.cudaEventSynchronize, self._event)

    def close(self) -> None:
        """Free it. Idempotent."""
        event, self._event, self._recorded = self._event, None, False
        if event is not None:
            call(self._runtime.cudaEventDestroy, event)


class Stream:
    """Work in order, beside that of other streams."""

    def __init__(self, cuda: Cuda) -> None:
        self._runtime = cuda.runtime
        self._stream = call(self._runtime.cudaStreamCreateWithFlags, self._runtime.cudaStreamNonBlocking)
        self.handle = int(self._stream)
        """Its address: what TensorRT and every call of CUDA take."""

    def after(self, event: Event) -> None:
        """Let what is put in from now on wait for an event of another stream; the processor does not wait."""
        call(self._runtime.cudaStreamWaitEvent, self.handle, event.handle, 0)

    def wait(self) -> None:
        """Wait until all that was put in is done; releases the GIL.

        Raises:
            CudaError: something of it failed.
        """
        call(self._runtime.cudaStreamSynchronize, self.handle)

    def close(self) -> None:
        """Free it; what it still does is done. Idempotent."""
        stream, self._stream = self._stream, None
        if stream is not None:
            call(self._runtime.cudaStreamDestroy, stream)
