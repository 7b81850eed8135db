"""The whole program against SAHI and supervision with `trackers`' ByteTrack: same clip, model and tiles, in turns.

With the same engine, precision, tiles and thresholds, the peers through ultralytics as people have them and through
the leanest adapter that could be written; and each at its own defaults. Printed are frames/s, CPU seconds a frame
(both with the start-up taken off by a run of one frame) and peak memory: medians of interleaved runs, and the medians
of the ratios within a round. The peers' runs are slicing_peers.py in an environment of their own, made by
`pip install sahi supervision trackers ultralytics onnxruntime`; PYTHON is its interpreter.

    python -m tests.bench.bench_peers --peers PYTHON [--rounds 3] [--frames 40] [--model FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from itertools import product
from pathlib import Path
from typing import NamedTuple, TypeAlias

import onnx
from rich.console import Console
from rich.table import Table

from tests.support.data import data_path
from tests.support.metered import Spent, spent
from tests.support.mosaic import make_mosaic
from tests.support.program import command, environment

PEER_PROGRAM = Path(__file__).with_name("slicing_peers.py")
PEERS = ("sahi", "supervision")
QUIET = {"PYTHONPATH": "", "YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true"}
"""Of a peer's environment: it installs nothing and calls nobody."""
MEMORY_BAR = 0.5


class Contest(NamedTuple):
    """One comparison."""

    title: str
    ours: str
    """Our way of working, of `OURS`."""
    theirs: str
    """The peers'."""
    bar: float
    """How many times the frames/s of every peer, at least."""


F32 = ("--backend", "onnxruntime", "--precision", "f32", "--full-frame", "off")
OURS: dict[str, tuple[str, ...]] = {"f32": F32, "defaults": ()}
CONTESTS = (
    Contest("same engine (ONNX Runtime f32), tiles and thresholds; peers through ultralytics", "f32", "usual", 1.15),
    Contest("the same; peers through the leanest adapter", "f32", "lean", 1.15),
    Contest("each at its own defaults", "defaults", "defaults", 2.2),
)
Round: TypeAlias = "dict[tuple[str, str], Spent]"
"""What everybody took, by name and way of working."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, help="python of the peers' environment; without one nothing is done")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--model", type=Path, default=data_path("models/yolov8n.onnx"))
    arguments = parser.parse_args()
    if arguments.peers is None:
        print("bench_peers: left out: --peers names no interpreter")
        return
    with tempfile.TemporaryDirectory() as folder:
        clip, model = Path(folder) / "mosaic_1080p.mp4", Path(folder) / "model.onnx"
        make_mosaic(clip, columns=3, rows=2, frames=arguments.frames, size=(1920, 1080))
        as_exported(arguments.model, model)
        rounds = [measure(arguments.peers, clip, model, arguments.frames) for _ in range(arguments.rounds)]
    for contest in CONTESTS:
        show(contest, rounds, arguments.frames)
    print(json.dumps([{" ".join(who): list(took) for who, took in found.items()} for found in rounds]))


def as_exported(source: Path, copy: Path) -> None:
    """Write a copy whose batch is 1, as ultralytics exports it: of any other it expects that it takes any size."""
    model = onnx.load(str(source))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save_model(model, str(copy))


def measure(python: Path, clip: Path, model: Path, frames: int) -> Round:
    """Return one round: everybody once, in turn; the results land beside the clip."""
    out, found = ("--model", model, "-o", clip.with_name("ours")), {}
    for mode, options in OURS.items():
        ours = command("run", clip, *out, *options, "--max-frames")
        found["tilewatch", mode] = a_frame(ours, frames, environment())
    for peer, mode in product(PEERS, dict.fromkeys(contest.theirs for contest in CONTESTS)):
        theirs = [*map(str, (python, PEER_PROGRAM, peer, mode, clip, model, clip.with_name("peer.mp4")))]
        found[peer, mode] = a_frame(theirs, frames, environment(**QUIET))
    return found


def a_frame(start: list[str], frames: int, env: dict[str, str]) -> Spent:
    """Return what a frame takes: a command, completed by the number of frames, for many frames less that for one."""
    long, short = (spent([*start, str(count)], env) for count in (frames, 1))
    return Spent((long.wall - short.wall) / (frames - 1), (long.cpu - short.cpu) / (frames - 1), long.megabytes)


def show(contest: Contest, rounds: list[Round], frames: int) -> None:
    """Print the medians and the ratios, pair by pair within a round; a bar that is missed is red."""
    table = Table("", title=f"{contest.title}\n1080p, 8 tiles, {frames} frames, medians of {len(rounds)} rounds")
    for heading in (
        "frames/s",
        "CPU-s a frame",
        "peak MB",
        "frames/s, ours by it",
        "CPU, its by ours",
        "MB, ours by it",
    ):
        table.add_column(heading, justify="right")
    ours = "tilewatch", contest.ours
    table.add_row("tilewatch", *medians(rounds, ours))
    for peer in PEERS:
        pairs = [(found[ours], found[peer, contest.theirs]) for found in rounds]
        table.add_row(peer, *medians(rounds, (peer, contest.theirs)), *compared(contest, pairs))
    Console(width=120).print(table)
    print(f"bars: {contest.bar} times the frames/s, {MEMORY_BAR} of the memory")


def medians(rounds: list[Round], who: tuple[str, str]) -> list[str]:
    """Return somebody's figures."""
    wall, cpu, megabytes = (statistics.median(part) for part in zip(*(found[who] for found in rounds), strict=True))
    return [f"{1 / wall:.2f}", f"{cpu:.3f}", f"{megabytes:.0f}"]


def compared(contest: Contest, pairs: list[tuple[Spent, Spent]]) -> list[str]:
    """Return ours against a peer: speed, CPU time, memory."""
    speed = statistics.median(its.wall / ours.wall for ours, its in pairs)
    cpu = statistics.median(its.cpu / ours.cpu for ours, its in pairs)
    memory = statistics.median(ours.megabytes / its.megabytes for ours, its in pairs)
    return [marked(speed, good=speed >= contest.bar), f"{cpu:.2f}", marked(memory, good=memory <= MEMORY_BAR)]


def marked(value: float, *, good: bool) -> str:
    """Return a figure in bold, red where it misses its bar."""
    return f"[bold]{value:.2f}[/]" if good else f"[bold red]{value:.2f}[/]"


if __name__ == "__main__":
    main()
