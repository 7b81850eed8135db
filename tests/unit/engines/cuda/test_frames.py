"""Frames on the device: whatever their planes look like, one copy brings them up, and the kernel finds them."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.engine_contract import tiles_of
from tests.support.fake_cuda import FakeCuda, cudaError_t
from tests.support.records import make_frame
from tilewatch.engines.cuda.binding import CudaError, load
from tilewatch.engines.cuda.frames import FramePool, tiles_from
from tilewatch.engines.cuda.layout import TileInput, TileJob
from tilewatch.native import _pixels, pixels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tilewatch.records import U8, Frame

SIDE = 24
TILES = tiles_of(np.array([[0, 0, 24, 24], [7, 3, 31, 20]], np.int32))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """A card."""
    made = FakeCuda()
    made.install(monkeypatch)
    return made


@pytest.fixture
def pool(fake: FakeCuda) -> Iterator[FramePool]:
    """A pool that leaves nothing behind."""
    made = FramePool(load(), integrated=False)
    yield made
    made.close()
    made.close()
    assert fake.leaks() == []


def noise(kind: str, width: int = 37, height: int = 25) -> Frame:
    """Return a frame of noise with its chroma as two planes, interleaved, or spaced for another reason."""
    rng = np.random.default_rng(0)
    rows, columns = (height + 1) // 2, (width + 1) // 2
    both = rng.integers(0, 256, (rows, columns, 2), np.uint8)
    apart: U8 = rng.integers(0, 256, (2, rows, columns, 2), np.uint8)
    chroma = {
        "planes": (both[..., 0].copy(), both[..., 1].copy()),
        "NV12": (both[..., 0], both[..., 1]),
        "NV21": (both[..., 1], both[..., 0]),
        "spaced": (apart[0, ..., 0], apart[1, ..., 0]),
    }[kind]
    padded = rng.integers(0, 256, (height, width + 11), np.uint8)[:, :width]
    return replace(make_frame(width=width, height=height), y=padded, u=chroma[0], v=chroma[1])


@pytest.mark.parametrize("kind", ["planes", "NV12", "NV21", "spaced"])
def test_planes_arrive_whatever_they_look_like(fake: FakeCuda, pool: FramePool, kind: str) -> None:
    """In one copy; what is cut on the device is what the processor cuts."""
    frame = noise(kind)
    fake.names()
    slot = pool.put(frame, TILES)
    assert fake.names().count("cudaMemcpyAsync") == 1
    table = np.tile(np.arange(256, dtype=np.float32), 3)
    out = np.zeros((2, 3, SIDE, SIDE), np.float32)
    job = TileJob.from_buffer_copy(slot.job)
    job.input = TileInput(table.ctypes.data, SIDE, 0, 0)
    job.out, job.tiles = out.ctypes.data, tiles_from(slot.job, 0)
    _pixels.run_job(ctypes.addressof(job), 2)
    expected = np.zeros((2, SIDE, SIDE, 3), np.uint8)
    pixels.cut_tiles(
        frame.y, frame.u, frame.v, TILES.rects, TILES.fitted, expected, full_range=False, matrix=frame.matrix
    )
    assert np.array_equal(out, expected.transpose(0, 3, 1, 2))


def test_room_goes_round_and_grows(fake: FakeCuda, pool: FramePool) -> None:
    """One that came back is used again; a larger frame gets a larger one, and the small one is given back."""
    first = pool.put(noise("planes"), TILES)
    pool.give(first)
    again = pool.put(noise("planes"), TILES)
    assert again.block is first.block
    pool.give(again)
    before = len(fake.memory)
    larger = pool.put(noise("planes", 200, 100), TILES)
    assert larger.block is not first.block
    assert len(fake.memory) == before


def test_half_made_room_is_given_back(fake: FakeCuda, pool: FramePool) -> None:
    """The memory, where there is no event to go with it."""
    fake.failures["cudaEventCreateWithFlags"] = cudaError_t.cudaErrorMemoryAllocation
    with pytest.raises(CudaError, match="cudaEventCreateWithFlags"):
        pool.put(noise("planes"), TILES)
    assert fake.memory == {}
