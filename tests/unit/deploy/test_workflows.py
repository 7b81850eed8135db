"""What the workflows rely on in this repository, which no linter of theirs can know."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.program import ROOT, environment

if TYPE_CHECKING:
    from pathlib import Path

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CHANGELOG = """# Changelog

## Unreleased
- later

## 1.10.0 - 2024-05-03

### Added
- what is new

## 1.1.0
- what was
"""


def notes(folder: Path, version: str) -> subprocess.CompletedProcess[str]:
    """Return what the script says of a version."""
    changelog = folder / "CHANGELOG.md"
    changelog.write_text(CHANGELOG)
    script = ROOT / ".github" / "release_notes.sh"
    return subprocess.run([script, version, changelog], capture_output=True, text=True, check=False)


def test_release_notes_are_the_section_of_that_version(tmp_path: Path) -> None:
    """With a date or without, and no other version that begins alike."""
    assert notes(tmp_path, "1.10.0").stdout == "### Added\n- what is new\n"
    assert notes(tmp_path, "1.1.0").stdout == "- what was\n"


def test_release_without_a_section_fails(tmp_path: Path) -> None:
    """Before anything is published, in words."""
    done = notes(tmp_path, "1.1")
    assert done.returncode == 1
    assert "no section '## 1.1'" in done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_to_a_commit(path: Path) -> None:
    """A tag can be moved to other code; the tag it was stands beside it, for people and Dependabot."""
    uses = re.findall(r"uses: (\S+)(.*)", path.read_text())
    assert uses
    for action, comment in uses:
        if not action.startswith("./"):
            assert re.fullmatch(r"[\w/.-]+@[0-9a-f]{40}", action)
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment)


def steps(path: Path) -> list[str]:
    """Return what a workflow runs, each command a text."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is absent: it is in the dependency group `lint`")
    jobs: dict[str, Any] = yaml.safe_load(path.read_text())["jobs"]
    return [step.get("run", "") for job in jobs.values() for step in job.get("steps", [])]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_scripts_and_targets_that_are_called_exist(path: Path) -> None:
    """A renamed script or make target breaks no linter, only the next run."""
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in steps(path):
        for script in re.findall(r"(?:^|\s)((?:\./|deploy/|\.github/)[\w./-]+\.sh)", command):
            assert (ROOT / script).is_file()
        for words in re.findall(r"^make (.*)", command, re.MULTILINE):
            asked = {word for word in words.split() if not word.startswith("--") and "=" not in word}
            assert asked <= targets


@pytest.mark.parametrize(("missing", "code"), [("jetson", 0), ("cuda", 1)])
def test_release_does_without_the_image_for_jetsons_alone(tmp_path: Path, missing: str, code: int) -> None:
    """No device has shown it yet, so its build may fail; an image that is missing leaves no empty SBOM behind."""
    commands = steps(ROOT / ".github" / "workflows" / "release.yml")
    command = next(text for text in commands if "imagetools" in text)
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\ncase "$*" in *-{missing}*) exit 1 ;; esac\necho "{{}}"\n')
    docker.chmod(0o755)
    env = environment(PATH=f"{tmp_path}:{os.environ['PATH']}", VERSION="1.2.3", GITHUB_REPOSITORY="Owner/tilewatch")
    done = subprocess.run(["bash", "-ec", command], cwd=tmp_path, env=env, capture_output=True, check=False)  # noqa: S607
    assert done.returncode == code
    if code == 0:
        assert {path.name for path in tmp_path.glob("sbom-*")} == {"sbom-cpu.spdx.json", "sbom-cuda.spdx.json"}
