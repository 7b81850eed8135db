"""`tilewatch serve` as a process: what is dropped in comes out exactly once, whatever happens in between."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.support.clips import Clip, make_clip
from tests.support.daemon import SETTINGS, Daemon, free_port
from tests.support.models import tiny_detector
from tests.support.program import command, environment, run_tilewatch

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

HANG = """
import sys
from queue import SimpleQueue
from tilewatch.cli import run_command_line
from tilewatch.{module} import {name}
first, whole = iter(range(6)), {name}.{method}
def hangs(*given):
    return whole(*given) if next(first, None) is not None else SimpleQueue().get()
{name}.{method} = hangs
sys.exit(run_command_line(sys.argv[1:]))
"""
"""The program with one call that does not return from the seventh time on."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a detector of bright areas with an input of 64 pixels."""
    return tiny_detector(tmp_path / "tiny.onnx")


def wanted_rows(tmp_path: Path, model: Path, clip: Path) -> bytes:
    """Return the tracks that an undisturbed run gives."""
    out = tmp_path / "undisturbed"
    done = subprocess.run(
        command("run", clip, "-o", out), env=environment(MODEL_PATH=str(model), **SETTINGS), check=False
    )
    assert done.returncode == 0
    rows: bytes = (out / clip.stem / "tracks.jsonl").read_bytes()
    return rows


def test_every_video_comes_out_once_and_nothing_else(tmp_path: Path, model: Path) -> None:
    """Files that are there, that come later, in subfolders, renamed into place, with the same stem or content."""
    for index, name in enumerate(("a.mp4", "sub/b.mp4", "twin.mp4", "twin.mkv", "sub/twin.mp4")):
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        make_clip(path, Clip(frames=4 + index))
    (tmp_path / "videos" / ".hidden.mp4").write_bytes(b"no")
    late = make_clip(tmp_path / "late.mp4", Clip(frames=20))
    with Daemon(tmp_path, model) as daemon:
        daemon.until("service_ready")
        for _ in range(5):
            daemon.until("job_done")
        shutil.copy(daemon.videos / "a.mp4", daemon.videos / "again.mp4")
        late.rename(daemon.videos / "späte Überraschung.mp4")
        daemon.until("job_done", path="späte Überraschung.mp4")
        make_clip(tmp_path / "raw.mp4", Clip(frames=21)).rename(daemon.videos / os.fsdecode(b"raw\xff.mp4"))
        daemon.until("job_done", frames=21)
        assert daemon.stop() == 0
        assert daemon.results() == {
            "a", "sub/b", "sub/twin", "twin.mp4", "twin.mkv", "späte Überraschung", os.fsdecode(b"raw\xff")
        }  # fmt: skip
        assert daemon.litter() == set()
        assert daemon.told().count("job_done") == 7
    with Daemon(tmp_path, model) as daemon:
        daemon.until("service_ready")
        assert daemon.stop() == 0
        assert "job_started" not in daemon.told()


def test_killed_daemon_goes_on_and_gives_the_undisturbed_tracks(tmp_path: Path, model: Path) -> None:
    """Power gone in the middle of a file, twice: one result, its rows to the byte, no orphans."""
    clip = make_clip(tmp_path / "long.mp4", Clip(frames=400, audio="aac"))
    rows = wanted_rows(tmp_path, model, clip)
    (tmp_path / "videos").mkdir()
    clip.rename(tmp_path / "videos" / "long.mp4")
    for attempt in range(1, 3):
        with Daemon(tmp_path, model) as daemon:
            daemon.until("job_started", attempt=attempt)
            daemon.until("checkpoint_saved", frames=20 * attempt)
            daemon.kill()
    with Daemon(tmp_path, model) as daemon:
        assert daemon.until("work_resumed")["frames"] >= 40
        daemon.until("job_done", frames=400)
        assert daemon.stop() == 0
        assert (daemon.out / "long" / "tracks.jsonl").read_bytes() == rows
        assert daemon.results() == {"long"}
        assert daemon.litter() == set()


def test_stopped_daemon_keeps_what_is_done(tmp_path: Path, model: Path) -> None:
    """SIGTERM: exit code 0, no attempt is burnt, and the next start goes on behind the last frame."""
    clip = make_clip(tmp_path / "long.mp4", Clip(frames=400))
    rows = wanted_rows(tmp_path, model, clip)
    (tmp_path / "videos").mkdir()
    clip.rename(tmp_path / "videos" / "long.mp4")
    with Daemon(tmp_path, model) as daemon:
        daemon.until("first_frame_written")
        assert daemon.stop() == 0
        kept = next(event["frames"] for event in daemon.events if event["event"] == "job_suspended")
        assert daemon.results() == set()
    with Daemon(tmp_path, model) as daemon:
        assert daemon.until("job_started")["attempt"] == 1
        assert daemon.until("work_resumed")["frames"] == kept
        daemon.until("job_done", frames=400)
        assert daemon.stop() == 0
        assert (daemon.out / "long" / "tracks.jsonl").read_bytes() == rows


