"""Damaged videos by the hundred: each has to end with a result or a reason, and the service has to live on.

Bytes of generated MP4, MKV, AVI and TS clips are flipped, cut out, doubled and cut off. Prints a table; exit code 1
where the service hung, or a file has neither result nor reason.

    python -m tests.bench.soak_mutants [--files 2000] [--seed 1]
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from tests.bench.soak import Field, field
from tests.support.clips import Clip, make_clip
from tests.support.models import tiny_detector
from tilewatch.jobs.ledger import Ledger

KINDS = {"mp4": "libx264", "mkv": "libx265", "avi": "mpeg4", "ts": "libx264"}
HANG_SECONDS = 120
"""Without any job ending for so long, the service hangs."""
LOOK_SECONDS = 2.0


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return a damaged copy."""
    damaged = bytearray(data)
    for _ in range(chance.choice((1, 1, 3, 10, 60))):
        at = chance.randrange(len(damaged))
        size = chance.choice((1, 4, 16, 200))
        match chance.randrange(5):
            case 0:
                damaged[at] ^= 1 << chance.randrange(8)
            case 1:
                damaged[at : at + size] = chance.randbytes(size)
            case 2 if len(damaged) > 2 * size:
                del damaged[at : at + size]
            case 3:
                damaged[at:at] = damaged[at : at + size]
            case _:
                del damaged[max(at, len(damaged) // 2, 1) :]
    return bytes(damaged)


def fill(videos: Path, count: int, chance: random.Random) -> None:
    """Make so many damaged files."""
    whole = {
        kind: make_clip(videos.parent / f"whole.{kind}", Clip(frames=12, codec=codec)).read_bytes()
        for kind, codec in KINDS.items()
    }
    for index in range(count):
        kind = chance.choice(tuple(KINDS))
        (videos / f"mutant-{index:05d}.{kind}").write_bytes(mutated(whole[kind], chance))


class Watch:
    """The service, started again whenever it ends, as an orchestrator would."""

    def __init__(self, here: Field) -> None:
        self.codes: Counter[int] = Counter()
        """Exit codes of processes that ended by themselves."""
        self.megabytes: list[float] = []
        """Resident memory at each look, of the process that lived longest."""
        self._here = here

    def run(self) -> bool:
        """See all files to their end; False when nothing moved for too long."""
        process, idle, left = self._here.start(), 0.0, self._here.left()
        while left:
            try:
                self.codes[process.wait(timeout=LOOK_SECONDS)] += 1
                process.communicate()
                process = self._here.start()
            except subprocess.TimeoutExpired:
                self.megabytes.append(psutil.Process(process.pid).memory_info().rss / 1e6)
            now = self._here.left()
            idle = idle + LOOK_SECONDS if now == left else 0.0
            left = now
            if idle > HANG_SECONDS:
                process.kill()
                process.communicate()
                return False
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        return True


def main() -> int:
    """Run the soak and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        videos = folder / "videos"
        videos.mkdir()
        fill(videos, options.files, random.Random(options.seed))  # noqa: S311 no secret
        here = field(folder, "out", tiny_detector(folder / "tiny.onnx"), videos)
        watch = Watch(here)
        ended = watch.run()
        with Ledger.existing(here.out) as ledger:
            jobs = ledger.list()
    states = Counter(job.reason if job.state == "failed" else job.state for job in jobs)
    table = Table("what", "figure")
    table.add_row("files", str(options.files))
    for state, count in states.most_common():
        table.add_row(state, str(count))
    table.add_row("ended by themselves (exit code: times)", str(dict(watch.codes)) if watch.codes else "never")
    early, late = watch.megabytes[len(watch.megabytes) // 5 :][:1], watch.megabytes[-1:]
    table.add_row("memory after a fifth and at the end, MB", f"{early} {late}")
    Console(width=100).print(table)
    failed = [job for job in jobs if job.state == "failed"]
    for job in failed:
        if job.reason != "bad_input":  # a damaged file is to be blamed on itself
            print(f"{job.path}: {job.reason}: {job.error}")
    return 0 if ended and all(job.error for job in failed) else 1


if __name__ == "__main__":
    sys.exit(main())
