"""CPU milliseconds of the merge against plain suppression, on the same boxes: ours does the whole seam logic.

python -m tests.bench.bench_merge [--rounds 15] [--peers PYTHON]

The boxes are what the tiles of a 4K frame report of objects of 20 to 80 pixels in 80 classes: sparse is each object
once a tile, crowded twelve candidates a look. Every round measures a burst of calls of every program, one program
after the other, on other boxes than the round before; the table has the medians. `--peers` names an interpreter with
torch and any of torchvision, sahi, supervision and ultralytics (their licences are not ours: keep them in an
environment of their own).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from tests.bench.bench_core import seen_by_tiles
from tests.bench.merge_peers import THRESHOLD, cpu_ms
from tilewatch.native.merge import merge_tiles
from tilewatch.native.room import Room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tilewatch.records import F32, I16, I32, Tiles

    Measure = Callable[[str, int], float]

SCENES = 5
"""Different boxes, in turn."""
SLOW = 300.0
"""Milliseconds beyond which a program is measured twice only."""
OURS, OPENCV = "tilewatch, seams and all", "cv2.dnn.NMSBoxesBatched"


class Seen(NamedTuple):
    """The arguments of `merge_tiles`."""

    xyxy: F32
    score: F32
    label: I32
    tile: I16
    tiles: Tiles


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--peers", type=Path, help="an interpreter that has further peers")
    given = parser.parse_args()
    scenes = {
        f"{count} {kind}": [
            Seen(*seen_by_tiles(count, (3840, 2160), candidates, classes=80, seed=seed)) for seed in range(SCENES)
        ]
        for count, (kind, candidates) in product((1000, 10_000), (("sparse", 1), ("crowded", 12)))
    }
    with peers(given.peers, scenes) as others:
        show(scenes, {OURS: ours(scenes), OPENCV: opencv(scenes), **others}, given.rounds)


def show(scenes: dict[str, list[Seen]], programs: dict[str, Measure], rounds: int) -> None:
    """Print the median of each program in each case, and how many times ours that is."""
    table = Table("CPU ms a frame", *scenes)
    medians = {case: measure(programs, case, rounds) for case in scenes}
    for name in programs:
        cells = (f"{row[name]:.3f} ({row[name] / row[OURS]:.1f}x)" for row in medians.values())
        table.add_row(name, *cells)
    Console(width=140).print(table)


def measure(programs: dict[str, Measure], case: str, rounds: int) -> dict[str, float]:
    """Return each program's median over interleaved rounds, the first of which does not count."""
    took: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(rounds + 1):
        for name, program in programs.items():
            if number < 2 or took[name][-1] < SLOW:
                took[name].append(program(case, number % SCENES))
    return {name: float(np.median(times[1:])) for name, times in took.items()}


def ours(scenes: dict[str, list[Seen]]) -> Measure:
    """Return how to measure one merge."""
    room = Room()
    return lambda case, number: cpu_ms(lambda: merge_tiles(*scenes[case][number], iou_threshold=THRESHOLD, room=room))


def opencv(scenes: dict[str, list[Seen]]) -> Measure:
    """Return how to measure one suppression by OpenCV."""
    cv2.setNumThreads(1)

    def program(case: str, number: int) -> float:
        seen = scenes[case][number]
        corners: Any = np.hstack([seen.xyxy[:, :2], seen.xyxy[:, 2:] - seen.xyxy[:, :2]]).astype(np.float64)
        score: Any = seen.score
        label: Any = seen.label
        return cpu_ms(lambda: cv2.dnn.NMSBoxesBatched(corners, score, label, 0.0, THRESHOLD))

    return program


@contextmanager
def peers(python: Path | None, scenes: dict[str, list[Seen]]) -> Iterator[dict[str, Measure]]:
    """Start the interpreter that has the other peers; yield how to measure each."""
    if python is None:
        yield {}
        return
    with tempfile.TemporaryDirectory() as folder:
        arrays = {
            f"{case}/{number}/{column}": getattr(seen, column)
            for case, row in scenes.items()
            for number, seen in enumerate(row)
            for column in ("xyxy", "score", "label")
        }
        np.savez(f"{folder}/cases.npz", **arrays)
        script = Path(__file__).with_name("merge_peers.py")
        command = [str(python), str(script), f"{folder}/cases.npz"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            yield {name: asking(process, name) for name in json.loads(heard(process))}
            process.terminate()


def asking(process: subprocess.Popen[str], name: str) -> Measure:
    """Return how to measure one call of a peer."""

    def program(case: str, number: int) -> float:
        assert process.stdin
        process.stdin.write(json.dumps([name, case, number]) + "\n")
        process.stdin.flush()
        return float(json.loads(heard(process)))

    return program


def heard(process: subprocess.Popen[str]) -> str:
    """Return the next line of JSON; what libraries print on the way is passed over."""
    assert process.stdout
    for line in process.stdout:
        if line.startswith("[") or line[:1].isdigit():
            return line
    message = f"the peers' interpreter ended with {process.wait()}: see its messages above"
    raise SystemExit(message)


if __name__ == "__main__":
    main()
