"""The whole program against its own bare engine: same model, same tiles, same clip, in turns, as ratios.

Prints, for each clip, frames/s and CPU seconds a frame of `tilewatch run` (start-up taken off by a run of one frame),
of the engine alone fed with the same tiles, and of the bound: decoding alone + engine alone + encoding alone, of which
the program may take 1.10 times the CPU time. Then one run's own table of where its time went (CPU is that of the
stage's thread; the engine's threads are not in it).

    python -m tests.bench.bench_run [--rounds 3] [--frames 60] [--model FILE]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import av
import numpy as np
from rich.console import Console
from rich.table import Table

from tests.support.data import data_path
from tests.support.mosaic import make_mosaic
from tests.support.program import command, environment
from tilewatch.engines import select
from tilewatch.engines.options import EngineOptions
from tilewatch.settings import TileSettings
from tilewatch.stages.tile import plan
from tilewatch.video.source import VideoSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tilewatch.engines.base import Slot
    from tilewatch.engines.model_engine import ModelEngine
    from tilewatch.records import Frame


CPU_BAR = 1.10
"""Most CPU time of the program, by that of the bound."""


class Cost(NamedTuple):
    """Seconds for one frame."""

    wall: float
    cpu: float


class Case(NamedTuple):
    """A clip and how it is cut."""

    name: str
    clip: Path
    full_frame: str
    frames: int


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--model", type=Path, default=data_path("models/yolov8n.onnx"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        hd = Path(folder) / "mosaic_1080p.mp4"
        make_mosaic(hd, columns=3, rows=2, frames=arguments.frames, size=(1920, 1080))
        cases = [
            Case("vtest.avi, whole frame at 640", data_path("clips/vtest.avi"), "only", arguments.frames * 4),
            Case("1080p mosaic, 4x2 tiles of 640", hd, "off", arguments.frames),
        ]
        for case in cases:
            show(case, [measure(case, arguments.model, Path(folder)) for _ in range(arguments.rounds)])
            print(stage_table(case, arguments.model, Path(folder)))


def measure(case: Case, model: Path, folder: Path) -> dict[str, Cost]:
    """Return one round: the program and its parts, one after the other."""
    frames = first_frames(case.clip, 8)
    return {
        "tilewatch run": run_program(case, options_of(case, model, folder)),
        "engine alone": bare_engine(frames, model, case.full_frame),
        "decode alone": bare_decode(case),
        "encode alone": bare_encode(frames),
    }


def options_of(case: Case, model: Path, folder: Path) -> tuple[object, ...]:
    """Return the options of a run."""
    return "--model", model, "--full-frame", case.full_frame, "--formats", "video,jsonl,mot", "-o", folder / "out"


def stage_table(case: Case, model: Path, folder: Path) -> str:
    """Return what `--profile` prints of a run."""
    options = (*options_of(case, model, folder), "--max-frames", case.frames, "--profile")
    told = subprocess.run(
        command("run", case.clip, *options), check=True, capture_output=True, text=True, env=environment(COLUMNS="100")
    )
    return told.stderr[told.stderr.index("where the time went") :]


def run_program(case: Case, options: tuple[object, ...]) -> Cost:
    """Return the cost of a frame of `tilewatch run`: many frames less one frame."""
    long, short = (
        process_cost(command("run", case.clip, "--max-frames", count, *options)) for count in (case.frames, 1)
    )
    steps = case.frames - 1
    return Cost((long.wall - short.wall) / steps, (long.cpu - short.cpu) / steps)


def process_cost(arguments: list[str]) -> Cost:
    """Return wall and CPU seconds of a process."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(arguments, check=True, capture_output=True, env=environment())
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def first_frames(clip: Path, count: int) -> list[Frame]:
    """Return the first frames of a clip."""
    source = VideoSource(clip, max_pixels=1 << 26)
    source.open()
    found = [frame for frame in (source.read() for _ in range(count)) if frame is not None]
    source.close()
    return found


