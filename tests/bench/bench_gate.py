"""What the motion gate saves on fixed cameras, and what it costs: tiles, scores, frames/s, its own CPU time.

Prints, for vtest.avi in 5x4 tiles of 160 and for a 4K mosaic of which 14 of 20 cells stand still, the program with and
without the gate on the same frames, beside the bars; then the gate's CPU time for a frame of 1080p and of 4K.

    python -m tests.bench.bench_gate [--frames 795] [--mosaic-frames 300] [--model FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table

from tests.bench.bench_run import process_cost
from tests.support.data import data_path
from tests.support.mosaic import make_mosaic, truth
from tests.support.program import command
from tests.support.scoring import Tracking, read_mot, tracking
from tilewatch.motion.gate import MotionGate
from tilewatch.settings import TileSettings
from tilewatch.stages.tile import plan
from tilewatch.video.source import VideoSource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.support.mosaic import Person

POINTS = 0.5
"""What MOTA and IDF1 may lose."""


class Case(NamedTuple):
    """A clip, its people, and how it is cut."""

    name: str
    clip: Path
    people: Mapping[int, Sequence[Person]]
    frames: int
    options: tuple[object, ...]
    bar: float
    """How many times fewer tiles have to be inferred."""


class Result(NamedTuple):
    """One run."""

    inferred: int
    score: Tracking
    wall: float
    cpu: float
    """Seconds a frame, start-up included."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=795, help="of vtest.avi")
    parser.add_argument("--mosaic-frames", type=int, default=300, help="of the mosaic; 0 leaves it out")
    parser.add_argument("--model", type=Path, default=data_path("models/yolox_nano.onnx"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(Path(folder), arguments.frames, arguments.mosaic_frames):
            show(case, {gate: measure(case, gate, arguments.model, Path(folder)) for gate in ("off", "motion")})
    for name, size in (("1080p", (1920, 1080)), ("4K", (3840, 2160))):
        print(f"gate alone, {name}: {own_cost(*size):.2f} CPU-ms a frame")


def cases(folder: Path, frames: int, mosaic_frames: int) -> list[Case]:
    """Return what is measured."""
    counted = {index: [person for person in here if person.counted] for index, here in truth().items()}
    small = ("--tile-size", 160, "--tile-overlap", 8)
    found = [Case("vtest.avi, 5x4 tiles of 160", data_path("clips/vtest.avi"), counted, frames, small, 2.5)]
    if mosaic_frames:
        clip = folder / "mosaic.mp4"
        people = make_mosaic(clip, columns=5, rows=4, frames=mosaic_frames, still=14)
        scored = {index: [person for person in here if person.counted] for index, here in people.items()}
        found.append(Case("4K mosaic, 14 of 20 cells still, 7x5 tiles of 640", clip, scored, mosaic_frames, (), 3.0))
    return found


def measure(case: Case, gate: str, model: Path, folder: Path) -> Result:
    """Run the program once."""
    out = folder / f"{case.clip.stem}_{gate}"
    options = ("--model", model, "--classes", "0", "--formats", "mot", "--max-frames", case.frames, *case.options)
    cost = process_cost(command("run", case.clip, "-o", out, "--gate", gate, *options))
    result = out / case.clip.stem
    tiles = json.loads((result / "manifest.json").read_text())["accounts"]["tiles"]
    score = tracking(read_mot(result / "tracks.mot.txt"), case.people, case.frames)
    return Result(tiles["inferred"], score, cost.wall / case.frames, cost.cpu / case.frames)


def own_cost(width: int, height: int, frames: int = 40) -> float:
    """Return the CPU-ms the gate takes for a frame of a mosaic of that size in which people walk everywhere."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        make_mosaic(clip, columns=5, rows=4, frames=frames, size=(width, height))
        source = VideoSource(clip, max_pixels=1 << 26)
        source.open()
        settings, took = TileSettings(gate="motion"), []
        gate, tiles = MotionGate(settings), plan(width, height, settings).tiles
        while (frame := source.read()) is not None:
            started = time.thread_time()
            gate.choose(frame, tiles, None)
            took.append(1000 * (time.thread_time() - started))
        source.close()
    return statistics.median(took)


def show(case: Case, results: Mapping[str, Result]) -> None:
    """Print both runs, the ratios, and whether the bars are met."""
    table = Table("gate", title=f"{case.name}, {case.frames} frames")
    for heading in ("tiles inferred", "MOTA", "IDF1", "switches", "frames/s", "CPU-ms a frame"):
        table.add_column(heading, justify="right")
    for gate, (inferred, score, wall, cpu) in results.items():
        scores = f"{score.mota:.2f}", f"{score.idf1:.2f}", str(score.switches)
        table.add_row(gate, str(inferred), *scores, f"{1 / wall:.2f}", f"{1000 * cpu:.1f}")
    off, on = results["off"], results["motion"]
    ratio, lost = off.inferred / on.inferred, (off.score.mota - on.score.mota, off.score.idf1 - on.score.idf1)
    differences = f"{-lost[0]:+.2f}", f"{-lost[1]:+.2f}", ""
    table.add_row(
        "ratio", f"{ratio:.2f}x fewer", *differences, f"{off.wall / on.wall:.2f}x", f"{off.cpu / on.cpu:.2f}x"
    )
    Console(width=110).print(table)
    met = ratio >= case.bar and max(lost) <= POINTS
    print(f"bar: {case.bar}x fewer tiles, at most {POINTS} points lost: {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    main()
