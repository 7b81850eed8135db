"""Cameras in the service as a process: every fault ends by itself, every frame is accounted for, nothing is told."""

from __future__ import annotations

import json
import signal
import time
import urllib.request
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import av
import pytest

from tests.support.camera import RATE, FaultyCamera
from tests.support.clips import Clip, make_clip
from tests.support.daemon import Daemon, free_port
from tests.support.models import tiny_detector

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

CAP = 1.5
HURRIED: dict[str, Any] = {
    "STREAM_TIMEOUT_SECONDS": 1,
    "STREAM_BACKOFF_SECONDS": 0.5,
    "STREAM_BACKOFF_CAP_SECONDS": CAP,
}


HANG = """
import sys
from queue import SimpleQueue
from tilewatch.cli import run_command_line
from tilewatch.video.live import LiveSource
first, whole = iter(range(6)), LiveSource.read
LiveSource.read = lambda source: whole(source) if next(first, None) is not None else SimpleQueue().get()
sys.exit(run_command_line(sys.argv[1:]))
"""
"""The program with a camera's driver that does not return from the seventh call on."""


DIE = """
import os, signal, sys
from tilewatch.cli import run_command_line
from tilewatch.sinks.result import ResultFolder
ResultFolder.commit = lambda folder: os.kill(os.getpid(), signal.SIGKILL)
sys.exit(run_command_line(sys.argv[1:]))
"""
"""The program that is killed before a result appears."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a detector of bright areas with an input of 64 pixels."""
    return tiny_detector(tmp_path / "tiny.onnx")


def manifests(daemon: Daemon) -> list[dict[str, Any]]:
    """Return the manifests of a camera's results in the order of time."""
    return [json.loads(path.read_text()) for path in sorted(daemon.out.glob("gate/*/manifest.json"))]


def rows(daemon: Daemon) -> list[list[dict[str, Any]]]:
    """Return the rows of each result in the order of time."""
    return [
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted(daemon.out.glob("gate/*/tracks.jsonl"))
    ]


def check_agreement(folder: Path) -> None:
    """Check that manifest, rows and video of a result speak of the same frames."""
    lines = [json.loads(line) for line in (folder / "tracks.jsonl").read_text().splitlines()]
    with av.open(folder / "annotated.mp4") as video:
        ticks = [frame.time for frame in video.decode(video=0)]
    written = json.loads((folder / "manifest.json").read_text())["accounts"]["frames"]["written"]
    assert written == len(lines) == len(ticks)
    assert ticks == pytest.approx([line["time"] - lines[0]["time"] for line in lines], abs=1e-4)
    objects = [(line["frame"], found["id"]) for line in lines for found in line["objects"]]
    mot = [line.split(",")[:2] for line in (folder / "tracks.mot.txt").read_text().splitlines()]
    table = [line.split(",") for line in (folder / "tracks.csv").read_text().splitlines()[1:]]
    assert [(int(frame) - 1, int(identity)) for frame, identity in mot] == objects
    assert [(int(cells[0]), int(cells[2])) for cells in table] == objects
    assert (folder / "overview.png").stat().st_size


