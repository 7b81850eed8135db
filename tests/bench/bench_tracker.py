"""ByteTrack's update against other trackers on the same made-up crowds, in turns: medians in ms a frame, and ratios.

Ours follows the camera, which the others do not; all have one thread. Peers (ultralytics' BYTETracker, trackers'
ByteTrackTracker) need an environment of their own, made by `pip install ultralytics lap trackers`; PYTHON is its
interpreter.

    python -m tests.bench.bench_tracker [--peers PYTHON] [--rounds 5] [--frames 120]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.support.crowd import Crowd
from tests.support.program import environment
from tilewatch.native.bytetrack import ByteTrack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tilewatch.records import F32, I32

PEERS = ("ultralytics", "trackers")
PEER_PROGRAM = Path(__file__).with_name("tracker_peers.py")
SIZES = (20, 100, 500)
BAR = {100: 0.3}
"""Most milliseconds, by size."""
TIMES = 10
"""How much faster than every peer, at least."""
WARM_UP = 10
"""Frames before it counts."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, help="python of an environment with ultralytics, lap and trackers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=120)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, peers(arguments.peers) as ask:
        found = {size: interleaved(size, arguments, Path(folder), ask) for size in SIZES}
    show(found, arguments.rounds)


@contextmanager
def peers(python: Path | None) -> Iterator[Callable[[str, Path], list[float]] | None]:
    """Run the peers' program while the block runs; gives what asks it for the times of a peer on a file."""
    if python is None:
        yield None
        return
    command = [python, PEER_PROGRAM]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(PYTHONPATH="", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1"),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked, answers = process.stdin, process.stdout

        def ask(name: str, path: Path) -> list[float]:
            print(name, path, file=asked, flush=True)
            times: list[float] = json.loads(answers.readline())
            return times

        yield ask
        process.stdin.close()


def interleaved(
    size: int, arguments: argparse.Namespace, folder: Path, ask: Callable[[str, Path], list[float]] | None
) -> dict[str, float]:
    """Return each one's median over the rounds of its median update."""
    crowd = Crowd(people=size, missed=0.05, sway=4.0, width=int(350 * size**0.5))
    scenes = [crowd.frame(frame) for frame in range(arguments.frames)]
    path = folder / f"{size}.npz"
    xyxy, score, label = (np.concatenate(parts) for parts in zip(*scenes, strict=True))
    np.savez(path, xyxy=xyxy, score=score, label=label, count=[len(scene[1]) for scene in scenes])
    rounds: dict[str, list[float]] = {name: [] for name in ("tilewatch", *(PEERS if ask else ()))}
    for _ in range(arguments.rounds):
        for name, medians in rounds.items():
            times = ask(name, path) if ask and name in PEERS else ours(scenes)
            medians.append(statistics.median(times[WARM_UP:]))
    return {name: statistics.median(medians) for name, medians in rounds.items()}


def ours(scenes: list[tuple[F32, F32, I32]]) -> list[float]:
    """Return the milliseconds of every update, at 30 frames/s."""
    tracker, took = ByteTrack(), []
    for frame, scene in enumerate(scenes):
        start = time.perf_counter()
        tracker.update(*scene, frame / 30)
        took.append(1e3 * (time.perf_counter() - start))
    return took


def show(found: dict[int, dict[str, float]], rounds: int) -> None:
    """Print the table; a bar that is missed is red."""
    table = Table("objects", title=f"tracker update, ms a frame, medians of {rounds} interleaved rounds")
    names = list(found[SIZES[0]])
    for heading in (*names, *(f"{name} / tilewatch" for name in names[1:])):
        table.add_column(heading, justify="right")
    for size, medians in found.items():
        times = [f"{value:.3f}" for value in medians.values()]
        times[0] = marked(times[0], good=medians["tilewatch"] <= BAR.get(size, np.inf))
        ratios = [medians[name] / medians["tilewatch"] for name in names[1:]]
        table.add_row(str(size), *times, *(marked(f"{ratio:.1f}", good=ratio >= TIMES) for ratio in ratios))
    console = Console(width=110)
    console.print(table)
    console.print(f"bars: {TIMES} times as fast as every peer; {BAR[100]} ms at 100 objects")


def marked(text: str, *, good: bool) -> str:
    """Return a figure in bold, red where it misses its bar."""
    return f"[bold]{text}[/]" if good else f"[bold red]{text}[/]"


if __name__ == "__main__":
    main()
