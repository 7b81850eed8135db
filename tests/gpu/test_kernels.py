"""The kernels on a real device against the same source on the processor: the same bytes."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.gpu import gpu_or_skip
from tilewatch.engines.cuda.kernels import Kernels
from tilewatch.engines.cuda.layout import ROW, HeadFilter, TileColour, TileInput, TileJob, TilePlane
from tilewatch.engines.cuda.memory import DeviceBuffer, PinnedBuffer
from tilewatch.engines.cuda.stream import Stream
from tilewatch.engines.heads import Columns, Grid, Rows, grid_of
from tilewatch.engines.tensorrt.candidates import layout_of
from tilewatch.native import _heads, _pixels, pixels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.gpu import Gpu
    from tilewatch.engines.heads import Head

SIDE = 320


class Bench:
    """The kernels, and arrays on both sides."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self.kernels = Kernels(gpu.cuda, gpu.device)
        self.stream = Stream(gpu.cuda)
        self._buffers: list[DeviceBuffer] = []

    def there(self, array: np.ndarray) -> int:
        """Return the address of a copy on the device."""
        buffer = DeviceBuffer(self._gpu.cuda, array.nbytes)
        self._buffers.append(buffer)
        buffer.fill(array.tobytes())
        return buffer.address

    def back(self, address: int, like: np.ndarray) -> np.ndarray:
        """Return what lies on the device, in the shape of an array."""
        here = PinnedBuffer(self._gpu.cuda, like.nbytes)
        here.fetch(address, like.nbytes, self.stream)
        self.stream.wait()
        copy: np.ndarray = here.bytes.view(like.dtype).reshape(like.shape).copy()
        here.close()
        return copy

    def close(self) -> None:
        """Free everything."""
        for buffer in self._buffers:
            buffer.close()
        self.kernels.close()
        self.stream.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    """The device."""
    made = Bench(gpu_or_skip())
    yield made
    made.close()


@pytest.mark.parametrize("half", [False, True], ids=["float", "half"])
@pytest.mark.parametrize("nv12", [False, True], ids=["I420", "NV12"])
def test_device_cuts_the_bytes_the_processor_cuts(bench: Bench, half: bool, nv12: bool) -> None:
    """A 1080p frame of noise: tiles at their own size, enlarged, reduced, and the whole frame."""
    rng = np.random.default_rng(1)
    height, width = 1080, 1920
    y, both = (
        rng.integers(0, 256, (height, width), np.uint8),
        rng.integers(0, 256, (height // 2, width // 2, 2), np.uint8),
    )
    chroma = both if nv12 else np.ascontiguousarray(both.transpose(2, 0, 1))
    tiles = np.array(
        [[0, 0, 320, 320, 320, 320], [1600, 760, 1920, 1080, 320, 320], [101, 77, 201, 277, 160, 320],
         [0, 0, 1920, 1080, 320, 180], [7, 3, 647, 643, 320, 320]], np.int32,
    )  # fmt: skip
    kind = np.float16 if half else np.float32
    table, out = rng.random((3, 256)).astype(kind), np.zeros((len(tiles), 3, SIDE, SIDE), kind)

    def job(y_at: int, chroma_at: int, table_at: int, tiles_at: int, out_at: int) -> TileJob:
        step, second = (2, 1) if nv12 else (1, height * width // 4)
        u, v = (
            TilePlane(chroma_at + offset, width // 2 * step, step, width // 2, height // 2) for offset in (0, second)
        )
        return TileJob(
            y=TilePlane(y_at, width, 1, width, height),
            u=u,
            v=v,
            colour=TileColour(*pixels.colour_terms("bt709", full_range=False).tolist()),
            input=TileInput(table_at, SIDE, half, 0),
            tiles=tiles_at,
            out=out_at,
        )

    here = job(*(array.ctypes.data for array in (y, chroma, table, tiles, out)))
    _pixels.run_job(ctypes.addressof(here), len(tiles))
    places = [bench.there(array) for array in (y, chroma, table, tiles, np.zeros_like(out))]
    bench.kernels.cut(bench.stream, job(*places), len(tiles))
    assert np.array_equal(bench.back(places[-1], out).view(np.uint8), out.view(np.uint8))


@pytest.mark.parametrize(
    "head",
    [Columns(80), Columns(80, transposed=True), Rows(80), Grid(80, 640, variant="raw", grid=grid_of(640, 8400))],
    ids=["columns", "transposed", "rows", "grid"],
)
def test_device_picks_the_candidates_the_processor_picks(bench: Bench, head: Head) -> None:
    """The same rows to the bit, in some order; one above the room is counted and left out."""
    rng = np.random.default_rng(2)
    width = 84 if isinstance(head, Columns) else 85
    output = rng.random((3, 8400, width), np.float32)
    output[..., 4:] **= 40
    output[..., :4] = rng.normal(0, 3, (3, 8400, 4))
    if isinstance(head, Columns) and not head.transposed:
        output = np.ascontiguousarray(output.transpose(0, 2, 1))
    layout = layout_of(head, output.shape[1:])
    assert layout is not None
    rows, counts = np.zeros((3, 8400, ROW), np.float32), np.zeros(3, np.int32)
    grid = np.zeros(1, np.float32) if layout.grid is None else layout.grid

    def task(output_at: int, grid_at: int, rows_at: int, counts_at: int) -> HeadFilter:
        return HeadFilter(
            output=output_at, grid=None if layout.grid is None else grid_at, rows=rows_at, counts=counts_at,
            tile_step=layout.tile_step, anchor_step=layout.anchor_step, value_step=layout.value_step,
            anchors=layout.anchors, classes=layout.classes, objectness=layout.objectness, room=8400, threshold=0.3,
        )  # fmt: skip

    here = task(*(array.ctypes.data for array in (output, grid, rows, counts)))
    _heads.run_filter(ctypes.addressof(here), 3)
    places = [bench.there(array) for array in (output, grid, np.zeros_like(rows), np.zeros_like(counts))]
    bench.kernels.filter(bench.stream, task(*places), 3)
    picked, found = bench.back(places[2], rows), bench.back(places[3], counts)
    assert counts.min() > 0
    assert found.tolist() == counts.tolist()
    for tile, count in enumerate(counts):
        mine = picked[tile, :count]
        assert np.array_equal(mine[np.argsort(mine[:, 6])], rows[tile, :count])
