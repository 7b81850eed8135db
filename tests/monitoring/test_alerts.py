"""Every alert with the fault it is for: real services, a real Prometheus, the shipped rules with shorter spans of time.

Faults that take too long here (DiskFilling, OutputUnwritable) are played to the rules as they are, by promtool:
deploy/prometheus/tests.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.camera import FaultyCamera
from tests.support.clips import Clip, make_clip
from tests.support.daemon import Daemon, free_port
from tests.support.models import tiny_detector
from tests.support.prometheus import Alertmanager, Prometheus, ask, needed
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

PROGRAM = """
import sys
from queue import SimpleQueue
from threading import Event
from tilewatch.cli import run_command_line
from tilewatch.engines.onnxruntime import OnnxRuntimeEngine
from tilewatch.video.source import VideoSource
whole = {owner}.{method}
first = iter(range({good}))
def other(*given):
    if next(first, None) is None:
        {fault}
    return whole(*given)
{owner}.{method} = other
sys.exit(run_command_line(sys.argv[1:]))
"""
"""The program with a fault in one method, from some call on."""
HANGING, SLOW = "SimpleQueue().get()", "Event().wait(0.3)"
IMPATIENT: dict[str, Any] = {
    "STREAM_BACKOFF_SECONDS": 0.1,
    "STREAM_BACKOFF_CAP_SECONDS": 0.5,
    "STREAM_TIMEOUT_SECONDS": 1,
}


class Services:
    """Services that a Prometheus scrapes: each gets a folder of its own and one of the ports that are scraped."""

    def __init__(self, folder: Path, count: int, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._model = tiny_detector(folder / "tiny.onnx")
        self.addresses = [f"127.0.0.1:{free_port()}" for _ in range(count)]
        self._free = iter(self.addresses)

    def start(self, name: str, *, script: str = "", frames: int = 0, **settings: object) -> tuple[Daemon, str]:
        """Start one, with a video of its own if it has frames; return it and its address."""
        address = next(self._free)
        folder = self._folder / name
        (folder / "videos").mkdir(parents=True)
        (folder / "model.onnx").write_bytes(self._model.read_bytes())
        (folder / ".env").touch()
        if frames:
            make_clip(folder / "videos" / "clip.mp4", Clip(frames=frames))
        return self.restart(name, address, script=script, **settings), address

    def restart(self, name: str, address: str, *, script: str = "", **settings: object) -> Daemon:
        """Start one again at its old address."""
        folder = self._folder / name
        wanted = {"METRICS_PORT": address.rpartition(":")[2], "LOG_LEVEL": "info", **settings}
        return self._stack.enter_context(Daemon(folder, folder / "model.onnx", script=script, **wanted))


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Return what starts services and ends them after the test."""
    needed("prometheus")
    with ExitStack() as stack:
        yield Services(tmp_path, 4, stack)


def broken(owner: str, method: str, fault: str, *, good: int = 0) -> str:
    """Return the program with a fault after so many good calls."""
    return PROGRAM.format(owner=owner, method=method, fault=fault, good=good)


def test_what_stands_still_fires(tmp_path: Path, services: Services) -> None:
    """Engine not opening: NotReady; a decoder does not return: Stalled; an engine is slow: Slow, dropped frames."""
    script = broken("OnnxRuntimeEngine", "open", HANGING)
    _, opening = services.start("opening", script=script)
    script = broken("VideoSource", "read", HANGING, good=6)
    _, hung = services.start("hung", script=script, frames=30)
    script = broken("OnnxRuntimeEngine", "collect", SLOW)
    with FaultyCamera() as camera:
        cameras = f"gate={camera.address()}"
        _, slow = services.start("slow", script=script, SOURCES=cameras, METRICS_TARGET_FPS=1000)
        with Prometheus(tmp_path / "prometheus", services.addresses) as prometheus:
            prometheus.await_alert("TilewatchNotReady", instance=opening)
            prometheus.await_alert("TilewatchStalled", instance=hung)
            prometheus.await_alert("TilewatchSlow", instance=slow)
            prometheus.await_alert("TilewatchDroppingFrames", instance=slow, stream="gate")
            assert not prometheus.fired("TilewatchStalled", instance=opening)
            assert not prometheus.fired("TilewatchDiskFull")


