"""The whole program against SAHI and supervision with `trackers`' ByteTrack: same clip, model and tiles, in turns.

With the same engine, precision, tiles and thresholds, the peers through ultralytics as people have them and through
the leanest adapter that could be written; each at its own defaults; and ours with the motion gate, in 4K of which most
stands still, against their defaults. Printed are frames/s, CPU seconds a frame
(both with the start-up taken off by a run of one frame) and peak memory: medians of interleaved runs, and the medians
of the ratios within a round. The peers' runs are slicing_peers.py in an environment of their own, made by
`pip install --group peers`; PYTHON is its interpreter.

    python -m tests.bench.bench_peers --peers PYTHON [--rounds 3] [--frames 40] [--still-frames 60] [--model FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import onnx
from rich.console import Console
from rich.table import Table

from tests.support.data import data_path
from tests.support.metered import Spent, spent
from tests.support.mosaic import make_mosaic
from tests.support.program import command, environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PEER_PROGRAM = Path(__file__).with_name("slicing_peers.py")
PEERS = ("sahi", "supervision")
QUIET = {"PYTHONPATH": "", "YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true"}
"""Of a peer's environment: it installs nothing and calls nobody."""
MEMORY_BAR = 0.5


BUSY, STILL = "1080p, 8 tiles", "4K, 14 of 20 cells still"
"""The clips."""


class Contest(NamedTuple):
    """One comparison."""

    title: str
    ours: str
    """Our way of working, of `OURS`."""
    theirs: str
    """The peers'."""
    bar: float
    """How many times the frames/s of every peer, at least."""
    clip: str = BUSY


F32 = ("--backend", "onnxruntime", "--precision", "f32", "--full-frame", "off")
OURS: dict[str, tuple[str, ...]] = {"f32": F32, "defaults": (), "gated": ("--gate", "motion")}
CONTESTS = (
    Contest("same engine (ONNX Runtime f32), tiles and thresholds; peers through ultralytics", "f32", "usual", 1.15),
    Contest("the same; peers through the leanest adapter", "f32", "lean", 1.15),
    Contest("each at its own defaults", "defaults", "defaults", 2.2),
    Contest("ours with the motion gate, peers at their defaults", "gated", "defaults", 6.0, STILL),
)
Round: TypeAlias = "dict[tuple[str, str, str], Spent]"
"""What everybody took, by name, way of working and clip."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, help="python of the peers' environment; without one nothing is done")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=40, help="in 1080p; 0 leaves it out")
    parser.add_argument("--still-frames", type=int, default=60, help="in 4K; 0 leaves it out")
    parser.add_argument("--model", type=Path, default=data_path("models/yolov8n.onnx"))
    arguments = parser.parse_args()
    if arguments.peers is None:
        print("bench_peers: left out: --peers names no interpreter")
        return
    frames = {BUSY: arguments.frames, STILL: arguments.still_frames}
    contests = [contest for contest in CONTESTS if frames[contest.clip]]
    with tempfile.TemporaryDirectory() as name:
        folder, model = Path(name), Path(name) / "model.onnx"
        as_exported(arguments.model, model)
        clips = {BUSY: folder / "mosaic_1080p.mp4", STILL: folder / "mosaic_4k.mp4"}
        if arguments.frames:
            make_mosaic(clips[BUSY], columns=3, rows=2, frames=arguments.frames, size=(1920, 1080))
        if arguments.still_frames:
            make_mosaic(clips[STILL], columns=5, rows=4, frames=arguments.still_frames, still=14)
        rounds = [measure(arguments.peers, contests, clips, model, frames) for _ in range(arguments.rounds)]
    for contest in contests:
        show(contest, rounds, frames[contest.clip])
    print(json.dumps([{" ".join(who): list(took) for who, took in found.items()} for found in rounds]))


def as_exported(source: Path, copy: Path) -> None:
    """Write a copy whose batch is 1, as ultralytics exports it: of any other it expects that it takes any size."""
    model = onnx.load(str(source))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save_model(model, str(copy))


def measure(
    python: Path, contests: Sequence[Contest], clips: Mapping[str, Path], model: Path, frames: Mapping[str, int]
) -> Round:
    """Return one round: everybody once, in turn; the results land beside the clips."""
    found: Round = {}
    for mode, name in dict.fromkeys((contest.ours, contest.clip) for contest in contests):
        clip = clips[name]
        out = ("--model", model, "-o", clip.with_name("ours"))
        ours = command("run", clip, *out, *OURS[mode], "--max-frames")
        found["tilewatch", mode, name] = a_frame(ours, frames[name], environment())
    for peer, (mode, name) in product(PEERS, dict.fromkeys((contest.theirs, contest.clip) for contest in contests)):
        clip = clips[name]
        theirs = [*map(str, (python, PEER_PROGRAM, peer, mode, clip, model, clip.with_name("peer.mp4")))]
        found[peer, mode, name] = a_frame(theirs, frames[name], environment(**QUIET))
    return found


def a_frame(start: list[str], frames: int, env: dict[str, str]) -> Spent:
    """Return what a frame takes: a command, completed by the number of frames, for many frames less that for one."""
    long, short = (spent([*start, str(count)], env) for count in (frames, 1))
    return Spent((long.wall - short.wall) / (frames - 1), (long.cpu - short.cpu) / (frames - 1), long.megabytes)


def show(contest: Contest, rounds: list[Round], frames: int) -> None:
    """Print the medians and the ratios, pair by pair within a round; a bar that is missed is red."""
    table = Table("", title=f"{contest.title}\n{contest.clip}, {frames} frames, medians of {len(rounds)} rounds")
    for heading in (
        "frames/s",
        "CPU-s a frame",
        "peak MB",
        "frames/s, ours by it",
        "CPU, its by ours",
        "MB, ours by it",
    ):
        table.add_column(heading, justify="right")
    ours = "tilewatch", contest.ours, contest.clip
    table.add_row("tilewatch", *medians(rounds, ours))
    for peer in PEERS:
        theirs = peer, contest.theirs, contest.clip
        pairs = [(found[ours], found[theirs]) for found in rounds]
        table.add_row(peer, *medians(rounds, theirs), *compared(contest, pairs))
    Console(width=120).print(table)
    print(f"bars: {contest.bar} times the frames/s, {MEMORY_BAR} of the memory")


def medians(rounds: list[Round], who: tuple[str, str, str]) -> list[str]:
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
