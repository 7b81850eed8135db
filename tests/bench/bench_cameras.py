"""Cameras and their faults, many times over; and how fairly several share one engine.

Each round plays every fault once (dropped, stalled, login refused, connection refused, gone) on a real service and
measures the time from its end to the first picture. Then as many cameras as asked for send more than the engine can
take, beside a run with one of them: tiles a second in all, and the spread of frames between them.

    python -m tests.bench.bench_cameras [--rounds 20] [--cameras 4] [--seconds 30] [--model FILE]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table

from tests.support.camera import FaultyCamera
from tests.support.daemon import Daemon, free_port
from tests.support.data import data_path
from tests.support.models import tiny_detector

if TYPE_CHECKING:
    from collections.abc import Callable

CAP = 5.0
ALLOWED = CAP + 5
WIDTH, HEIGHT, RATE = 1216, 640, 24
"""Three tiles a frame: more than a few cores can take of one camera."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--model", type=Path, default=None)
    asked = parser.parse_args()
    if asked.rounds:
        _print_faults(faults(asked.rounds))
    if asked.cameras:
        model = asked.model or data_path("models/yolov8n.onnx")
        _print_shares([share(count, asked.seconds, model) for count in (1, asked.cameras)])


def faults(rounds: int) -> dict[str, list[float]]:
    """Return, for each fault, the seconds from its end to the next picture."""
    found: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as place, FaultyCamera() as camera:
        folder = Path(place)
        settings = {"SEGMENT_SECONDS": 20, "STREAM_TIMEOUT_SECONDS": 2, "STREAM_BACKOFF_CAP_SECONDS": CAP}
        model = tiny_detector(folder / "tiny.onnx")
        with Daemon(folder, model, script="", SOURCES=f"gate={camera.address()}", **settings) as daemon:
            daemon.until("stream_connected")
            for number in range(rounds):
                print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
                for name, (cause, reason, mend) in _faults(camera).items():
                    cause()
                    daemon.until("stream_lost", reason=reason)
                    mend()
                    mended = time.monotonic()
                    daemon.until("stream_connected")
                    found[name].append(time.monotonic() - mended)
            assert daemon.stop() == 0
            _check_accounts(daemon)
    return found


def _faults(camera: FaultyCamera) -> dict[str, tuple[Callable[[], None], str, Callable[[], None]]]:
    """Return how each fault is caused, what it is told as, and how it is mended."""
    right = camera.password

    def change_password() -> None:
        camera.password = f"{right}-changed"
        camera.drop()

    def change_back() -> None:
        camera.password = right

    return {
        "drop": (camera.drop, "ended", camera.resume),
        "stall": (camera.stall, "stalled", camera.resume),
        "wrong login": (change_password, "login_refused", change_back),
        "refused": (camera.refuse, "unreachable", camera.come_back),
        "address gone": (camera.vanish, "unreachable", camera.come_back),
    }


def _check_accounts(daemon: Daemon) -> None:
    closed = next(event for event in daemon.events if event["event"] == "stream_closed")
    frames = [json.loads(path.read_text())["accounts"]["frames"] for path in daemon.out.glob("gate/*/manifest.json")]
    assert closed["frames_in"] == closed["written"] + closed["dropped"]
    assert sum(one["written"] for one in frames) == closed["written"]
    assert sum(one["in"] - one["skipped"].get("frame_damaged", 0) for one in frames) == closed["frames_in"]


class Share(NamedTuple):
    """What the engine did for some cameras."""

    tiles: float
    """A second, of all."""
    frames: list[float]
    """A second, of each."""

    @property
    def spread(self) -> float:
        """Largest less smallest, by the mean."""
        return (max(self.frames) - min(self.frames)) * len(self.frames) / sum(self.frames)


def share(count: int, seconds: float, model: Path) -> Share:
    """Let so many cameras send more than the engine can take."""
    port = free_port()
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        cameras = [stack.enter_context(FaultyCamera(width=WIDTH, height=HEIGHT, rate=RATE)) for _ in range(count)]
        sources = ",".join(f"cam-{number}={camera.address()}" for number, camera in enumerate(cameras))
        settings = {"TILE_SIZE": 640, "TILE_OVERLAP": 96, "BACKEND": "auto", "OUTPUT_FORMATS": "video,jsonl"}
        daemon = stack.enter_context(
            Daemon(Path(place), model, script="", SOURCES=sources, METRICS_PORT=port, LOG_LEVEL="info", **settings)
        )
        for number in range(count):
            if f"cam-{number}" not in [event.get("stream") for event in daemon.events]:
                daemon.until("stream_connected", stream=f"cam-{number}")
        time.sleep(3)
        before, started = _counts(port), time.monotonic()
        time.sleep(seconds)
        after, took = _counts(port), time.monotonic() - started
        assert daemon.stop() == 0
    rates = {name: (after[name] - before[name]) / took for name in before}
    return Share(rates.pop("tiles"), list(rates.values()))


def _counts(port: int) -> dict[str, float]:
    """Return the tiles inferred so far, and the frames written of each camera."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text: str = answer.read().decode()
    tiles = re.findall(r'^tilewatch_tiles_total\{outcome="inferred"\} (\S+)', text, re.MULTILINE)
    frames = re.findall(
        r'^tilewatch_frames_total\{outcome="ok",stage="encode",stream="(cam-\d+)"\} (\S+)', text, re.MULTILINE
    )
    return {"tiles": float(tiles[0]), **{name: float(count) for name, count in frames}}


def _print_faults(found: dict[str, list[float]]) -> None:
    table = Table("fault", "times", "median s", "most s", f"within {ALLOWED:g} s")
    for name, seconds in found.items():
        ordered = sorted(seconds)
        good = sum(one <= ALLOWED for one in seconds)
        table.add_row(name, f"{len(seconds)}", f"{ordered[len(ordered) // 2]:.2f}", f"{ordered[-1]:.2f}", f"{good}")
    Console().print(table)


def _print_shares(shares: list[Share]) -> None:
    table = Table("cameras", "tiles/s", "of one's", "frames/s each", "spread")
    for one in shares:
        each = " ".join(f"{rate:.2f}" for rate in one.frames)
        ratio = one.tiles / shares[0].tiles
        table.add_row(f"{len(one.frames)}", f"{one.tiles:.2f}", f"{ratio:.3f}", each, f"{one.spread:.1%}")
    Console().print(table)


if __name__ == "__main__":
    main()
