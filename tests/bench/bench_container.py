"""The program in its container against the same program without: frames/s, CPU time, memory, and time to start.

Both run on one machine in one sitting, in turns that swap their order every round, locked down as the Compose file has
it. A frame's cost is a run of many frames less a run of one. The start is the time from the command to the first frame
that was written, `docker run` and all. On a machine that others use, too, frames/s say little: CPU time says more.

    python -m tests.bench.bench_container [--image tilewatch:cpu] [--rounds 3] [--frames 150] [--model FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table

from tests.support import metered
from tests.support.data import data_path
from tests.support.metered import Spent
from tests.support.program import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

METER = Path(metered.__file__).resolve()
SPEED_BAR, MEMORY_BAR, START_BAR = 0.97, 100.0, 4.0
"""Least frames/s by the native ones; most MB more; most seconds to the first frame."""
LOCKED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none")


class Way(NamedTuple):
    """How the program is started."""

    prefix: Sequence[str]
    """What stands before `tilewatch`."""
    folder: str
    """Where results go, as the program sees it."""


class Figures(NamedTuple):
    """What one round has measured of one way."""

    speed: float
    """Frames a second."""
    cpu: float
    """CPU-ms a frame."""
    megabytes: float
    """Most memory held."""
    start: float
    """Seconds to the first frame."""
    start_cpu: float
    """CPU seconds of a run of one frame."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--image", default="tilewatch:cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--model", type=Path, default=data_path("models/yolov8n.onnx"))
    arguments = parser.parse_args()
    clip = data_path("clips/vtest.avi")
    with tempfile.TemporaryDirectory() as name:
        ways = {
            "native": native(Path(name)),
            "container": container(Path(name), arguments.image, clip, arguments.model),
        }
        for way in ways.values():  # fill the caches of compiled graphs
            run(way, clip, arguments.model, 1)
        rounds = [measure(ways, clip, arguments.model, arguments.frames, turn) for turn in range(arguments.rounds)]
    show(rounds, arguments.frames)


def native(folder: Path) -> Way:
    """Return the way without a container."""
    return Way([sys.executable, "-I", "-S", str(METER), sys.executable, "-m", "tilewatch"], str(folder / "native"))


def container(folder: Path, image: str, clip: Path, model: Path) -> Way:
    """Return the way through Docker; what it needs of the host has the same name inside."""
    shared = [str(path) for path in (METER, clip, model)]
    written = folder / "container"
    written.mkdir()
    volumes = [f"{path}:{path}:ro" for path in shared] + [f"{written}:/output", f"{written}:/cache"]
    mounts = [part for volume in volumes for part in ("-v", volume)]
    user = ["--user", f"{os.getuid()}:{os.getgid()}", "--tmpfs", "/tmp", "-e", "LOG_FORMAT=json", "-e", "LOG_DIR="]  # noqa: S108 of the container
    start = ["docker", "run", "--rm", *LOCKED, *user, *mounts, "--entrypoint", "python3", image]
    return Way([*start, "-I", "-S", str(METER), "tilewatch"], "/output")


def measure(ways: dict[str, Way], clip: Path, model: Path, frames: int, turn: int) -> dict[str, Figures]:
    """Return the figures of one round."""
    order = list(ways) if turn % 2 == 0 else list(reversed(ways))
    long = {name: run(ways[name], clip, model, frames)[0] for name in order}
    short = {name: run(ways[name], clip, model, 1) for name in reversed(order)}
    return {name: _figures(long[name], *short[name], frames - 1) for name in ways}


def _figures(long: Spent, short: Spent, start: float, steps: int) -> Figures:
    wall, cpu = (long.wall - short.wall) / steps, (long.cpu - short.cpu) / steps
    return Figures(1 / wall, 1000 * cpu, long.megabytes, start, short.cpu)


def run(way: Way, clip: Path, model: Path, frames: int) -> tuple[Spent, float]:
    """Run the program once; return what it took, and the seconds until the first frame was written."""
    options = ("--model", model, "--full-frame", "only", "--formats", "video,jsonl", "--max-frames", frames)
    command = [*way.prefix, "run", clip, *options, "-o", way.folder]
    begun = time.time()
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, env=environment(LOG_FORMAT="json")
    )
    if done.returncode:
        sys.exit(f"{command} failed\n{done.stdout}\n{done.stderr}")
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    first = next(event["timestamp"] for event in events if event["event"] == "first_frame_written")
    moment = datetime.fromisoformat(first.replace("Z", "+00:00")).timestamp()
    return Spent(*json.loads(done.stdout.splitlines()[-1])), moment - begun


def show(rounds: list[dict[str, Figures]], frames: int) -> None:
    """Print the medians, and container against native pair by pair within a round."""
    table = Table("what", title=f"vtest.avi whole frame, {frames} frames, medians of {len(rounds)} rounds")
    for heading in ("native", "container", "container against native", "bar"):
        table.add_column(heading, justify="right")
    speed = _median(rounds, lambda native, contained: contained.speed / native.speed)
    cpu = _median(rounds, lambda native, contained: contained.cpu / native.cpu)
    memory = _median(rounds, lambda native, contained: contained.megabytes - native.megabytes)
    start = statistics.median(figures["container"].start for figures in rounds)
    _row(table, rounds, "frames/s", "speed", f"{speed:.3f}", f"≥ {SPEED_BAR}")
    _row(table, rounds, "CPU-ms a frame", "cpu", f"{cpu:.3f}", f"≤ {1 / SPEED_BAR:.2f}")
    _row(table, rounds, "memory, MB", "megabytes", f"{memory:+.0f}", f"< +{MEMORY_BAR:.0f}")
    _row(table, rounds, "start to first frame, s", "start", "", f"< {START_BAR:.0f}")
    _row(table, rounds, "CPU-s of a run of one frame", "start_cpu", "", "")
    Console(width=100).print(table)
    print(f"load at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    told = {"speed_ratio": speed, "cpu_ratio": cpu, "memory_more_mb": memory, "start_seconds": start}
    print(json.dumps({name: round(value, 3) for name, value in told.items()}))


def _median(rounds: list[dict[str, Figures]], compare: Callable[[Figures, Figures], float]) -> float:
    return statistics.median(compare(figures["native"], figures["container"]) for figures in rounds)


def _row(table: Table, rounds: list[dict[str, Figures]], what: str, field: str, ratio: str, bar: str) -> None:
    native, contained = (
        statistics.median(getattr(figures[name], field) for figures in rounds) for name in ("native", "container")
    )
    table.add_row(what, f"{native:.1f}", f"{contained:.1f}", ratio, bar)


if __name__ == "__main__":
    main()
