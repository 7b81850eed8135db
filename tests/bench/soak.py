"""The service under fire: killed and stopped at random moments, every video has to come out once and undisturbed.

Prints a table: what was done, how often, and what came of it. Exit code 1 where a bar is missed.

    python -m tests.bench.soak [--kills 200] [--stops 50] [--videos 20] [--frames 300] [--seed 1]
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table

from tests.support.clips import Clip, make_clip
from tests.support.daemon import SETTINGS
from tests.support.models import tiny_detector
from tests.support.program import command, environment
from tilewatch.jobs.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Mapping

DRAIN_SECONDS = 25
LONGEST_LIFE = 5.0
"""Seconds after which a process is ended at the latest."""
SLOW_END = 5.0
"""Seconds an end may take without a word about it."""


class Field(NamedTuple):
    """Where the service works."""

    videos: Path
    out: Path
    env: Mapping[str, str]

    def start(self) -> subprocess.Popen[bytes]:
        """Start the service."""
        return subprocess.Popen(
            command("serve"), env=environment(**self.env), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    def left(self) -> int:
        """Return how many jobs are not finished, or not yet known."""
        if not (self.out / ".tilewatch" / "ledger.db").exists():
            return len(list(self.videos.iterdir()))
        with Ledger.existing(self.out) as ledger:
            counts = ledger.counts()
        return len(list(self.videos.iterdir())) - counts["done"] - counts["failed"]

    def rows(self) -> dict[str, bytes]:
        """Return the tracks of every result."""
        return {path.parent.name: path.read_bytes() for path in self.out.glob("*/tracks.jsonl")}

    def litter(self) -> list[str]:
        """Return what is there beside results and ledger."""
        known = {self.out / name for name in self.rows()}
        return [
            str(path)
            for path in self.out.rglob("*")
            if path.is_file() and path.parent not in known and ".tilewatch" not in path.parts
        ]


def field(folder: Path, name: str, model: Path, videos: Path) -> Field:
    """Return a place to work at."""
    out = folder / name
    out.mkdir()
    more = {"MAX_ATTEMPTS": "1000", "MAX_STREAMS": "2", "DRAIN_SECONDS": str(DRAIN_SECONDS), "LOG_LEVEL": "error"}
    more["PYTHONFAULTHANDLER"] = "1"
    places = {"WATCH_DIR": str(videos), "OUTPUT_DIR": str(out), "MODEL_PATH": str(model)}
    return Field(videos, out, {**SETTINGS, **more, **places})


def finish(here: Field) -> None:
    """Let the service work in peace until nothing is left."""
    process = here.start()
    while here.left():
        try:
            process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            continue
        raise RuntimeError(f"the service ended: {process.stderr.read().decode() if process.stderr else ''}")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)


def harass(
    here: Field, number: signal.Signals, allowed: set[int], times: int, chance: random.Random
) -> tuple[list[int], float]:
    """End the service at random moments; return the exit codes, and the longest time an end took."""
    codes: list[int] = []
    longest = 0.0
    while len(codes) < times and here.left():
        process, life = here.start(), chance.uniform(0.2, LONGEST_LIFE)
        try:
            process.wait(timeout=life)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        begun = time.monotonic()
        _, said = process.communicate(timeout=2 * DRAIN_SECONDS)
        took = time.monotonic() - begun
        longest = max(longest, took)
        codes.append(process.returncode)
        if process.returncode not in allowed or took > SLOW_END:
            what = f"exit code {process.returncode} after {life:.2f} s and {took:.2f} s more"
            print(f"{number.name} no. {len(codes)}: {what}\n{said.decode()}", flush=True)
    return codes, longest


def main() -> int:
    """Run the soak and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("kills", 200), ("stops", 50), ("videos", 20), ("frames", 300), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    table = Table("what", "times", "exit codes", "longest end, s", "results", "as undisturbed", "litter")
    passed = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        videos = folder / "videos"
        videos.mkdir()
        model = tiny_detector(folder / "tiny.onnx")
        for index in range(options.videos):
            clip = Clip(frames=options.frames + 7 * index, first_number=index, audio="aac" if index % 2 else None)
            make_clip(videos / f"video-{index:02d}.mp4", clip)
        peace = field(folder, "peace", model, videos)
        finish(peace)
        wanted = peace.rows()
        for what, number, times, allowed in (
            ("kill -9", signal.SIGKILL, options.kills, {-signal.SIGKILL}),
            ("SIGTERM", signal.SIGTERM, options.stops, {0, -signal.SIGTERM}),
        ):
            here = field(folder, what.replace(" ", ""), model, videos)
            codes, longest = harass(here, number, allowed, times, random.Random(options.seed))  # noqa: S311 no secret
            finish(here)
            found, litter = here.rows(), here.litter()
            same = sum(found.get(name) == rows for name, rows in wanted.items())
            passed &= found.keys() == wanted.keys() and same == len(wanted) and not litter
            passed &= set(codes) <= allowed and longest <= DRAIN_SECONDS
            counts = ", ".join(f"{code}: {codes.count(code)}" for code in sorted(set(codes)))
            shares = f"{len(found)} of {len(wanted)}", f"{same} of {len(wanted)}"
            table.add_row(what, str(len(codes)), counts, f"{longest:.1f}", *shares, str(len(litter)))
    Console(width=120).print(table)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
