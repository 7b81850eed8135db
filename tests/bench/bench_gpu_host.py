"""CPU time of a frame on the GPU path, with the device's calls played: everything but decode and encode.

1080p in 8 tiles of 640, 50 objects, one upload and one call a frame: cut, submit, collect, the executor, reading the
candidates, merge and ByteTrack, on the program's own lanes and channels. CPU time of the whole process, the playing of
the device included, so that a real one can only be cheaper by what it does not do on this side.

    python -m tests.bench.bench_gpu_host [--frames 300]
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from tests.support.model_device import engine_of, model_device
from tests.support.records import make_frame
from tilewatch.detector import open_detector
from tilewatch.flow.lane import Lane
from tilewatch.records import RawHeads
from tilewatch.settings import load
from tilewatch.stages.infer import infer
from tilewatch.stages.track import Tracker
from tilewatch.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.support.nvidia import Machine
    from tilewatch.detector import Detector
    from tilewatch.records import Frame, TileBatch

BAR_MS = 4.0
OBJECTS = 50
ROUNDS = 3


class Inbox:
    """Frames, cut as they are asked for: as fast as they are taken."""

    def __init__(self, detector: Detector, lane: Lane, frames: int) -> None:
        self._cut, self._lane, self._left = detector.cutter(), lane, frames
        self._frames = [_frame(index) for index in range(8)]

    async def ready_before(self, other: asyncio.Future[Any], /) -> bool:
        """There is always a frame."""
        return not other.done()

    def __aiter__(self) -> Inbox:
        """Return itself."""
        return self

    async def __anext__(self) -> TileBatch:
        """Return the next batch."""
        if not self._left:
            raise StopAsyncIteration
        self._left -= 1
        return await self._lane.call(self._cut, self._frames[self._left % len(self._frames)])


def _frame(index: int) -> Frame:
    """Return a frame of noise, whose planes are not in any cache."""
    frame = make_frame(index, width=1920, height=1080)
    rng = np.random.default_rng(index)
    for plane in (frame.y, frame.u, frame.v):
        plane[:] = rng.integers(16, 236, plane.shape, np.uint8)
    return frame


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=300)
    frames = parser.parse_args().frames
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        played = model_device(patch, objects=OBJECTS, seconds_per_tile=0.0)
        spent = asyncio.run(measure(played, engine_of(Path(folder)), frames))
    table = Table("1080p, 8 tiles, 50 objects", "CPU-ms a frame, best of 3", "bar")
    for name, milliseconds in spent.items():
        table.add_row(name, f"{milliseconds:.2f}", f"< {BAR_MS:.1f}" if name == "all" else "")
    Console().print(table)
    raise SystemExit(spent["all"] >= BAR_MS)


async def measure(played: Machine, engine: Path, frames: int) -> dict[str, float]:
    """Return the whole, and the parts by themselves."""
    settings = load(overrides={"MODEL_PATH": engine, "BACKEND": "tensorrt"})
    async with open_detector(settings, metrics.create()) as detector, Lane("tile") as cut, Lane("track") as track:
        assert played.trt.idle
        whole = [await _through(detector, cut, track, frames) for _ in range(ROUNDS)]
        parts = await cut.call(_parts, detector, frames)
    return {"all": min(whole), **parts}


async def _through(detector: Detector, cut: Lane, track: Lane, frames: int) -> float:
    """Return what a frame costs on its way from the planes to the tracks."""
    tracker = Tracker(detector.reader(), detector.settings)
    began = time.process_time()
    outbox = infer(Inbox(detector, cut, frames), detector.executor.client())
    done = await _count(outbox, track, tracker)
    assert done == frames
    return 1000 * (time.process_time() - began) / frames


async def _count(outbox: AsyncGenerator[Any, None], lane: Lane, tracker: Tracker) -> int:
    count = 0
    async for heads in outbox:
        tracks = await lane.call(tracker, heads)
        count += len(tracks.score) > 0
    return count


def _parts(detector: Detector, frames: int) -> dict[str, float]:
    """Return what the parts cost one after the other, on one thread."""
    engine, cutter, frame = detector.engine, detector.cutter(), _frame(0)
    tracker, reader = Tracker(detector.reader(), detector.settings), detector.reader()
    spent = dict.fromkeys(("cut and upload", "submit", "collect", "read the candidates", "read, merge and track"), 0.0)

    def timed(name: str, function: Any, *arguments: Any) -> Any:
        began = time.process_time()
        result = function(*arguments)
        spent[name] += 1000 * (time.process_time() - began) / frames
        return result

    for _ in range(frames):
        batch = timed("cut and upload", cutter, frame)
        timed("submit", engine.submit, [(batch.slot, row) for row in range(len(batch.tiles))])
        outputs = timed("collect", engine.collect)
        timed("read the candidates", reader, outputs)
        timed("read, merge and track", tracker, RawHeads(batch=batch, outputs=outputs))
        engine.release(batch.slot)
    return spent


if __name__ == "__main__":
    main()