def test_file_that_kills_the_process_is_set_aside(tmp_path: Path, model: Path) -> None:
    """After MAX_ATTEMPTS crashes it is failed with the reason, and the rest goes on."""
    (tmp_path / "videos").mkdir()
    make_clip(tmp_path / "videos" / "a-poison.mp4", Clip(frames=600))
    for _ in range(2):
        with Daemon(tmp_path, model, MAX_ATTEMPTS=2) as daemon:
            daemon.until("job_started", path="a-poison.mp4")
            daemon.kill()
    make_clip(tmp_path / "videos" / "good.mp4", Clip(frames=5))
    with Daemon(tmp_path, model, MAX_ATTEMPTS=2) as daemon:
        daemon.until("job_done", path="good.mp4")
        assert daemon.stop() == 0
        assert daemon.results() == {"good"}
        assert daemon.litter() == set()
    jobs = json.loads(run_tilewatch("jobs", "list", "--json", "--output", tmp_path / "out").stdout)
    assert {job["path"]: job["reason"] for job in jobs["jobs"] if job["state"] == "failed"} == {
        "a-poison.mp4": "crashed"
    }


def test_files_that_are_no_videos_fail_with_a_reason_and_hold_up_nobody(tmp_path: Path, model: Path) -> None:
    """0 bytes, garbage, no index: each is set aside in words once nothing more can be expected of it."""
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "empty.mp4").touch()
    (videos / "letter.mp4").write_text("Dear Sir or Madam,\n" * 100)
    whole = make_clip(videos / "whole.mp4", Clip(frames=9))
    (videos / "cut.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    for path in videos.iterdir():
        subprocess.run(["/bin/touch", "-d", "2 hours ago", path], check=True)
    with Daemon(tmp_path, model) as daemon:
        failures = [daemon.until("job_failed") for _ in range(3)]
        daemon.stop()
    assert {event["path"] for event in failures} == {"empty.mp4", "letter.mp4", "cut.mp4"}
    assert {event["reason"] for event in failures} == {"bad_input"}
    assert all(event["path"] in event["error"] for event in failures)
    assert {path.name for path in (tmp_path / "out").glob("[!.]*")} == {"whole"}


@pytest.mark.parametrize(
    ("module", "name", "method"),
    [
        ("video.source", "VideoSource", "read"),
        ("engines.onnxruntime", "OnnxRuntimeEngine", "collect"),
        ("video.segments", "SegmentedWriter", "write"),
    ],
)
def test_hung_call_ends_the_process_so_that_it_is_restarted(
    tmp_path: Path, model: Path, module: str, name: str, method: str
) -> None:
    """Decoder, engine or encoder: exit code 70, with the stage that stands still in the log."""
    (tmp_path / "videos").mkdir()
    make_clip(tmp_path / "videos" / "a.mp4", Clip(frames=30))
    script = HANG.format(module=module, name=name, method=method)
    with Daemon(tmp_path, model, script=script, STALL_SECONDS=1) as daemon:
        stalled = daemon.until("process_stalled")
        assert daemon.ended() == 70
    stage = {"video.source": "decode", "engines.onnxruntime": "device", "video.segments": "encode"}[module]
    assert any(stage in reason for reason in stalled["reasons"])


def test_little_room_pauses_the_intake(tmp_path: Path, model: Path) -> None:
    """Below DISK_RESERVE no video is begun; the service stays up, and says so where an operator looks."""
    (tmp_path / "videos").mkdir()
    make_clip(tmp_path / "videos" / "a.mp4", Clip(frames=5))
    port = free_port()
    with Daemon(tmp_path, model, DISK_RESERVE="1000TB", METRICS_PORT=port) as daemon:
        assert "DISK_RESERVE" in daemon.until("intake_paused", cause="disk")["text"]
        daemon.until("job_found")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/status") as answer:
            status = json.load(answer)
        assert daemon.stop() == 0
        assert "job_started" not in daemon.told()
    assert status["state"] == "degraded"
    assert any("DISK_RESERVE" in reason for reason in status["reasons"])


def test_metrics_and_health_of_a_working_service(tmp_path: Path, model: Path) -> None:
    """Ready after warm-up; the counts of the original system under our prefix, by slot and never by name."""
    (tmp_path / "videos").mkdir()
    make_clip(tmp_path / "videos" / "a.mp4", Clip(frames=11))
    port = free_port()
    with Daemon(tmp_path, model, METRICS_PORT=port) as daemon:
        daemon.until("job_done")
        texts = {}
        for path in ("healthz/live", "healthz/ready", "metrics", ""):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}") as answer:
                texts[path] = answer.read().decode()
        assert daemon.stop() == 0
    assert texts["healthz/ready"].strip() == "ok"
    assert "tilewatch_frames_processed_total 11.0" in texts["metrics"]
    assert 'tilewatch_jobs{state="done"} 1.0' in texts["metrics"]
    assert 'stream="file-0"' in texts["metrics"]
    assert 'tilewatch_decoder_info{decoder="software"} 1.0' in texts["metrics"]
    assert 'tilewatch_encoder_info{encoder="libx264"} 1.0' in texts["metrics"]
    assert "a.mp4" not in texts["metrics"]
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/")