def fetch(port: int, path: str) -> str:
    """Return what the ops endpoints say."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}") as answer:
        text: str = answer.read().decode()
        return text


def accounted(daemon: Daemon) -> int:
    """Check that every frame is written or counted, in the log and over all results, and return how many came."""
    closed = next(event for event in daemon.events if event["event"] == "stream_closed")
    frames = [manifest["accounts"]["frames"] for manifest in manifests(daemon)]
    assert closed["frames_in"] == closed["written"] + closed["dropped"]
    assert sum(one["written"] for one in frames) == closed["written"]
    assert sum(one["in"] - one["skipped"].get("frame_damaged", 0) for one in frames) == closed["frames_in"]
    assert sum(one["skipped"].get("dropped", 0) for one in frames) == closed["dropped"]
    return int(closed["frames_in"])


def test_every_fault_ends_by_itself_and_no_frame_is_lost(tmp_path: Path, model: Path) -> None:
    """Dropped, stalled, login refused, connection refused, gone: recovered within the cap + 5 s; ids go on."""
    with (
        FaultyCamera() as camera,
        Daemon(tmp_path, model, SOURCES=f"gate={camera.address()}", SEGMENT_SECONDS=3, **HURRIED) as daemon,
    ):
        right = camera.password

        def refuse_login() -> None:
            camera.password = "changed"  # noqa: S105 a pretended one
            camera.drop()

        def accept_login() -> None:
            camera.password = right

        faults = [
            (camera.drop, "ended", camera.resume),
            (camera.stall, "stalled", camera.resume),
            (refuse_login, "login_refused", accept_login),
            (camera.refuse, "unreachable", camera.come_back),
            (camera.vanish, "unreachable", camera.come_back),
        ]
        daemon.until("stream_connected")
        for cause, reason, mend in faults:
            cause()
            daemon.until("stream_lost", reason=reason)
            mend()
            mended = time.monotonic()
            daemon.until("stream_connected")
            assert time.monotonic() - mended < CAP + 5, reason
        daemon.until("segment_done")
        assert daemon.stop() == 0
        assert accounted(daemon) > len(faults)
        assert daemon.litter() == set()
        results = rows(daemon)
    lines = [line for result in results for line in result]
    times = [line["time"] for line in lines]
    assert all(after > before for before, after in pairwise(times))
    assert times[-1] == pytest.approx(time.time(), abs=30)
    assert [line["frame"] for line in results[1]] == list(range(len(results[1])))
    known: set[int] = set()
    given = 0
    for result in results:
        ids = {found["id"] for line in result for found in line["objects"]}
        assert all(found > given for found in ids - known), "an id that was given is never given again"
        known |= ids
        given = max(known)
    assert len(known) > len(results)


def test_nothing_tells_user_password_or_address(tmp_path: Path, model: Path) -> None:
    """Log, metrics, status, page, manifests, and errors of a camera that refuses: its name is all they know."""
    port = free_port()
    with FaultyCamera() as camera:
        sources = f"gate={camera.address()}, yard={camera.address('let-me-in')}, rtsp://127.0.0.1:1/se-cret"
        settings: dict[str, Any] = {
            "SOURCES": sources,
            "SEGMENT_SECONDS": 1,
            "METRICS_PORT": port,
            "LOG_DIR": tmp_path / "log",
        }
        with Daemon(tmp_path, model, **settings, **HURRIED) as daemon:
            daemon.until("stream_lost", stream="yard", reason="login_refused")
            daemon.until("stream_lost", stream="camera-3", reason="unreachable")
            daemon.until("segment_done", stream="gate")
            told = {path: fetch(port, path) for path in ("status", "metrics", "")}
            assert daemon.stop() == 0
            written = [path.read_text() for path in daemon.out.rglob("manifest.json")]
        told["log"] = "\n".join(json.dumps(event) for event in daemon.events)
        told["log file"] = "".join(path.read_text() for path in (tmp_path / "log").iterdir())
        told |= {f"manifest {number}": text for number, text in enumerate(written)}
        words = ("hush-hush", "let-me-in", "se-cret", "user:", "rtsp://", f":{camera.port}")
    assert {(name, word) for name, text in told.items() for word in words if word in text} == set()
    streams = {stream["name"]: stream for stream in json.loads(told["status"])["streams"]}
    assert {name: stream["up"] for name, stream in streams.items()} == {"gate": True, "yard": False, "camera-3": False}
    assert streams["gate"]["frames"] >= RATE - 1
    assert any("camera yard: refuses user and password" in reason for reason in json.loads(told["status"])["reasons"])
    assert 'tilewatch_stream_up{stream="gate"} 1.0' in told["metrics"]
    assert 'tilewatch_stream_up{stream="yard"} 0.0' in told["metrics"]
    assert 'tilewatch_stream_restarts_total{reason="login_refused",stream="yard"}' in told["metrics"]


def test_camera_that_is_too_fast_loses_frames_that_are_counted_and_files_get_on(tmp_path: Path, model: Path) -> None:
    """The oldest frames are dropped at the decoder's door; a video beside the camera is not kept waiting."""
    (tmp_path / "videos").mkdir()
    make_clip(tmp_path / "videos" / "beside.mp4", Clip(frames=10))
    with (
        FaultyCamera(width=640, height=384, rate=60) as camera,
        Daemon(tmp_path, model, SOURCES=f"gate={camera.address()}", SEGMENT_SECONDS=2, **HURRIED) as daemon,
    ):
        waiting = {"segment_done", "job_done"}
        while waiting:
            waiting.discard(daemon.until(min(waiting))["event"])
            waiting -= set(daemon.told())
        assert daemon.stop() == 0
        assert accounted(daemon) > 0
        dropped = [manifest["accounts"]["frames"]["skipped"].get("dropped", 0) for manifest in manifests(daemon)]
        assert sum(dropped) > 0
        assert "beside" in daemon.results()


def test_open_result_of_a_killed_service_appears_up_to_its_last_checkpoint(tmp_path: Path, model: Path) -> None:
    """Whole, marked, with rows that agree with the video; the camera goes on in a new one, and no id is given twice."""
    with FaultyCamera() as camera:
        settings: dict[str, Any] = {
            "SOURCES": f"gate={camera.address()}",
            "SEGMENT_SECONDS": 3600,
            "OUTPUT_FORMATS": "video,jsonl,mot,csv,overview",
        }
        with Daemon(tmp_path, model, **settings, **HURRIED) as daemon:
            daemon.until("checkpoint_saved")
            kept = daemon.until("checkpoint_saved")["frames"]
            daemon.kill()
            assert daemon.results() == set()
        with Daemon(tmp_path, model, **settings, **HURRIED) as daemon:
            told = daemon.until("segment_recovered", stream="gate")
            daemon.until("checkpoint_saved")
            assert daemon.stop() == 0
            assert daemon.litter() == set()
            first, second = manifests(daemon)
            assert [one["status"] for one in (first, second)] == ["interrupted", "complete"]
            assert first["warnings"][0] == "ended early: the process that recorded it ended before it was complete"
            assert kept <= told["frames"] == first["accounts"]["frames"]["written"]
            for folder in sorted(daemon.out.glob("gate/*/")):
                check_agreement(folder)
            before, after = ({found["id"] for line in lines for found in line["objects"]} for lines in rows(daemon))
    assert min(after) > max(before)


