"""Memory over a long video and over many short ones, in one process each: the slope, and whether it is one.

Two processes of their own do what `tilewatch run` does, with YOLOX-nano on small people, tracking and all
of the usual outputs. One works on a video of 5,000 frames and notes its memory as frames are written; the other works
on 200 videos, one after the other, and notes its memory, open files and threads after each. What counts is the slope
after a start, by least squares over the means of blocks, with its 95 % interval. It is flat when the interval holds
zero, or when all the growth it promises is less than one per cent of the memory. Ids must start from 1 in every video.

    python -m tests.bench.bench_memory [--frames 5000] [--files 200]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from io import StringIO
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import av
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats

from tests.support.data import data_path
from tests.support.scoring import read_mot
from tilewatch import app
from tilewatch.settings import load
from tilewatch.telemetry.progress import ProgressReport

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from tilewatch.telemetry.streams import Queue

SIDE = 320
SHORT = 12
"""Frames of a short video."""
EVERY = 10
"""Frames between two notes."""
BLOCKS = 20
START = 0.1
"""Share of the run that is left out."""
FLAT = 0.01
"""Growth over the whole run, as a share of the memory, that is not told from none."""
MEGABYTE = 1 << 20


class Note(NamedTuple):
    """The process at one moment."""

    at: int
    """Frames written, or videos done."""
    megabytes: float
    handles: int
    threads: int


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=5000)
    parser.add_argument("--files", type=int, default=200)
    arguments = parser.parse_args()
    table = Table("", title="resident memory of one process")
    for heading in (
        "notes",
        "after the start",
        "at the end",
        "slope",
        "95 %",
        "growth in all",
        "handles",
        "threads",
        "",
    ):
        table.add_column(heading, justify="right")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = write_clip(folder / "long.mp4", arguments.frames)
        add(table, f"{arguments.frames} frames, by 1,000 frames", apart([clip], folder / "long"), 1000)
        short = [write_clip(folder / f"short{number:03}.mp4", SHORT) for number in range(arguments.files)]
        add(table, f"{arguments.files} files, by 100 files", apart(short, folder / "short"), 100)
        restarted = sum(first_id(folder / "short" / path.stem) == 1 for path in short)
    Console(width=140).print(table)
    print(f"ids start from 1 in {restarted} of {len(short)} videos")


def write_clip(path: Path, frames: int) -> Path:
    """Write a video of the people of vtest.avi at their size, forwards and backwards as often as it takes."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"preset": "ultrafast", "crf": "20"})
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for picture, _ in zip(_there_and_back(), range(frames), strict=False):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def _there_and_back(pictures: int = 200) -> Iterator[NDArray[np.uint8]]:
    with av.open(str(data_path("clips/vtest.avi"))) as container:
        frames = (frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))
        seen = [
            np.ascontiguousarray(frame[150 : 150 + SIDE, 300 : 300 + SIDE])
            for frame, _ in zip(frames, range(pictures), strict=False)
        ]
    while True:
        yield from seen
        yield from reversed(seen)


def apart(clips: Sequence[Path], out: Path) -> list[Note]:
    """Return the notes of a fresh process that works on these videos."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, clips, out).result()


def work(clips: Sequence[Path], out: Path) -> list[Note]:
    """Work on the videos and return the notes: of every few frames if it is one, else of every video."""
    given = {"MODEL_PATH": data_path("models/yolox_nano.onnx"), "TILE_SIZE": SIDE, "LOG_LEVEL": "error"}
    notes = Notes(each_video=len(clips) > 1)
    with patch.object(app, "ProgressReport", lambda: notes):
        code = app.run(clips, out, load(overrides=given), app.RunOptions())
    assert code == 0, f"exit code {code}"
    return notes.taken


class Notes(ProgressReport):
    """Follows the progress of a process and notes its state."""

    def __init__(self, *, each_video: bool) -> None:
        super().__init__(out=StringIO())
        self.taken: list[Note] = []
        self._each_video = each_video
        self._count = 0

    def begin(self, name: str, total: int | None) -> Any:  # noqa: ARG002 of the protocol
        """Go on with the next video."""
        return self

    def flow(self, label: str, channels: Sequence[Queue]) -> None:
        """Do nothing."""

    def advance(self, frames: int = 1) -> None:
        """Count frames."""
        if not self._each_video:
            self._step(frames, EVERY)

    def end(self) -> None:
        """Count videos."""
        if self._each_video:
            self._step(1, 1)

    def _step(self, more: int, every: int) -> None:
        self._count += more
        if self._count % every == 0:
            self.taken.append(note(self._count))


def note(at: int) -> Note:
    """Return the state of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    handles, threads = (sum(1 for _ in Path(f"/proc/self/{kind}").iterdir()) for kind in ("fd", "task"))
    return Note(at, pages * os.sysconf("SC_PAGESIZE") / MEGABYTE, handles, threads)


def add(table: Table, what: str, notes: list[Note], unit: int) -> None:
    """Add a row: the slope for `unit` frames or files, and whether it is one."""
    counted = notes[int(START * len(notes)) :]
    slope, interval = trend(counted)
    growth, size = slope * (counted[-1].at - counted[0].at), counted[-1].megabytes
    flat = abs(slope) <= interval or abs(growth) <= FLAT * size
    table.add_row(
        what,
        str(len(counted)),
        f"{counted[0].megabytes:.1f} MB",
        f"{size:.1f} MB",
        f"{1000 * unit * slope:+.0f} kB",
        f"± {1000 * unit * interval:.0f} kB",
        f"{growth:+.2f} MB ({growth / size:+.1%})",
        f"{counted[0].handles} to {counted[-1].handles}",
        f"{counted[0].threads} to {counted[-1].threads}",
        "[bold]flat[/]" if flat else "[bold red]not flat[/]",
    )


def trend(notes: list[Note]) -> tuple[float, float]:
    """Return megabytes a step and half the width of its 95 % interval, from the means of blocks."""
    blocks = np.array_split(np.array([(note.at, note.megabytes) for note in notes]), BLOCKS)
    at, megabytes = np.array([block.mean(axis=0) for block in blocks]).T
    fit = stats.linregress(at, megabytes)
    return float(fit.slope), float(stats.t.ppf(0.975, BLOCKS - 2) * fit.stderr)


def first_id(folder: Path) -> int:
    """Return the lowest id of a result."""
    return int(min(rows[:, 0].min() for rows in read_mot(folder / "tracks.mot.txt").values()))


if __name__ == "__main__":
    main()