def bare_engine(frames: list[Frame], model: Path, full_frame: str) -> Cost:
    """Return the cost of a frame's tiles when nothing but the engine runs, as full as it likes to be."""
    engine = select.choose("auto", model)(EngineOptions(model=model))
    engine.open()
    engine.warm_up()
    tiles = plan(frames[0].width, frames[0].height, TileSettings(full_frame=full_frame)).tiles
    slots = [engine.cut(frame, tiles) for frame in frames]
    parts = [(slot, row) for slot in slots for row in range(slot.count)]
    rounds = max(1, 160 // len(parts))
    cost = timed(lambda: feed(engine, parts * rounds))
    engine.close()
    return Cost(cost.wall / (rounds * len(frames)), cost.cpu / (rounds * len(frames)))


def feed(engine: ModelEngine, parts: Sequence[tuple[Slot, int]]) -> None:
    """Push tiles through, with the engine's own number of submits in flight."""
    size, flying = engine.feeding.batch, 0
    for start in range(0, len(parts), size):
        engine.submit(parts[start : start + size])
        flying += 1
        if flying == engine.feeding.in_flight:
            engine.collect()
            flying -= 1
    for _ in range(flying):
        engine.collect()


def bare_decode(case: Case) -> Cost:
    """Return the cost of decoding a frame."""
    source = VideoSource(case.clip, max_pixels=1 << 26)
    source.open()
    cost = timed(lambda: [source.read() for _ in range(case.frames - 1)])
    source.close()
    return Cost(cost.wall / case.frames, cost.cpu / case.frames)


def bare_encode(frames: list[Frame]) -> Cost:
    """Return the cost of encoding a frame at the program's default quality."""
    pictures = [av.VideoFrame(frame.width, frame.height, "yuv420p") for frame in frames]
    for picture, frame in zip(pictures, frames, strict=True):
        for plane, pixels in zip(picture.planes, (frame.y, frame.u, frame.v), strict=True):
            np.asarray(plane).reshape(plane.height, plane.line_size)[:, : plane.width] = pixels
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
    context.options = {"preset": "superfast", "crf": "23"}
    context.time_base = frames[0].time_base
    context.open()
    count = 5 * len(pictures)

    def encode() -> None:
        for index in range(count):
            pictures[index % len(pictures)].pts = index
            context.encode(pictures[index % len(pictures)])
        context.encode(None)

    cost = timed(encode)
    return Cost(cost.wall / count, cost.cpu / count)


def timed(work: Callable[[], object]) -> Cost:
    """Return wall and CPU seconds of a call, all threads of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def show(case: Case, rounds: list[dict[str, Cost]]) -> None:
    """Print the medians and the ratios, pair by pair within a round."""
    table = Table("what", title=f"{case.name}, {case.frames} frames, medians of {len(rounds)} rounds")
    for heading in ("frames/s", "CPU-ms a frame"):
        table.add_column(heading, justify="right")
    for name in rounds[0]:
        wall, cpu = (statistics.median(getattr(costs[name], kind) for costs in rounds) for kind in ("wall", "cpu"))
        table.add_row(name, f"{1 / wall:.2f}", f"{1000 * cpu:.1f}")
    speed = statistics.median(costs["engine alone"].wall / costs["tilewatch run"].wall for costs in rounds)
    parts = ("engine alone", "decode alone", "encode alone")
    cpu = statistics.median(costs["tilewatch run"].cpu / sum(costs[part].cpu for part in parts) for costs in rounds)
    table.add_row("frames/s of run / engine alone", f"{speed:.3f}", "", style="bold")
    table.add_row("CPU of run / bound", "", f"{cpu:.3f}", style="bold" if cpu <= CPU_BAR else "bold red")
    Console(width=100).print(table)
    print(
        json.dumps({"case": case.name, "speed_ratio": round(speed, 3), "cpu_of_bound": round(cpu, 3), "bar": CPU_BAR})
    )


if __name__ == "__main__":
    main()
