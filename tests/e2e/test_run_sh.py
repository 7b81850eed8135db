"""`./run.sh` where an image is present: the container gets to see what the arguments name, and nothing more."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.program import ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RECORDER = """#!/bin/bash
case $1 in
  image) case " ${FAKE_IMAGES:-tilewatch:latest} " in *" ${@: -1} "*) echo "${FAKE_TARGET:-cpu}" ;; *) exit 1 ;; esac ;;
  info) echo "${FAKE_RUNTIMES:-}" ;;
  *) printf '%s\\n' "$@" ;;
esac
"""
CARD = '{"nvidia":{"path":"nvidia-container-runtime"},"runc":{"path":"runc"}}'


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    """Return a folder with a `docker` that has the images of FAKE_IMAGES and prints how it is called."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(RECORDER)
    program.chmod(0o755)
    return program.parent


def called(
    docker: Path, cwd: Path, *arguments: object, code: int = 0, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run run.sh in a folder, check its exit code, and return what it and `docker` printed."""
    path = f"{docker}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [ROOT / "run.sh", *map(str, arguments)],
        cwd=cwd,
        env=environment(PATH=path, XDG_CACHE_HOME=str(docker / "cache"), **(env or {})),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def mounted(docker: Path, cwd: Path, *arguments: object, env: Mapping[str, str] | None = None) -> list[str]:
    """Return the mounts run.sh asks for, without those of the working folder and the cache."""
    done = called(docker, cwd, *arguments, env=env)
    assert "using the container image tilewatch:latest" in done.stderr
    return [line.removeprefix("-v") for line in done.stdout.splitlines() if line.startswith("-v") and len(line) > 2]


def test_paths_outside_the_working_folder_are_mounted_as_they_are_called(tmp_path: Path, docker: Path) -> None:
    """Inputs and models read-only, also through a link; the output's folder writable, and made beforehand."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    (there / "a b.mp4").touch()
    (there / "link.mp4").symlink_to(there / "a b.mp4")
    results = tmp_path / "results"
    video, link = there / "a b.mp4", there / "link.mp4"
    assert set(mounted(docker, here, link, f"--input={video}", "-o", results / "out.mp4")) == {
        f"{results}:{results}",
        f"{video}:{link}:ro",
        f"{video}:{video}:ro",
    }
    assert results.is_dir()


def test_paths_inside_the_working_folder_need_no_mount(tmp_path: Path, docker: Path) -> None:
    """The working folder is there whole; a second mount of a part of it would be refused or hide it."""
    (tmp_path / "a.mp4").touch()
    assert mounted(docker, tmp_path, "a.mp4", "--output", "out.mp4", "--max-frames", "5") == []
    assert mounted(docker, tmp_path, "a.mp4", "-o", "results", "--conf", "0.3") == []


def test_results_without_a_named_place_get_one_of_their_own(tmp_path: Path, docker: Path) -> None:
    """A folder called after the time, in the working folder; a setting that names one is left in force."""
    (tmp_path / "a.mp4").touch()
    words = called(docker, tmp_path, "a.mp4").stdout.splitlines()
    assert re.fullmatch(r"output/\d{4}-\d\d-\d\d_\d{6}", words[words.index("-o") + 1])
    assert "-eOUTPUT_DIR=" in words, "the image's own /output is not there in a single run"
    (tmp_path / ".env").write_text("OUTPUT_DIR=results\n")
    assert "-o" not in called(docker, tmp_path, "a.mp4").stdout.splitlines()


def test_exported_settings_hold_in_the_container(tmp_path: Path, docker: Path) -> None:
    """Each by name, so that no value shows in a process list; the files they name are shown to it."""
    here = tmp_path / "here"
    here.mkdir()
    model, results = tmp_path / "model.onnx", tmp_path / "results"
    model.touch()
    env = {"CONFIDENCE_THRESHOLD": "0.4", "MODEL_PATH": str(model), "OUTPUT_DIR": str(results)}
    words = called(docker, here, "a.mp4", env=env).stdout.splitlines()
    assert {"-eCONFIDENCE_THRESHOLD", "-eMODEL_PATH", "-eOUTPUT_DIR"} < set(words)
    assert set(mounted(docker, here, "a.mp4", env=env)) == {f"{model}:{model}:ro", f"{results}:{results}"}


def test_nothing_is_granted_and_nothing_left(tmp_path: Path, docker: Path) -> None:
    """The caller's own user, a read-only root, no capabilities, and no container behind."""
    words = called(docker, tmp_path, "a.mp4").stdout.splitlines()
    assert {"--rm", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"} < set(words)
    assert words[words.index("--user") + 1] == f"{os.getuid()}:{os.getgid()}"
    assert not [word for word in words if "nvidia" in word.lower()]


@pytest.mark.parametrize(("target", "device"), [("cuda", "nvidiactl"), ("jetson", "nvhost-gpu"), ("jetson", "nvgpu")])
def test_image_for_nvidia_gets_the_gpu(tmp_path: Path, docker: Path, target: str, device: str) -> None:
    """What the image's label says it is for."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / device).touch()
    env = {"FAKE_TARGET": target, "FAKE_RUNTIMES": CARD, "TILEWATCH_HOST_ROOT": str(tmp_path)}
    assert "--runtime=nvidia" in called(docker, tmp_path, "a.mp4", env=env).stdout.splitlines()


@pytest.mark.parametrize(
    ("target", "device", "runtimes", "message"),
    [
        ("cuda", "null", CARD, "/dev/nvidiactl is missing"),
        ("cuda", "nvidiactl", '{"runc":{}}', "nvidia-ctk runtime configure"),
        ("jetson", "nvidiactl", CARD, "neither /dev/nvhost-gpu nor /dev/nvgpu"),
        ("jetson", "nvhost-gpu", '{"runc":{}}', "nvidia-ctk runtime configure"),
    ],
)
def test_image_for_nvidia_is_not_started_without_a_gpu(
    tmp_path: Path, docker: Path, target: str, device: str, runtimes: str, message: str
) -> None:
    """Exit code 70 and what to install, before any container is made."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / device).touch()
    env = {"FAKE_TARGET": target, "FAKE_RUNTIMES": runtimes, "TILEWATCH_HOST_ROOT": str(tmp_path)}
    done = called(docker, tmp_path, "a.mp4", code=70, env=env)
    assert message in done.stderr
    assert "run" not in done.stdout.splitlines()


def test_dry_run_prints_the_command_and_makes_nothing(tmp_path: Path, docker: Path) -> None:
    """What is printed can be pasted into a shell."""
    here = tmp_path / "here"
    here.mkdir()
    done = called(docker, here, "a b.mp4", "-o", tmp_path / "results", "--dry-run")
    words = shlex.split(done.stdout)
    assert words[:2] == ["docker", "run"]
    assert "a b.mp4" in words
    assert "--dry-run" not in words
    assert not (tmp_path / "results").exists()


def test_image_that_compose_has_built_does_as_well(tmp_path: Path, docker: Path) -> None:
    """After `docker compose up -d` there is no tilewatch:latest; where there is, it is the chosen one."""
    composed = called(docker, tmp_path, "a.mp4", env={"FAKE_IMAGES": "tilewatch:cpu"})
    assert "using the container image tilewatch:cpu" in composed.stderr
    assert "tilewatch:cpu" in composed.stdout.splitlines()
    both = called(docker, tmp_path, "a.mp4", env={"FAKE_IMAGES": "tilewatch:cpu tilewatch:latest"})
    assert "using the container image tilewatch:latest" in both.stderr
    named = {"FAKE_IMAGES": "tilewatch:cpu", "TILEWATCH_IMAGE": "tilewatch:gone"}
    assert "there is no image tilewatch:gone" in called(docker, tmp_path, "a.mp4", code=69, env=named).stderr


def test_named_image_that_is_not_there_is_an_error(tmp_path: Path, docker: Path) -> None:
    """Never a quiet way out to the local environment; without a name that is where it goes."""
    done = called(docker, tmp_path, "a.mp4", "--image", "tilewatch:gone", code=69, env={"FAKE_IMAGES": "none"})
    assert "there is no image tilewatch:gone" in done.stderr
    local = called(docker, tmp_path, "a.mp4", "--dry-run", env={"FAKE_IMAGES": "none"}).stdout
    assert "-m tilewatch run a.mp4" in local
    assert "-m tilewatch run a.mp4" in called(docker, tmp_path, "a.mp4", "--dry-run", "--local").stdout


def test_docker_that_hangs_is_asked_once(tmp_path: Path, docker: Path) -> None:
    """Its silence costs three seconds, not three for every name; then the local environment is taken."""
    asked = tmp_path / "asked"
    (docker / "docker").write_text(f"#!/bin/bash\necho asked >>{asked}\nexec tail -f /dev/null\n")
    assert "-m tilewatch run" in called(docker, tmp_path, "--dry-run", "a.mp4").stdout
    assert asked.read_text().split() == ["asked"]
