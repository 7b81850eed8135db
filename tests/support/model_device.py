"""An NVIDIA device that computes nothing and takes its time: for measuring what the program does around it.

The engine, its calls, addresses and copies are the program's own; the kernels and the model are left out. What would
have come down is made up: so many objects, each seen by a dozen anchors of a tile that shows it.
"""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.support.data import data_path
from tests.support.nvidia import card_of, machine
from tilewatch.engines.cuda.layout import ANCHOR, LABEL, ROW, SCORE, HeadFilter
from tilewatch.engines.engine_card import write_card

if TYPE_CHECKING:
    import pytest

    from tests.support.nvidia import Machine

MODEL = "models/yolov8n.onnx"
CANDIDATES = 12
"""Anchors that see one object, as detectors of this kind have it."""
SIDE, ANCHORS = 640, 8400


def engine_of(folder: Path) -> Path:
    """Return an engine file of a real detector of 640 pixels, with its card."""
    engine = folder / "yolov8n.engine"
    shutil.copyfile(data_path(MODEL), engine)
    write_card(engine, card_of(engine, names=(), precision="f16", input_size=SIDE, model_name=Path(MODEL).name))
    return engine


def model_device(monkeypatch: pytest.MonkeyPatch, *, objects: int, seconds_per_tile: float) -> Machine:
    """Return a device whose first inference finds nothing, for the head to settle on, and whose others are left out."""
    made = machine(monkeypatch, memory=1 << 34, seconds_per_tile=seconds_per_tile)
    made.trt.run = lambda _, tiles: _nothing(made, len(tiles))
    found = _rows(objects)

    def pick(parameter: int, threads: tuple[int, ...]) -> None:
        task = HeadFilter.from_address(parameter)
        for tile in range(threads[1]):
            rows = found[tile % len(found)]
            ctypes.c_int32.from_address(task.counts + 4 * tile).value = len(rows)
            ctypes.memmove(task.rows + tile * task.room * ROW * 4, rows.ctypes.data, rows.nbytes)

    made.cuda.kernels |= {"tilewatch_cut": lambda *_: None, "tilewatch_filter": pick}
    return made


def _nothing(machine: Machine, tiles: int) -> list[np.ndarray]:
    """Return (B, 84, 8400) of centres in pixels and no scores, once."""
    machine.trt.idle = True
    output = np.zeros((tiles, 84, ANCHORS), np.float32)
    output[:, :4] = SIDE / 2
    return [output]


def _rows(objects: int, tiles: int = 8) -> list[np.ndarray]:
    """Return the rows of each tile: its share of the objects, a little apart from look to look."""
    rng = np.random.default_rng(0)
    found = []
    for tile in range(tiles):
        count = len(range(tile, objects, tiles))
        centres, extent = rng.uniform(60, SIDE - 60, (count, 2)), rng.uniform(16, 60, (count, 2))
        centre = centres.repeat(CANDIDATES, 0) + rng.normal(0, 1, (count * CANDIDATES, 2))
        half = extent.repeat(CANDIDATES, 0) / 2
        rows = np.zeros((count * CANDIDATES, ROW), np.float32)
        rows[:, :2], rows[:, 2:4] = centre - half, centre + half
        rows[:, SCORE] = rng.uniform(0.3, 0.95, len(rows))
        rows[:, LABEL] = rng.integers(0, 4, count).repeat(CANDIDATES)
        rows[:, ANCHOR] = rng.permutation(ANCHORS)[: len(rows)]
        found.append(rows)
    return found
