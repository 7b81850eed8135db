"""Milliseconds a call of the compiled core on made-up crowds: median and 95th percentile, and the bar where one is set.

python -m tests.bench.bench_core [--frames 200]
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.support.crowd import Crowd
from tilewatch.native.bytetrack import ByteTrack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tilewatch.native.bytetrack import Mode

WARM_UP = 10
"""Frames before it counts."""


class Row(NamedTuple):
    """One measured case."""

    what: str
    milliseconds: list[float]
    bar: float | None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200)
    frames = parser.parse_args().frames
    table = Table("what", "median ms", "95 %", "bar")
    for row in tracker_rows(frames):
        low, high = np.percentile(row.milliseconds, [50, 95])
        table.add_row(row.what, f"{low:.3f}", f"{high:.3f}", "" if row.bar is None else f"{row.bar:.1f}")
    Console().print(table)


def tracker_rows(frames: int) -> Iterator[Row]:
    """Yield ByteTrack's update for crowds of several sizes, the camera's movement told in default mode."""
    for people, bar in ((10, None), (30, 0.1), (100, 0.3), (300, None), (1000, None)):
        yield Row(f"track {people}, default", _track(people, frames, "default"), bar)
        yield Row(f"track {people}, parity", _track(people, frames, "parity"), None)


def _track(people: int, frames: int, mode: Mode) -> list[float]:
    """Return the time of each update over a crowd at the density of a busy square, seen by a hand-held camera."""
    crowd = Crowd(people=people, missed=0.05, sway=4.0, width=int(350 * people**0.5))
    scenes, tracker, took = [crowd.frame(frame) for frame in range(frames)], ByteTrack(mode=mode), []
    for frame, scene in enumerate(scenes):
        start = time.perf_counter()
        tracker.update(*scene, frame / 30)
        took.append(1e3 * (time.perf_counter() - start))
    return took[WARM_UP:]


if __name__ == "__main__":
    main()
