"""Memory of the device, and memory that both sides see.

A card has its own memory: what goes there starts in pinned memory of the processor, from which a copy runs beside
everything else. A Jetson has one memory for both: pinned memory is mapped, and nothing is copied at all.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np

from tilewatch.engines.cuda.binding import call

if TYPE_CHECKING:
    from tilewatch.engines.cuda.binding import Cuda
    from tilewatch.engines.cuda.stream import Stream
    from tilewatch.records import U8

LEGACY_STREAM = 0
"""The stream of calls that name none."""


class DeviceBuffer:
    """Memory that only the device sees."""

    def __init__(self, cuda: Cuda, size: int) -> None:
        """Take `size` bytes, at least one.

        Raises:
            DeviceMemoryError: there is not so much left.
        """
        self._runtime = cuda.runtime
        self.size = size
        self.address: int = call(self._runtime.cudaMalloc, max(size, 1))

    def fill(self, content: bytes) -> None:
        """Write its first bytes and wait for that; for what is written once.

        From pageable memory the copy may come back before it has arrived. It goes through the legacy stream, for which
        the program's streams do not wait: so that one is waited for.
        """
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        source = ctypes.create_string_buffer(content, len(content))
        call(self._runtime.cudaMemcpy, self.address, ctypes.addressof(source), len(content), kind)
        call(self._runtime.cudaStreamSynchronize, LEGACY_STREAM)

    def close(self) -> None:
        """Free it. Idempotent."""
        address, self.address = self.address, 0
        if address:
            call(self._runtime.cudaFree, address)


class PinnedBuffer:
    """Memory of the processor that a copy can reach while everything else goes on."""

    def __init__(self, cuda: Cuda, size: int, *, mapped: bool = False) -> None:
        """Take `size` bytes, at least one.

        Raises:
            DeviceMemoryError: there is not so much left.
        """
        self._runtime = cuda.runtime
        self.size = size
        flags = cuda.runtime.cudaHostAllocMapped if mapped else cuda.runtime.cudaHostAllocDefault
        self.address: int = call(self._runtime.cudaHostAlloc, max(size, 1), flags)
        self.bytes: U8 = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(self.address))
        """(size,) uint8; not to be touched after `close`."""

    def fetch(self, source: int, size: int, stream: Stream, at: int = 0) -> None:
        """Copy from the device's memory, in a stream."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        call(self._runtime.cudaMemcpyAsync, self.address + at, source, size, kind, stream.handle)

    def send(self, target: int, size: int, stream: Stream) -> None:
        """Copy to the device's memory, in a stream."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        call(self._runtime.cudaMemcpyAsync, target, self.address, size, kind, stream.handle)

    def close(self) -> None:
        """Free it. Idempotent."""
        address, self.address = self.address, 0
        if address:
            self.bytes = np.empty(0, np.uint8)
            call(self._runtime.cudaFreeHost, address)


class SharedBuffer:
    """Memory that the processor writes and the device reads, or the other way about."""

    def __init__(self, cuda: Cuda, size: int, *, integrated: bool) -> None:
        """Take `size` bytes on either side, or once for both where the memory is one.

        Raises:
            DeviceMemoryError: there is not so much left.
        """
        self.size = size
        self._runtime = cuda.runtime
        self._pinned = PinnedBuffer(cuda, size, mapped=integrated)
        self._device: DeviceBuffer | None = None
        try:
            if integrated:
                self.address: int = call(cuda.runtime.cudaHostGetDevicePointer, self._pinned.address, 0)
            else:
                self._device = DeviceBuffer(cuda, size)
                self.address = self._device.address
        except BaseException:
            self._pinned.close()
            raise

    @property
    def bytes(self) -> U8:
        """(size,) uint8: the processor's view; not to be touched after `close`."""
        return self._pinned.bytes

    def clear(self, stream: Stream, size: int) -> None:
        """Set the first bytes to 0 where the device sees them, in a stream."""
        call(self._runtime.cudaMemsetAsync, self.address, 0, size, stream.handle)

    def upload(self, stream: Stream, size: int) -> None:
        """Let the device see the first bytes, in a stream; nothing to do where the memory is one."""
        if self._device is not None:
            self._pinned.send(self.address, size, stream)

    def download(self, stream: Stream, size: int) -> None:
        """Let the processor see the first bytes once the stream has come so far."""
        if self._device is not None:
            self._pinned.fetch(self.address, size, stream)

    def close(self) -> None:
        """Free both sides. Idempotent."""
        device, self._device = self._device, None
        try:
            if device is not None:
                device.close()
        finally:
            self._pinned.close()
