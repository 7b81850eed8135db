"""On an NVIDIA device: the bare engine, the whole pipeline, and the processor's time a frame.

1080p in 8 tiles of 640, everything written. Without `--model` the engine is built here from a small detector of the
test data, in the precision of its ONNX file.

    python -m tests.gpu.bench_gpu [--model FILE.engine] [--frames 600]
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tests.bench.bench_run import feed, first_frames
from tests.support.data import data_path
from tests.support.gpu import build, found
from tests.support.mosaic import make_mosaic
from tilewatch import app
from tilewatch.engines.options import EngineOptions
from tilewatch.engines.tensorrt import TensorRtEngine
from tilewatch.settings import TileSettings, load
from tilewatch.sinks.destinations import destinations
from tilewatch.stages.tile import plan

if TYPE_CHECKING:
    from tests.support.gpu import Gpu

SIZE = 640
WARM_FRAMES = 50


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--frames", type=int, default=600)
    arguments = parser.parse_args()
    gpu = found()
    if isinstance(gpu, str):
        Console().print(f"nothing measured: {gpu}")
        return
    with tempfile.TemporaryDirectory() as folder:
        engine = arguments.model or built(gpu, Path(folder))
        clip = Path(folder) / "mosaic.mp4"
        make_mosaic(clip, columns=3, rows=2, frames=arguments.frames, size=(1920, 1080))
        bare = engine_alone(engine, clip)
        wall, cpu = pipeline(engine, clip, Path(folder), arguments.frames)
    table = Table(f"{gpu.device.name}, TensorRT {gpu.trt.__version__}, {engine.name}", "measured")
    table.add_row("the engine alone, frames/s", f"{1 / bare:.1f}")
    table.add_row("the pipeline, frames/s", f"{1 / wall:.1f}")
    table.add_row("share of the engine's rate", f"{bare / wall:.3f}")
    table.add_row("CPU-ms a frame, decode and encode included", f"{1000 * cpu:.2f}")
    Console().print(table)


def built(gpu: Gpu, folder: Path) -> Path:
    """Return an engine built from the test data."""
    return build(gpu, data_path("models/yolov8n.onnx"), folder / "yolov8n.engine", {}, size=SIZE)


def engine_alone(engine: Path, clip: Path) -> float:
    """Return the seconds a frame's tiles take when nothing else runs; each frame uploaded and cut anew."""
    made = TensorRtEngine(EngineOptions(model=engine, size=SIZE))
    made.open()
    made.warm_up()
    frames = first_frames(clip, 8)
    tiles = plan(frames[0].width, frames[0].height, TileSettings(full_frame="off")).tiles
    slots = [made.cut(frame, tiles) for frame in frames]
    parts = [(slot, row) for slot in slots for row in range(slot.count)]
    feed(made, parts)
    rounds = 40
    began = time.perf_counter()
    feed(made, parts * rounds)
    seconds = time.perf_counter() - began
    made.close()
    return seconds / (rounds * len(frames))


def pipeline(engine: Path, clip: Path, folder: Path, frames: int) -> tuple[float, float]:
    """Return wall and CPU seconds a frame of the whole program: many frames less a few."""
    (long, short) = (one_run(engine, clip, folder / str(count), count) for count in (frames, WARM_FRAMES))
    steps = frames - WARM_FRAMES
    return (long[0] - short[0]) / steps, (long[1] - short[1]) / steps


def one_run(engine: Path, clip: Path, out: Path, frames: int) -> tuple[float, float]:
    """Process some frames and return wall and CPU seconds."""
    overrides = {"MODEL_PATH": engine, "BACKEND": "tensorrt", "TILE_FULL_FRAME": "off"}
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    options = app.RunOptions(max_frames=frames)
    assert asyncio.run(app.process(destinations([clip], out), load(overrides=overrides), options)) == 0
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