def test_what_an_operator_did_fires(tmp_path: Path, services: Services) -> None:
    """A file that is no video, a setting that cannot be meant, another model in place, a camera off, a shaky one."""
    with FaultyCamera() as gate, FaultyCamera() as yard:
        cameras = f"gate={gate.address()},yard={yard.address()}"
        daemon, address = services.start("ailing", frames=3, SOURCES=cameras, **IMPATIENT)
        with Prometheus(tmp_path / "prometheus", services.addresses) as prometheus:
            wait_for(lambda: len(prometheus.values('tilewatch_stream_up{stream!~"file-.*"} == 1')) == 2, "both cameras")
            calm = ("JobsFailing", "ConfigRefused", "ModelOutdated", "StreamUnstable")
            assert not any(prometheus.fired(f"Tilewatch{alert}", instance=address) for alert in calm)
            yard.refuse()
            for _ in range(9):
                gate.drop()
                daemon.until("stream_connected", stream="gate")
            letter = tmp_path / "ailing" / "videos" / "letter.mp4"
            letter.write_text("Dear Sir or Madam,\n" * 100)
            subprocess.run(["/bin/touch", "-d", "2 hours ago", letter], check=True)
            (tmp_path / "ailing" / ".env").write_text("CONFIDENCE_THRESHOLD=none\n")
            (tmp_path / "ailing" / "model.onnx").write_bytes(b"another one")
            prometheus.await_alert("TilewatchStreamDown", instance=address, stream="yard")
            prometheus.await_alert("TilewatchStreamUnstable", instance=address, stream="gate")
            prometheus.await_alert("TilewatchJobsFailing", instance=address)
            prometheus.await_alert("TilewatchConfigRefused", instance=address)
            prometheus.await_alert("TilewatchModelOutdated", instance=address)
            assert any("model.onnx" in reason for reason in ask(f"http://{address}/status")["reasons"])


def test_what_is_gone_fires_and_keeps_its_followers_quiet(tmp_path: Path, services: Services) -> None:
    """Killed: Down. Killed again and again: Restarting. Alertmanager tells of Down alone."""
    needed("prometheus-alertmanager")
    daemon, address = services.start("killed")
    with (
        Alertmanager(tmp_path / "alertmanager") as alertmanager,
        Prometheus(tmp_path / "prometheus", [address], alertmanager=alertmanager.address) as prometheus,
    ):
        starts = f'changes(process_start_time_seconds{{instance="{address}"}}[5m])'
        for number in range(4):
            prometheus.await_value(f"{starts} >= {number}")
            daemon.kill()
            prometheus.await_alert("TilewatchDown", instance=address)
            daemon = services.restart("killed", address)
        prometheus.await_alert("TilewatchRestarting", instance=address)
        daemon.kill()
        states = wait_for(
            lambda: (found := alertmanager.alerts()).get(("TilewatchRestarting", address)) == "suppressed" and found,
            "Restarting to be suppressed by Down",
        )
        assert states["TilewatchDown", address] == "active"


def test_full_volume_and_growing_queue_fire(tmp_path: Path, services: Services) -> None:
    """On a small volume that fills up no new work is begun: DiskFull, and with every new video QueueGrowing."""
    volume = tmp_path / "full" / "out"
    volume.mkdir(parents=True)
    if os.geteuid() != 0 or subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=16m", "none", volume], check=False, capture_output=True
    ).returncode:  # fmt: skip
        pytest.skip("mounting a small volume needs root")
    try:
        daemon, address = services.start("full", frames=2, DISK_RESERVE="8MB")
        with Prometheus(tmp_path / "prometheus", services.addresses) as prometheus:
            daemon.until("job_done")
            assert not prometheus.fired("TilewatchDiskFull")
            (volume / "filler").write_bytes(bytes(10_000_000))
            prometheus.await_alert("TilewatchDiskFull", instance=address)
            numbers = itertools.count()

            def growing() -> bool:
                number = next(numbers)
                make_clip(tmp_path / "full" / "videos" / f"{number}.mp4", Clip(frames=2, first_number=number))
                return prometheus.fired("TilewatchQueueGrowing", instance=address)

            wait_for(growing, "TilewatchQueueGrowing")
            daemon.kill()
    finally:
        subprocess.run(["/bin/umount", volume], check=True)
