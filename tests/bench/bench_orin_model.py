"""Derived, not measured on a device: the whole pipeline at the published speed of a Jetson Orin NX.

The engine is the program's own, its device is played and takes the published time for every tile, without the GIL;
decoding, tracking, drawing and encoding are real and run on this machine's processor. Shown is how much of the engine's
rate the pipeline keeps, from the first inference to the end of the last one. What it cannot show: the speed of that
module's processor and memory, and whether batches of 8 are faster there than 8 single images, which is what was
published.

Source: Ultralytics, "NVIDIA Jetson" guide (docs.ultralytics.com/guides/nvidia-jetson), table of the Jetson Orin NX
16GB: YOLO11n, 640 pixels, TensorRT FP16, 4.85 ms an image, on JetPack 6.

On a machine that others keep busy it shows how busy they keep it; `--realtime` goes before them for those seconds
(Linux, as root).

    python -m tests.bench.bench_orin_model [--frames 120] [--realtime]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from rich.table import Table

from tests.support.model_device import engine_of, model_device
from tests.support.mosaic import make_mosaic
from tilewatch import app
from tilewatch.settings import load
from tilewatch.sinks.destinations import destinations

if TYPE_CHECKING:
    from tests.support.nvidia import Machine

SECONDS_PER_TILE = 4.85e-3
TILES, OBJECTS = 8, 50
RATE_BAR, FRAMES_BAR = 0.97, 20.0


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--realtime", action="store_true")
    arguments = parser.parse_args()
    frames = arguments.frames
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        played = model_device(patch, objects=OBJECTS, seconds_per_tile=SECONDS_PER_TILE)
        process(Path(folder), frames, realtime=arguments.realtime)
        rate, per_second = kept(played, frames)
    table = Table("1080p, 8 tiles, 50 objects, video and tracks written", "derived", "bar")
    table.add_row("the engine alone, frames/s", f"{1 / (TILES * SECONDS_PER_TILE):.2f}", "")
    table.add_row("the pipeline, frames/s", f"{per_second:.2f}", f">= {FRAMES_BAR}")
    table.add_row("share of the engine's rate", f"{rate:.3f}", f">= {RATE_BAR}")
    Console().print(table)
    raise SystemExit(rate < RATE_BAR or per_second < FRAMES_BAR)


def process(folder: Path, frames: int, *, realtime: bool) -> None:
    """Let a video go through the whole program."""
    clip = folder / "mosaic.mp4"
    make_mosaic(clip, columns=3, rows=2, frames=frames, size=(1920, 1080))
    overrides = {"MODEL_PATH": engine_of(folder), "BACKEND": "tensorrt", "OUTPUT_FORMATS": "video,jsonl,mot"}
    if realtime:  # every thread made from here on has it too
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    code = asyncio.run(
        app.process(destinations([clip], folder / "out"), load(overrides=overrides), app.RunOptions(profile=True))
    )
    assert code == 0


def kept(played: Machine, frames: int) -> tuple[float, float]:
    """Return the share of the engine's rate, and frames a second."""
    work = played.cuda.work[-frames:]  # a call is a frame: its tiles are a full batch; the first calls were the warm-up
    span = work[-1][1] - work[0][0]
    return sum(ended - began for began, ended in work) / span, frames / span


if __name__ == "__main__":
    main()
