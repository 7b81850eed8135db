"""Settings that change while the service runs: taken over live, by opening anew, or refused in words."""

from __future__ import annotations

import json
import signal
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.clips import Clip, make_clip
from tests.support.daemon import Daemon, free_port
from tests.support.models import tiny_detector

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a detector of bright areas with an input of 64 pixels."""
    return tiny_detector(tmp_path / "tiny.onnx")


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """Return a video of 400 frames in the watched folder."""
    (tmp_path / "videos").mkdir()
    return make_clip(tmp_path / "videos" / "long.mp4", Clip(frames=400))


def manifest(daemon: Daemon) -> dict[str, Any]:
    """Return what is told of the result."""
    found: dict[str, Any] = json.loads((daemon.out / "long" / "manifest.json").read_text())
    return found


@pytest.mark.usefixtures("long")
def test_thresholds_are_taken_over_at_the_next_frame(tmp_path: Path, model: Path) -> None:
    """A changed file is noticed; the video in work goes on, ids and all, and its manifest says so."""
    env = tmp_path / ".env"
    env.write_text("CONFIDENCE_THRESHOLD=0.3\n")
    with Daemon(tmp_path, model) as daemon:
        daemon.until("checkpoint_saved", frames=10)
        env.write_text("CONFIDENCE_THRESHOLD=0.99\nTRACK_LOW=0.99\nDRAW_LABELS=false\n")
        assert daemon.until("settings_read")["change"] == "live"
        daemon.until("job_done", frames=400)
        assert daemon.stop() == 0
        told = manifest(daemon)
        rows = [json.loads(line) for line in (daemon.out / "long" / "tracks.jsonl").read_text().splitlines()]
    assert "job_suspended" not in daemon.told()
    first, last = ([item["score"] for item in row["objects"]] for row in (rows[0], rows[-1]))
    assert min(first) < 0.99 <= min(last)
    assert told["settings"]["CONFIDENCE_THRESHOLD"] == 0.99
    assert any("settings were changed" in warning for warning in told["warnings"])


@pytest.mark.usefixtures("long")
def test_what_touches_the_engine_opens_it_anew(tmp_path: Path, model: Path) -> None:
    """At SIGHUP; the video in work is kept and begun again as the new settings want it."""
    env = tmp_path / ".env"
    env.write_text("TILE_FULL_FRAME=off\n")
    with Daemon(tmp_path, model) as daemon:
        daemon.until("checkpoint_saved", frames=10)
        env.write_text("TILE_FULL_FRAME=on\n")
        daemon.send(signal.SIGHUP)
        assert daemon.until("settings_read")["change"] == "reopen"
        daemon.until("job_suspended")
        daemon.until("service_ready")
        daemon.until("job_done", frames=400)
        assert daemon.stop() == 0
        told = manifest(daemon)
    assert told["settings"]["TILE_FULL_FRAME"] == "on"
    assert told["accounts"]["tiles"]["inferred"] == 400 * 7


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("CONFIDENCE_TRESHOLD=0.4", "did you mean CONFIDENCE_THRESHOLD?"),
        ("TILE_SCALE=77", "TILE_SCALE=77"),
        ("SETTLE_SECONDS=9", "restart the service"),
        ("HEAD=detr", "HEAD"),
    ],
)
def test_bad_change_is_refused_and_the_old_settings_stay(tmp_path: Path, model: Path, line: str, words: str) -> None:
    """In the log, in /status and as a metric; the service works on, and a mended file ends it."""
    env, port = tmp_path / ".env", free_port()
    env.write_text("LOG_LEVEL=debug\n")
    settings = {} if not line.startswith("SETTLE") else {"SETTLE_SECONDS": ""}
    with Daemon(tmp_path, model, METRICS_PORT=port, **settings) as daemon:
        daemon.until("service_ready")
        env.write_text(f"LOG_LEVEL=debug\n{line}\n")
        assert words in daemon.until("settings_refused")["error"]
        if line.startswith("HEAD"):  # is found out when the engine opens: the old one is there again
            daemon.until("service_ready")
        assert words in json.loads(asked(port, "status"))["settings_refused"][0]
        assert "tilewatch_settings_refused 1.0" in asked(port, "metrics")
        make_clip(daemon.videos / "a.mp4", Clip(frames=5))
        daemon.until("job_done", frames=5)
        env.write_text("LOG_LEVEL=debug\nDRAW_LABELS=false\n")
        daemon.until("settings_read")
        assert json.loads(asked(port, "status"))["settings_refused"] == []
        assert daemon.stop() == 0


def test_reserve_of_the_disk_is_taken_over_while_it_runs(tmp_path: Path, model: Path) -> None:
    """More than there is pauses the intake at the next look at the disk; less ends that."""
    env = tmp_path / ".env"
    env.write_text("DISK_RESERVE=1MB\n")
    with Daemon(tmp_path, model) as daemon:
        daemon.until("service_ready")
        env.write_text("DISK_RESERVE=1000TB\n")
        assert "DISK_RESERVE is 1000000.0 GB" in daemon.until("intake_paused", cause="disk")["text"]
        env.write_text("DISK_RESERVE=1MB\n")
        daemon.until("intake_resumed", cause="disk")
        assert daemon.stop() == 0


def test_settings_file_that_comes_later_is_read_and_one_that_goes_is_forgotten(tmp_path: Path, model: Path) -> None:
    """Whether there is one at the start makes no difference."""
    env = tmp_path / ".env"
    with Daemon(tmp_path, model) as daemon:
        daemon.until("service_ready")
        env.write_text("DRAW_LABELS=false\n")
        daemon.until("settings_read", change="live")
        env.unlink()
        daemon.until("settings_read", change="live")
        assert daemon.stop() == 0


def asked(port: int, path: str) -> str:
    """Return what an endpoint answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}") as answer:
        text: str = answer.read().decode()
        return text
