"""How a call's results come down: the model's own outputs, or only the candidates in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from tilewatch.engines.cuda.layout import ROW, HeadFilter
from tilewatch.engines.cuda.memory import DeviceBuffer, PinnedBuffer, SharedBuffer
from tilewatch.engines.tensorrt.candidates import used

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.engines.cuda.stream import Stream
    from tilewatch.engines.tensorrt.candidates import Layout
    from tilewatch.engines.tensorrt.gpu import Gpu
    from tilewatch.engines.tensorrt.outputs import Output
    from tilewatch.records import F32

FLOAT_BYTES = 4
ROOM = 512
"""Candidates of a tile that there is room for at first; more make more room."""
ALIGNMENT = 256


class Results(Protocol):
    """One way of getting results."""

    def start(self, stream: Stream, tiles: int, floor: float) -> None:
        """Put into the stream, behind the inference, what brings the results down."""

    def finish(self, stream: Stream, tiles: int) -> tuple[F32, ...]:
        """Return (n, ...) float32 arrays once the stream is done; valid until the next `start`."""

    def close(self) -> None:
        """Free everything. Idempotent."""


class RawResults:
    """The model's own outputs, all of them."""

    def __init__(self, gpu: Gpu, outputs: Sequence[Output]) -> None:
        self._gpu = gpu
        self._outputs = outputs
        self._pinned: dict[str, PinnedBuffer] = {}

    def start(self, stream: Stream, tiles: int, floor: float) -> None:
        """Copy every output whose size is known."""
        del floor
        for output in self._outputs:
            if output.known:
                self._fetch(stream, output, output.bytes_of(tiles))

    def finish(self, stream: Stream, tiles: int) -> tuple[F32, ...]:
        """Copy the others, and return all as float32."""
        late = [output for output in self._outputs if not output.known]
        for output in late:
            self._fetch(stream, output, output.bytes_of(tiles))
        if late:
            stream.wait()
        return tuple(self._array(output, tiles) for output in self._outputs)

    def _fetch(self, stream: Stream, output: Output, size: int) -> None:
        there = self._pinned.get(output.name)
        if there is None or there.size < size:
            if there is not None:
                there.close()
            there = self._pinned[output.name] = PinnedBuffer(self._gpu.cuda, size)
        there.fetch(output.address, size, stream)

    def _array(self, output: Output, tiles: int) -> F32:
        there = self._pinned[output.name].bytes[: output.bytes_of(tiles)]
        array = there.view(output.dtype).reshape(output.shape_of(tiles))
        return array.astype(np.float32, copy=False)

    def close(self) -> None:
        """Free the processor's side. Idempotent."""
        while self._pinned:
            self._pinned.popitem()[1].close()


class PickedResults:
    """The candidates of the only output: counts and rows of all tiles, in one copy."""

    def __init__(self, gpu: Gpu, output: Output, layout: Layout, batch: int, room: int = ROOM) -> None:
        self._gpu = gpu
        self._output = output
        self._layout = layout
        self._batch = batch
        self._floor = 0.0
        self._grid: DeviceBuffer | None = None
        self._room = min(room, layout.anchors)
        self._shared = self._made(self._room)
        try:
            if layout.grid is not None:
                self._grid = DeviceBuffer(gpu.cuda, layout.grid.nbytes)
                self._grid.fill(np.ascontiguousarray(layout.grid, np.float32).tobytes())
        except BaseException:
            self.close()
            raise

    @property
    def _rows_at(self) -> int:
        """Bytes before the rows: the counts."""
        return -(-FLOAT_BYTES * self._batch // ALIGNMENT) * ALIGNMENT

    def _made(self, room: int) -> SharedBuffer:
        size = self._rows_at + self._batch * room * ROW * FLOAT_BYTES
        return SharedBuffer(self._gpu.cuda, size, integrated=self._gpu.device.integrated)

    def start(self, stream: Stream, tiles: int, floor: float) -> None:
        """Pick the candidates and copy as many rows as there is room for."""
        self._floor = floor
        self._shared.clear(stream, FLOAT_BYTES * self._batch)
        self._gpu.kernels.filter(stream, self._task(floor), tiles)
        self._shared.download(stream, self._rows_at + tiles * self._room * ROW * FLOAT_BYTES)

    def finish(self, stream: Stream, tiles: int) -> tuple[F32, ...]:
        """Return (n, K, 8) rows; where there was no room for all, make it and pick once more."""
        counts = self._counts(tiles)
        if max(counts) > self._room:
            self._grow(max(counts))
            self.start(stream, tiles, self._floor)
            stream.wait()
            counts = self._counts(tiles)
        rows = self._shared.bytes[self._rows_at :][: tiles * self._room * ROW * FLOAT_BYTES]
        return (used(rows.view(np.float32).reshape(tiles, self._room, ROW), counts),)

    def _counts(self, tiles: int) -> list[int]:
        counts: list[int] = self._shared.bytes[: FLOAT_BYTES * tiles].view(np.int32).tolist()
        return counts

    def _grow(self, least: int) -> None:
        room = min(2 * least, self._layout.anchors)
        larger = self._made(room)
        self._shared.close()
        self._shared, self._room = larger, room

    def _task(self, floor: float) -> HeadFilter:
        layout = self._layout
        return HeadFilter(
            output=self._output.address,
            grid=self._grid.address if self._grid else None,
            rows=self._shared.address + self._rows_at,
            counts=self._shared.address,
            tile_step=layout.tile_step,
            anchor_step=layout.anchor_step,
            value_step=layout.value_step,
            anchors=layout.anchors,
            classes=layout.classes,
            objectness=layout.objectness,
            room=self._room,
            threshold=floor,
        )

    def close(self) -> None:
        """Free both sides. Idempotent."""
        if self._grid is not None:
            self._grid.close()
        self._shared.close()
