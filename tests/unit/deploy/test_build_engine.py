"""`deploy/jetson/build_engine.sh`: the command it makes of its options, and what it says when that cannot work."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.program import ROOT, environment

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = ROOT / "deploy" / "jetson" / "build_engine.sh"
ORIN = "NVIDIA Jetson Orin NX Engineering Reference Developer Kit\0"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Return a folder with a model in it."""
    folder = tmp_path / "my models"
    folder.mkdir()
    (folder / "model.onnx").touch()
    return folder


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """Return a video."""
    video = tmp_path / "the gate.mp4"
    video.touch()
    return video


def started(
    tmp_path: Path, *arguments: object, machine: str = ORIN, path: str = ""
) -> subprocess.CompletedProcess[str]:
    """Return what the script does on a machine of this name."""
    tree = tmp_path / "model"
    tree.write_text(machine)
    env = environment(DEVICE_TREE_MODEL=str(tree), PATH=path or os.environ["PATH"])
    env.pop("TILEWATCH_IMAGE", None)
    return subprocess.run([SCRIPT, *map(str, arguments)], env=env, capture_output=True, text=True, check=False)


def command(tmp_path: Path, *arguments: object, machine: str = ORIN) -> list[str]:
    """Return the command it would run."""
    done = started(tmp_path, "--dry-run", *arguments, machine=machine)
    assert done.returncode == 0, done.stderr
    return shlex.split(done.stdout)


def mounts(words: list[str]) -> list[str]:
    """Return what a docker command mounts."""
    return [words[at + 1] for at, word in enumerate(words) if word == "-v"]


def test_jetson_builds_in_its_own_image_through_its_runtime(tmp_path: Path, models: Path, footage: Path) -> None:
    """The models can be written, by their owner; the footage is there to read; nothing else of the machine is seen."""
    words = command(tmp_path, "--models", models, "--calibrate", footage)
    assert words[:2] == ["docker", "run"]
    assert words[words.index("--runtime") + 1] == "nvidia"
    assert [words[at + 1] for at, word in enumerate(words) if word == "--group-add"] == ["44", "104"]
    assert mounts(words) == [f"{models}:/models", f"{footage}:/footage/0-the gate.mp4:ro"]
    assert words[words.index("--user") + 1] == f"{models.stat().st_uid}:{models.stat().st_gid}"
    tail = ["tilewatch:jetson", "model", "build", "/models/model.onnx", "--output", "/models/model.engine"]
    tail += ["--calibrate", "/footage/0-the gate.mp4"]
    assert words[-len(tail) :] == tail


def test_card_builds_in_the_image_for_cards(tmp_path: Path, models: Path, footage: Path) -> None:
    """A machine that says it is something else, or nothing."""
    words = command(tmp_path, "--models", models, "--calibrate", footage, machine="Standard PC")
    assert words[words.index("--gpus") + 1] == "all"
    assert "tilewatch:cuda" in words


def test_options_reach_the_build(tmp_path: Path, models: Path, footage: Path) -> None:
    """As they are, after the script's own; videos of one name do not hide each other."""
    both = ("--calibrate", footage, "--calibrate", footage)
    words = command(tmp_path, "--models", models, *both, "--image", "mine:1", "--", "--precision", "int8")
    assert words[-2:] == ["--precision", "int8"]
    assert len({mount.split(":")[1] for mount in mounts(words)}) == 3
    assert "mine:1" in words


def test_local_program_needs_no_container(tmp_path: Path, models: Path, footage: Path) -> None:
    """The same build by the tilewatch of the machine."""
    words = command(tmp_path, "--models", models, "--calibrate", footage, "--local")
    build = ["tilewatch", "model", "build", f"{models}/model.onnx", "--output", f"{models}/model.engine"]
    assert words == [*build, "--calibrate", str(footage)]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--modells", "x"], 64, "--modells: unknown"),
        (["--models"], 64, "--models needs a value"),
        (["--models", "MODELS"], 64, "--calibrate VIDEO is missing"),
        (["--models", "MODELS", "--calibrate", "/nowhere.mp4"], 65, "/nowhere.mp4: no such file"),
        (["--models", "/nowhere"], 65, "/nowhere/model.onnx: no such file: put the model there"),
    ],
)
def test_what_cannot_work_is_said_before_anything_runs(
    tmp_path: Path, models: Path, arguments: list[str], code: int, words: str
) -> None:
    """With a code of its own and what to do."""
    done = started(tmp_path, *[str(models) if word == "MODELS" else word for word in arguments])
    assert done.returncode == code
    assert words in done.stderr


def test_missing_image_is_said_with_the_command_that_makes_it(tmp_path: Path, models: Path, footage: Path) -> None:
    """Docker would try to fetch it from a registry that has none."""
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    words = ("--models", models, "--calibrate", footage)
    done = started(tmp_path, *words, path=f"{docker.parent}:{os.environ['PATH']}")
    assert done.returncode == 69
    assert "docker build -f Dockerfile.multi --target jetson -t tilewatch:jetson ." in done.stderr


def test_help_names_every_option(tmp_path: Path) -> None:
    """And ends well."""
    done = started(tmp_path, "--help")
    assert done.returncode == 0
    assert all(option in done.stdout for option in ("--models", "--calibrate", "--image", "--local", "--dry-run"))