GPU_HANGS = """
import sys
from tilewatch.__main__ import main
from tilewatch.service import gpus
from tilewatch.telemetry.gpus.reading import GpuReading, as_line
line = as_line([GpuReading(device="0", name="NVIDIA L4", power=70.5)])
gpus.present = lambda: True
gpus.command = lambda: [sys.executable, "-c", f"import time; print({line!r}, flush=True); time.sleep(600)"]
sys.exit(main())
"""
"""The program with a GPU whose driver falls silent after one answer."""


def test_gpu_is_shown_and_a_driver_that_hangs_holds_up_nothing(tmp_path: Path, model: Path) -> None:
    """Metrics and status have the last reading; a reader that has fallen silent does not delay the stop."""
    port = free_port()
    with Daemon(tmp_path, model, script=GPU_HANGS, METRICS_PORT=port) as daemon:
        daemon.until("gpus_read")
        daemon.until("service_ready")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert 'tilewatch_gpu_power_watts{device="0"} 70.5' in answer.read().decode()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/status") as answer:
            status = json.load(answer)
        assert daemon.stop() == 0
    assert [gpu["name"] for gpu in status["gpus"]] == ["NVIDIA L4"]
    assert status["encoder"] == "libx264"


STOPPED_IN_A_CALLBACK = """
import os, signal, sys, weakref
import tilewatch.service.serve as module
from tilewatch.cli import run_command_line

class Thing: pass

def serve(settings, file):
    thing = Thing()
    watched = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    del thing
    return 99

module.serve = serve
sys.exit(run_command_line(["serve"]))
"""


def test_stop_is_heard_wherever_the_start_is() -> None:
    """In a callback of the interpreter, as each import has them, where all that a signal handler raises is lost."""
    done = subprocess.run(
        [sys.executable, "-c", STOPPED_IN_A_CALLBACK], capture_output=True, timeout=60, check=False, env=environment()
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_folders_that_do_not_do_stop_the_start(tmp_path: Path, model: Path) -> None:
    """Exit code 78, the folder by name and what to do."""
    missing = run_tilewatch("serve", code=78, WATCH_DIR=str(tmp_path / "nowhere"), MODEL_PATH=str(model))
    assert "nowhere" in missing.stderr
    assert "WATCH_DIR" in missing.stderr
    refused = run_tilewatch("serve", code=78, WATCH_DIR=str(tmp_path), OUTPUT_DIR="/proc/x", MODEL_PATH=str(model))
    assert "OUTPUT_DIR" in refused.stderr


@pytest.mark.parametrize(("path", "tile", "said"), [("/nowhere.onnx", 64, "/nowhere.onnx"), ("", 96, "TILE_SIZE=64")])
def test_model_that_does_not_do_stops_the_start(tmp_path: Path, model: Path, path: str, tile: int, said: str) -> None:
    """At once, with exit code 78 and what to do: not by the watchdog, two minutes later, for another reason."""
    refused = run_tilewatch(
        "serve",
        code=78,
        WATCH_DIR=str(tmp_path),
        OUTPUT_DIR=str(tmp_path / "out"),
        MODEL_PATH=path or str(model),
        TILE_SIZE=str(tile),
        TILE_OVERLAP="16",
        METRICS_PORT="0",
    )
    assert said in refused.stderr
    assert "process_stalled" not in refused.stdout
