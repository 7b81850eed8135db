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
from tilewatch.native.merge import merge_tiles
from tilewatch.native.room import Room
from tilewatch.settings import TileSettings
from tilewatch.stages.tile import plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tilewatch.native.bytetrack import Mode
    from tilewatch.records import F32, I16, I32, Tiles

WARM_UP = 10
"""Frames before it counts."""
MIN_SIDE = 4.0
"""Pixels of an object a tile has to hold to report it."""


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
    for row in (*merge_rows(), *tracker_rows(frames)):
        low, high = np.percentile(row.milliseconds, [50, 95])
        table.add_row(row.what, f"{low:.3f}", f"{high:.3f}", "" if row.bar is None else f"{row.bar:.1f}")
    Console().print(table)


def merge_rows() -> Iterator[Row]:
    """Yield the merge of a frame's boxes: many objects once each, and few with twelve candidates each."""
    for count, size, bar in ((150, (1920, 1080), 0.3), (1000, (3840, 2160), None), (10_000, (3840, 2160), None)):
        for candidates in (1, 12):
            seen = seen_by_tiles(count, size, candidates)
            repeats = max(10, 30_000 // count)
            yield Row(f"merge {count}, {candidates} a look", _merge(seen, repeats), bar if candidates == 1 else None)


def seen_by_tiles(
    count: int, size: tuple[int, int], candidates: int, classes: int = 10, seed: int = 0
) -> tuple[F32, F32, I32, I16, Tiles]:
    """Return boxes of objects of 20 to 80 pixels, as every tile sees its part of them."""
    rng, tiles, rows = np.random.default_rng([count, seed]), plan(*size, TileSettings()).tiles, list[list[float]]()
    low, high = tiles.rects[:, :2], tiles.rects[:, 2:]
    while len(rows) < count:
        extent, label = rng.uniform(20, 80, 2), rng.integers(classes)
        corner = rng.uniform(0, size - extent)
        boxes = np.hstack([np.maximum(corner, low), np.minimum(corner + extent, high)])
        for tile in np.flatnonzero((boxes[:, 2:] - boxes[:, :2]).min(axis=1) > MIN_SIDE).repeat(candidates):
            rows.append([*(boxes[tile] + rng.normal(0, 0.5, 4)), rng.uniform(0.1, 0.95), float(label), float(tile)])
    table = np.array(rows[:count])
    labels, at = table[:, 5].astype(np.int32), table[:, 6].astype(np.int16)
    return table[:, :4].astype(np.float32), table[:, 4].astype(np.float32), labels, at, tiles


def _merge(seen: tuple[F32, F32, I32, I16, Tiles], repeats: int) -> list[float]:
    """Return the time of each call."""
    took, room = [], Room()
    for _ in range(repeats):
        start = time.perf_counter()
        merge_tiles(*seen, iou_threshold=0.7, room=room)
        took.append(1e3 * (time.perf_counter() - start))
    return took


def tracker_rows(frames: int) -> Iterator[Row]:
    """Yield ByteTrack's update for crowds of several sizes, the camera's movement told in default mode."""
    for people, bar in ((20, None), (30, 0.1), (100, 0.3), (500, None), (1000, None)):
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
