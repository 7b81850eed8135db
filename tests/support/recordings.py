"""A camera's recordings without camera and engine: real sinks, real files, and a process that dies over one.

`python -m tests.support.recordings OUTPUT FRAMES FORMATS [wait]` records so many frames, then kills itself; with
`wait`, it lives on until its input ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.records import make_frame, make_info, make_tracks
from tilewatch.detector import Detector
from tilewatch.engines.base import EngineInfo
from tilewatch.service.lastid import LastId
from tilewatch.service.recorder import Recorder
from tilewatch.settings import load
from tilewatch.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tilewatch.records import Tracks
    from tilewatch.settings import Settings

RATE = 10
START = 1_700_000_000
"""2023-11-14T22:13:20Z."""
NAME = "2023-11-14T22-13-20Z"
FORMATS = "video,jsonl,mot,csv,coco,overview"
ENGINE = EngineInfo(
    backend="none",
    backend_version="1",
    device="CPU",
    precision="f32",
    precision_reason="",
    model_path="/models/tiny.onnx",
    model_sha256="0" * 64,
    names=("person",),
    input_size=64,
    head="yolov8",
)


class SinksOnly(Detector):
    """A detector as far as a recording needs it: no engine, but who it would be."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.engine: Any = type("Engine", (), {"info": ENGINE})


def make_recorder(output: Path, *, formats: str = FORMATS, **settings: object) -> Recorder:
    """Return the recorder of a camera that is connected, with a checkpoint every second."""
    values = {"OUTPUT_DIR": output, "CHECKPOINT_SECONDS": 1, "OUTPUT_FORMATS": formats, "VIDEO_PRESET": "ultrafast"}
    detector = SinksOnly(load(overrides={**values, **settings}))
    recorder = Recorder("gate", detector, metrics.create().stream("gate"), 0, LastId.of(output, "gate"))
    recorder.connected(replace(make_info(path=Path("gate")), live=True))
    return recorder


def tracks_of(index: int) -> Tracks:
    """Return a frame with two objects, one of which is another one every second."""
    frame = replace(make_frame(index), pts=START * RATE + index)
    rows = [(1, 0, 0.9, 10 + index, 20, 60 + index, 90), (2 + index // RATE, 0, 0.5, 100, 20, 150, 90)]
    return make_tracks(index, rows, frame=frame)


def record(recorder: Recorder, frames: int) -> None:
    """Record so many frames, a tenth of a second each."""
    for index in range(frames):
        recorder.write(tracks_of(index))


def left_by_the_dead(output: Path, frames: int, *, formats: str = FORMATS) -> Path:
    """Let a process die over its recording, and return what it leaves."""
    died = subprocess.run([*_command(output, frames, formats)], check=False)
    assert died.returncode == -signal.SIGKILL
    (root,) = output.glob("gate/.*.partial")
    return root


@contextmanager
def living(output: Path, frames: int) -> Iterator[subprocess.Popen[str]]:
    """Yield a process that has recorded so many frames and lives until it is killed, or the block ends."""
    command = [*_command(output, frames, FORMATS), "wait"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert "recorded\n" in iter(process.stdout.readline, "")
            yield process
        finally:
            process.kill()


def _command(output: Path, frames: int, formats: str) -> list[str]:
    return [sys.executable, "-m", "tests.support.recordings", str(output), str(frames), formats]


def _main() -> None:
    output, frames, formats, *wait = sys.argv[1:]
    record(make_recorder(Path(output), formats=formats), int(frames))
    if wait:
        print("recorded", flush=True)  # noqa: T201 said to whoever started this
        sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    _main()
