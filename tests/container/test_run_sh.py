"""`./run.sh` over the image, with a real engine: what a user gets who has Docker and no Python."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support.clips import Clip, make_clip
from tests.support.containers import docker
from tests.support.program import ROOT, environment
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INTERRUPTED = 75


@pytest.fixture
def tag(image: str) -> Iterator[str]:
    """Return a name of the image that this test's containers alone have."""
    chosen = f"tilewatch-run:{uuid.uuid4().hex[:12]}"
    docker("tag", image, chosen)
    yield chosen
    docker("rmi", chosen, check=False)


def command(*arguments: object) -> list[str]:
    """Return the command line of run.sh."""
    return [str(ROOT / "run.sh"), *map(str, arguments)]


def test_a_video_and_a_folder_elsewhere(tag: str, tmp_path: Path) -> None:
    """Paths are what they are outside; results belong to the caller; settings hold."""
    here, results = tmp_path / "here", tmp_path / "there" / "results"
    here.mkdir()
    clip = make_clip(tmp_path / "a clip.mp4", Clip(frames=3))
    env = environment(TILEWATCH_IMAGE=tag, CONFIDENCE_THRESHOLD="0.7", XDG_CACHE_HOME=str(tmp_path / "cache"))
    subprocess.run(command(clip, "-o", results), cwd=here, env=env, check=True, capture_output=True, timeout=100)
    manifest = results / "a clip" / "manifest.json"
    assert json.loads(manifest.read_text())["settings"]["CONFIDENCE_THRESHOLD"] == 0.7
    assert manifest.stat().st_uid == os.getuid()


def test_demo_needs_no_network(tag: str, tmp_path: Path) -> None:
    """Model and clip are in the image; without -o the result is in a folder of its own."""
    env = environment(TILEWATCH_IMAGE=tag, XDG_CACHE_HOME=str(tmp_path / "cache"))
    words = command("--demo", "--max-frames", "3")
    subprocess.run(words, cwd=tmp_path, env=env, check=True, capture_output=True, timeout=100)
    assert len(list(tmp_path.glob("output/*/bikes/annotated.mp4"))) == 1


def test_interrupt_leaves_a_playable_result_and_no_container(tag: str, tmp_path: Path) -> None:
    """Ctrl-C ends it as it ends the program: exit code 75, what was done is there, the container is gone."""
    make_clip(tmp_path / "clip.mp4", Clip(frames=2000, width=640, height=384))
    env = environment(TILEWATCH_IMAGE=tag, XDG_CACHE_HOME=str(tmp_path / "cache"))
    words = command("clip.mp4", "-o", "out")
    with subprocess.Popen(
        words, cwd=tmp_path, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as running:
        assert running.stderr is not None
        log = []
        for line in running.stderr:
            log.append(line)
            if "first_frame_written" in line:
                break
        running.send_signal(signal.SIGINT)
        log.append(running.stderr.read())
        assert running.wait(timeout=60) == INTERRUPTED, "".join(log)
    assert json.loads((tmp_path / "out/clip/manifest.json").read_text())["status"] == "interrupted"
    wait_for(lambda: not docker("ps", "--all", "--quiet", "--filter", f"ancestor={tag}"), "no container left", 10)
