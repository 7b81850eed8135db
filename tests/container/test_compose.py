"""`docker compose up -d` with the file as shipped: every video exactly once, whatever happens to the container."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.clips import Clip, make_clip
from tests.support.compose import QUICK, Stack, docker, same_pictures
from tests.support.containers import USER
from tests.support.models import tiny_detector

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

FRAMES = 300
OTHER_USER = 10777
PROJECT = f"tilewatch-test-{secrets.token_hex(3)}"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a video that is in work for some seconds."""
    return make_clip(tmp_path_factory.mktemp("clip") / "long.mp4", Clip(frames=FRAMES))


@pytest.fixture(scope="module")
def service(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Bring up the service with a quick detector; the tests disturb it one after the other."""
    with Stack(tmp_path_factory.mktemp("compose") / "checkout", image, PROJECT) as stack:
        tiny_detector(stack.folder / "models" / "model.onnx")
        stack.settle(**QUICK)
        stack.up()
        stack.until("service_ready")
        yield stack


@pytest.fixture(scope="module")
def undisturbed(service: Stack, clip: Path) -> bytes:
    """Return the tracks of the video where nothing happens meanwhile."""
    same_pictures(clip, service.videos / "undisturbed.mp4", "undisturbed")
    service.until("job_done", path="undisturbed.mp4")
    return service.rows("undisturbed")


def moment(event: dict[str, Any]) -> float:
    """Return when something was told, Unix seconds."""
    told: str = event["timestamp"]
    return datetime.fromisoformat(told.replace("Z", "+00:00")).timestamp()


def begin(service: Stack, clip: Path, name: str) -> None:
    """Drop the video in under a name, and return once some of it is done."""
    same_pictures(clip, service.videos / f"{name}.mp4", name)
    service.until("first_frame_written", stream=name)


def assert_whole(service: Stack, name: str, undisturbed: bytes) -> None:
    """Check that a video has come out once, as if nothing had happened."""
    assert service.rows(name) == undisturbed
    done = [event for event in service.events() if event["event"] == "job_done" and event["path"] == f"{name}.mp4"]
    assert [event["frames"] for event in done] == [FRAMES]
    assert not list(service.output.glob(".work/*"))


def test_fresh_checkout_needs_one_command(image: str, tmp_path: Path) -> None:
    """No settings, no model, no folders made: healthy, and a video dropped into ./videos done, within a minute."""
    with Stack(tmp_path / "checkout", image, f"{PROJECT}-fresh") as stack:
        begun = time.monotonic()
        stack.up()
        make_clip(stack.videos / "dropped.mp4", Clip(frames=10, width=320, height=240))
        stack.until("job_done", path="dropped.mp4")
        stack.compose("up", "-d", "--wait")
        assert time.monotonic() - begun < 60
        assert "(healthy)" in stack.compose("ps")
        assert (stack.output / "dropped" / "annotated.mp4").stat().st_size > 0
        assert "job_done" in (stack.logs / "tilewatch.log").read_text()
        assert stack.status()["state"] == "ready"


def test_process_may_do_no_more_than_it_must(service: Stack) -> None:
    """No root, no capability, none to be had; nothing but results, log and cache can be written."""
    for process in ("1", service.process()):
        facts = dict(line.split(":\t", 1) for line in service.run("cat", f"/proc/{process}/status").splitlines())
        assert set(facts["Uid"].split()) == {"10001"}
        assert {int(facts[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert facts["NoNewPrivs"] == "1"
    mounts = [line.split() for line in service.run("cat", "/proc/mounts").splitlines()]
    read_only = {fields[1] for fields in mounts if "ro" in fields[3].split(",")}
    assert {"/", "/config", "/models", "/videos"} <= read_only
    assert not {"/output", "/logs", "/cache", "/tmp"} & read_only  # noqa: S108 of the container


def test_settings_file_is_in_force_at_once_and_a_bad_one_is_not(service: Stack) -> None:
    """Within two seconds, without a restart, however the file came to be changed; the service stays up."""
    before = service.state()["State"]["StartedAt"], service.process()
    changed = time.time()
    service.settle(**QUICK, CONFIDENCE_THRESHOLD=0.31)
    read = service.until("settings_read", change="live")
    assert moment(read) - changed < 2
    service.settle(**QUICK, CONFIDENCE_THRESHOLD=77)
    refused = "CONFIDENCE_THRESHOLD=77: input should be less than or equal to 1"
    assert service.until("settings_refused")["error"] == refused
    assert service.status()["settings_refused"] == [refused]
    with (service.folder / ".env").open("w") as env:  # in place, as `echo >` does
        env.writelines(f"{name}={value}\n" for name, value in QUICK.items())
    service.until("settings_read")
    assert (service.state()["State"]["StartedAt"], service.process()) == before


def test_killed_process_is_started_again_and_goes_on(service: Stack, clip: Path, undisturbed: bytes) -> None:
    """`kill -9` in the middle of a video."""
    begin(service, clip, "killed")
    before = service.state()["RestartCount"]
    service.signal("KILL")
    assert service.until("work_resumed")["frames"] > 0
    service.until("job_done", path="killed.mp4")
    assert service.state()["RestartCount"] == before + 1
    assert_whole(service, "killed", undisturbed)


def test_stopped_container_ends_in_time_and_goes_on_later(service: Stack, clip: Path, undisturbed: bytes) -> None:
    """`docker compose stop` in the middle of a video: exit code 0 within the grace period."""
    begin(service, clip, "stopped")
    service.compose("stop")
    state = service.state()["State"]
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
    assert "stopped" not in service.results()
    service.up()
    assert service.until("work_resumed")["frames"] > 0
    service.until("job_done", path="stopped.mp4")
    assert_whole(service, "stopped", undisturbed)


def test_process_killed_for_memory_goes_on(service: Stack, clip: Path, undisturbed: bytes) -> None:
    """The kernel ends the largest process of a container whose memory is used up."""
    docker("update", "--memory", "1g", "--memory-swap", "1g", service.container)
    begun = int(time.time())
    begin(service, clip, "oom")
    fill = ["docker", "exec", service.container, "dd", "if=/dev/zero", "of=/dev/shm/fill", "bs=1M", "count=1100"]
    subprocess.run(fill, capture_output=True, check=False)
    service.until("work_resumed")
    service.until("job_done", path="oom.mp4")
    told = docker("events", "--since", begun, "--until", int(time.time()) + 1, "--filter", "event=oom")
    assert service.container in told
    assert_whole(service, "oom", undisturbed)


def test_ten_restarts_in_a_row_lose_nothing(service: Stack, clip: Path, undisturbed: bytes) -> None:
    """As fast as Docker can."""
    begin(service, clip, "restarted")
    docker("restart", *[service.container] * 10)
    service.until("job_done", path="restarted.mp4")
    assert_whole(service, "restarted", undisturbed)


def test_restarted_engine_brings_it_back(service: Stack, clip: Path, undisturbed: bytes) -> None:
    """As after a restart of the machine; TILEWATCH_TEST_ENGINE_RESTART is the command that does it here."""
    command = os.environ.get("TILEWATCH_TEST_ENGINE_RESTART")
    if not command:
        pytest.skip("restarting the engine disturbs whoever uses it: TILEWATCH_TEST_ENGINE_RESTART names no command")
    begin(service, clip, "engine")
    subprocess.run(["bash", "-euc", command], check=True)  # noqa: S607
    assert service.until("work_resumed")["frames"] > 0
    service.until("job_done", path="engine.mp4")
    assert_whole(service, "engine", undisturbed)


def test_two_at_one_folder_do_every_video_once(
    image: str, service: Stack, clip: Path, undisturbed: bytes, tmp_path: Path
) -> None:
    """What one of them had in work when it was stopped, the other goes on with."""
    shared: dict[str, Any] = {"TILEWATCH_VIDEOS": service.videos, "TILEWATCH_OUTPUT": service.output}
    names = [f"shared-{number}" for number in range(4)]
    with Stack(tmp_path / "second", image, f"{PROJECT}-second", **shared) as second:
        tiny_detector(second.folder / "models" / "model.onnx")
        second.settle(**QUICK)
        second.up().until("service_ready")
        same_pictures(clip, service.videos / "handed.mp4", "handed")
        first, other = in_work(service, second)
        first.compose("stop")
        assert other.until("work_resumed")["frames"] > 0
        first.up()
        for name in names:
            same_pictures(clip, service.videos / f"{name}.mp4", name)
        videos = [f"{name}.mp4" for name in ("handed", *names)]
        wanted = len(service.results() | {"handed", *names})

        def all_done(status: dict[str, Any]) -> bool:
            return status["jobs"]["done"] >= wanted and len(done_by(service, second, videos)) >= len(videos)

        other.until_status(all_done)
        assert done_by(service, second, videos) == sorted(videos)
    assert all(service.rows(name) == undisturbed for name in ("handed", *names))


def done_by(one: Stack, two: Stack, videos: list[str]) -> list[str]:
    """Return which of the videos one of two services says to have done, as often as they say so."""
    told = [event for stack in (one, two) for event in stack.events()]
    return sorted(event["path"] for event in told if event["event"] == "job_done" and event["path"] in videos)


def in_work(one: Stack, two: Stack) -> tuple[Stack, Stack]:
    """Return the service that has a video in work, and the other, once one has."""
    found: list[bool] = []

    def begun(status: dict[str, Any]) -> bool:
        found[:] = [any(job["frames"] for job in running) for running in (status["running"], two.status()["running"])]
        return any(found)

    one.until_status(begun)
    return (one, two) if found[0] else (two, one)


def test_frozen_process_is_seen_from_outside(service: Stack) -> None:
    """Docker's health check fails while nothing answers, and passes again once the process goes on."""
    service.until_status(lambda status: bool(status["ready"]))
    assert service.probe().returncode == 0
    service.signal("STOP")
    frozen = service.probe()
    service.signal("CONT")
    assert frozen.returncode == 1
    assert "no answer" in frozen.stdout
    assert service.probe().returncode == 0


def test_folders_of_others_are_named_with_the_command_that_mends_them(image: str, tmp_path: Path) -> None:
    """No restart loop: it says what to run, and goes on by itself once that was done."""
    with Stack(tmp_path / "checkout", image, f"{PROJECT}-folders", TILEWATCH_OUTPUT="./results") as stack:
        tiny_detector(stack.folder / "models" / "model.onnx")
        stack.settle(**QUICK)
        make_clip(stack.videos / "waiting.mp4", Clip(frames=10))
        (stack.folder / "results").mkdir(mode=0o755)
        (stack.folder / "results" / "of somebody else").touch()
        (stack.logs / "tilewatch.log").touch()
        stack.videos.chmod(0o700)
        stack.up()
        commands = {}
        for folder in ("/videos", "/output", "/logs"):
            text = stack.until("folder_refused", folder=folder)["text"]
            commands[folder] = text.split("`")[1]
        assert commands == {
            "/videos": "chmod -R a+rX ./videos",
            "/output": "chown -R 10001:10001 ./results",
            "/logs": "chown -R 10001:10001 ./logs",
        }
        refusal = stack.probe()
        assert refusal.returncode == 1
        assert all(command in refusal.stdout for command in commands.values())
        assert stack.status()["state"] == "starting"
        stack.compose("stop")
        assert stack.state()["State"]["ExitCode"] == 0
        stack.up()
        stack.until("folder_refused", folder="/output")
        for command in commands.values():
            subprocess.run(command.split(), cwd=stack.folder, check=True)
        stack.until("folders_usable")
        stack.until("job_done", path="waiting.mp4")
        assert stack.state()["RestartCount"] == 0
        assert (stack.folder / "results" / "waiting" / "manifest.json").is_file()


def test_private_folder_of_somebody_else_is_left_alone(image: str, tmp_path: Path) -> None:
    """Root with no right but to change owners cannot look into it, and must not take it for an empty one."""
    with Stack(tmp_path / "checkout", image, f"{PROJECT}-private") as stack:
        owner = os.getuid() or OTHER_USER
        (stack.output / "of somebody else").touch()
        stack.output.chmod(0o700)
        os.chown(stack.output, owner, -1)
        stack.compose("run", "--rm", "prepare")
        assert stack.output.stat().st_uid == owner
        assert f"{stack.logs.stat().st_uid}" == USER.split(":")[0], "an empty one that shows it is given"


def test_output_mounted_read_only_is_told_apart(image: str, tmp_path: Path) -> None:
    """No chown would help there."""
    override = "services: {tilewatch: {volumes: ['./output:/output:ro']}}"
    with Stack(tmp_path / "checkout", image, f"{PROJECT}-read-only", override=override) as stack:
        stack.up()
        refusal = stack.until("folder_refused", folder="/output")["text"]
        assert refusal == "/output: is mounted read-only: mount it without `:ro`"


FROZEN = """
import sys
from pathlib import Path
from queue import SimpleQueue
from tilewatch.cli import run_command_line
from tilewatch.video.source import VideoSource
whole, first = VideoSource.read, iter(range(6))
def read(self):
    if next(first, None) is None and not Path("/output/.frozen").exists():
        Path("/output/.frozen").touch()
        SimpleQueue().get()
    return whole(self)
VideoSource.read = read
sys.exit(run_command_line(sys.argv[1:]))
"""
"""The program with a decoder that never returns from its seventh call, once."""


def test_frozen_stage_turns_health_red_and_is_started_anew(image: str, tmp_path: Path) -> None:
    """Within a minute, with the stage in its reason; then everything is green, and the video comes out."""
    override = "services: {tilewatch: {entrypoint: [tini, -g, --, python, /config/frozen.py], command: [serve]}}"
    with Stack(tmp_path / "checkout", image, f"{PROJECT}-frozen", override=override) as stack:
        (stack.folder / "frozen.py").write_text(FROZEN)
        tiny_detector(stack.folder / "models" / "model.onnx")
        stack.settle(**QUICK)
        make_clip(stack.videos / "frozen.mp4", Clip(frames=30))
        stack.up()
        begun = moment(stack.until("job_started"))
        stalled = stack.until("process_stalled")
        assert moment(stalled) - begun < 60
        assert "decode has not moved" in stalled["reasons"][0]
        stack.until("job_done", path="frozen.mp4")
        assert stack.probe().returncode == 0
        assert stack.state()["RestartCount"] == 1