def test_second_kill_during_the_recovery_changes_nothing(tmp_path: Path, model: Path) -> None:
    """Killed the moment before the result would have appeared, it appears at the next start, once."""
    with FaultyCamera() as camera:
        settings: dict[str, Any] = {"SOURCES": f"gate={camera.address()}", "SEGMENT_SECONDS": 3600}
        with Daemon(tmp_path, model, **settings, **HURRIED) as daemon:
            kept = daemon.until("checkpoint_saved")["frames"]
            daemon.kill()
        with Daemon(tmp_path, model, script=DIE, **settings, **HURRIED) as daemon:
            assert daemon.ended() == -signal.SIGKILL
            assert manifests(daemon) == []
        with Daemon(tmp_path, model, **settings, **HURRIED) as daemon:
            daemon.until("segment_recovered", stream="gate")
            daemon.until("stream_connected")
            assert daemon.stop() == 0
            assert daemon.litter() == set()
            recovered = [one for one in manifests(daemon) if one["status"] == "interrupted"]
            assert len(recovered) == 1
            assert recovered[0]["accounts"]["frames"]["written"] >= kept


def test_daemon_that_starts_beside_another_leaves_its_camera_alone(tmp_path: Path, model: Path) -> None:
    """Both share the output folder: what one of them has open is no leftover while it lives."""
    with FaultyCamera() as camera:
        settings: dict[str, Any] = {"SOURCES": f"gate={camera.address()}", "SEGMENT_SECONDS": 3600}
        with Daemon(tmp_path, model, **settings, **HURRIED) as first:
            first.until("checkpoint_saved")
            with Daemon(tmp_path, model, SOURCES=f"yard={camera.address()}", **HURRIED) as second:
                second.until("checkpoint_saved")
                assert second.stop() == 0
                assert "segment_recovered" not in second.told()
            assert first.stop() == 0
            statuses = {
                path.parts[-3]: json.loads(path.read_text())["status"] for path in first.out.rglob("manifest.json")
            }
            assert statuses == {"gate": "complete", "yard": "complete"}
            assert first.litter() == set()


def test_little_room_keeps_the_cameras_away(tmp_path: Path, model: Path) -> None:
    """Below DISK_RESERVE nothing is recorded, and the service stays up."""
    with (
        FaultyCamera() as camera,
        Daemon(tmp_path, model, SOURCES=camera.address(), DISK_RESERVE="1000TB", **HURRIED) as daemon,
    ):
        daemon.until("intake_paused", cause="disk")
        assert daemon.stop() == 0
        assert daemon.results() == set()
        assert daemon.told()[-1] == "service_stopped"


def test_ids_go_on_when_the_engine_is_opened_anew(tmp_path: Path, model: Path) -> None:
    """A changed model or tile plan completes the open result; the next one goes on counting."""
    env = tmp_path / ".env"
    env.write_text("TILE_FULL_FRAME=off\nSEGMENT_SECONDS=3600\n")
    with FaultyCamera() as camera, Daemon(tmp_path, model, SOURCES=f"gate={camera.address()}", **HURRIED) as daemon:
        daemon.until("stream_connected")
        camera.drop()
        daemon.until("stream_connected")
        env.write_text("TILE_FULL_FRAME=on\nSEGMENT_SECONDS=1\n")
        daemon.send(signal.SIGHUP)
        daemon.until("stream_closed", stream="gate")
        daemon.until("segment_done")
        assert daemon.stop() == 0
        first, second = rows(daemon)[:2]
        assert [one["settings"]["TILE_FULL_FRAME"] for one in manifests(daemon)[:2]] == ["off", "on"]
    before = {found["id"] for line in first for found in line["objects"]}
    after = {found["id"] for line in second for found in line["objects"]}
    assert max(after) > max(before)
    assert not {found for found in after if found <= max(before)} - before, "an id that was given is never given again"


def test_driver_that_hangs_ends_the_process_so_that_it_is_restarted(tmp_path: Path, model: Path) -> None:
    """A camera that is silent is lost after its time-out; a call that does not come back is another matter: code 70."""
    with (
        FaultyCamera() as camera,
        Daemon(tmp_path, model, script=HANG, SOURCES=f"gate={camera.address()}", STALL_SECONDS=2, **HURRIED) as daemon,
    ):
        assert any("gate: decode" in reason for reason in daemon.until("process_stalled")["reasons"])
        assert daemon.ended() == 70
