"""`./run.sh` where an image is present: the container gets to see what the arguments name, and nothing more."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.program import ROOT, environment

if TYPE_CHECKING:
    from pathlib import Path

RECORDER = """#!/bin/bash
[ "$1" = image ] && exit 0
printf '%s\\n' "$@"
"""


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    """Return a folder with a `docker` that has every image and prints how it is called."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(RECORDER)
    program.chmod(0o755)
    return program.parent


def mounted(docker: Path, cwd: Path, *arguments: object) -> list[str]:
    """Return the mounts run.sh asks for, without those of the working folder and the cache."""
    path = f"{docker}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [ROOT / "run.sh", *map(str, arguments)],
        cwd=cwd,
        env=environment(PATH=path, XDG_CACHE_HOME=str(docker / "cache")),
        capture_output=True,
        text=True,
        check=True,
    )
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
