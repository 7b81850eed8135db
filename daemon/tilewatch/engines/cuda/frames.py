"""Frames on the device: the planes of a frame go up once, in one copy, with the places of its tiles behind them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tilewatch.engines.cuda.layout import TILE_INTS, TileColour, TileJob, TilePlane
from tilewatch.engines.cuda.memory import SharedBuffer
from tilewatch.engines.cuda.stream import Event, Stream
from tilewatch.native import pixels

if TYPE_CHECKING:
    from tilewatch.engines.cuda.binding import Cuda
    from tilewatch.records import U8, Frame, Matrix, Tiles

ALIGNMENT = 256
"""Bytes; rows of tiles begin where any integer may."""


@dataclass(slots=True, eq=False)
class Block:
    """Room for one frame."""

    memory: SharedBuffer
    uploaded: Event
    seen: bool = True
    """Whether a call that has ended read the frame in it, which was therefore uploaded."""


class FrameSlot:
    """One frame on the device, and which of its tiles are wanted."""

    __slots__ = ("block", "count", "job")

    def __init__(self, block: Block, count: int, job: TileJob) -> None:
        self.block = block
        self.count = count
        """Number of its tiles."""
        self.job = job
        """Where planes and tiles lie on the device; the engine adds where they go."""


class FramePool:
    """Room for frames that goes round: as many as are out at once, each as large as was ever asked of it.

    `put` and `give` may be called from any thread: a deque's `pop` and `append` and a list's `append` are atomic, and
    CUDA's calls are safe.
    """

    def __init__(self, cuda: Cuda, *, integrated: bool) -> None:
        self._cuda = cuda
        self._integrated = integrated
        self._stream = Stream(cuda)
        self._free: deque[Block] = deque()
        self._all: list[Block] = []

    def put(self, frame: Frame, tiles: Tiles) -> FrameSlot:
        """Bring a frame to the device: one pass over its planes, one copy; does not wait for that.

        Raises:
            CudaError: no memory, or the device failed.
        """
        planes = _planes(frame)
        table = np.concatenate([tiles.rects, tiles.fitted], axis=1, dtype=np.int32)
        places, size = _places([*planes, table.view(np.uint8)])
        block = self._block(size)
        if len(tiles):
            for part, place in zip([*planes, table.view(np.uint8)], places, strict=True):
                np.copyto(block.memory.bytes[place : place + part.size].reshape(part.shape), part)
            block.memory.upload(self._stream, size)
            block.uploaded.record(self._stream)
            block.seen = False
        return FrameSlot(block, len(tiles), _job(frame, block.memory.address, places))

    def give(self, slot: FrameSlot) -> None:
        """Take a slot's room back; the slot must not be used any more."""
        self._free.append(slot.block)

    def _block(self, size: int) -> Block:
        try:
            block = self._free.pop()
        except IndexError:
            return self._made(size)
        if not block.seen:  # given back before its turn came: its copy may still be under way
            block.uploaded.wait()
        if block.memory.size >= size:
            return block
        _close(block)
        self._all.remove(block)
        return self._made(size)

    def _made(self, size: int) -> Block:
        memory = SharedBuffer(self._cuda, size, integrated=self._integrated)
        try:
            block = Block(memory, Event(self._cuda))
        except BaseException:
            memory.close()
            raise
        self._all.append(block)
        return block

    def close(self) -> None:
        """Free everything, also what is out. Idempotent."""
        try:
            while self._all:
                _close(self._all.pop())
        finally:
            self._free.clear()
            self._stream.close()


def _close(block: Block) -> None:
    try:
        block.uploaded.wait()
    finally:
        block.uploaded.close()
        block.memory.close()


def _planes(frame: Frame) -> list[U8]:
    """Return what has to be copied: luma and two planes of chroma, or one of both where they lie interleaved (NV12)."""
    u, v = frame.u, frame.v
    interleaved = u.strides == v.strides and u.strides[1] == 2 and _address(v) - _address(u) == 1  # noqa: PLR2004
    if not interleaved:
        return [frame.y, u, v]
    both = np.lib.stride_tricks.as_strided(u, (u.shape[0], 2 * u.shape[1]), (u.strides[0], 1), writeable=False)
    return [frame.y, both]


def _address(plane: U8) -> int:
    return int(plane.__array_interface__["data"][0])


def _places(parts: list[U8]) -> tuple[list[int], int]:
    """Return where each part begins, and how much room all take."""
    places, end = [], 0
    for part in parts:
        places.append(end)
        end += -(-part.size // ALIGNMENT) * ALIGNMENT
    return places, end


def _job(frame: Frame, base: int, places: list[int]) -> TileJob:
    """Return a job that says where everything lies on the device."""
    height, width = frame.y.shape
    rows, columns = frame.u.shape
    step = 2 if len(places) == 3 else 1  # noqa: PLR2004 -- luma, chroma, tiles
    second = base + places[1] + 1 if step == 2 else base + places[2]  # noqa: PLR2004
    return TileJob(
        y=TilePlane(base + places[0], width, 1, width, height),
        u=TilePlane(base + places[1], columns * step, step, columns, rows),
        v=TilePlane(second, columns * step, step, columns, rows),
        colour=_colour(frame.matrix, full_range=frame.full_range),
        tiles=base + places[-1],
    )


@lru_cache(maxsize=8)
def _colour(matrix: Matrix, *, full_range: bool) -> TileColour:
    return TileColour(*pixels.colour_terms(matrix, full_range=full_range).tolist())


def tiles_from(job: TileJob, row: int) -> int:
    """Return where a job's tiles begin on the device, counted from a row."""
    return int(job.tiles) + row * TILE_INTS * np.dtype(np.int32).itemsize
