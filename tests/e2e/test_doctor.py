"""`tilewatch doctor` as a process: exit codes, JSON, a page for people; quick, and it leaves no trace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import environment

AS_NOBODY = """
import os
from tilewatch.doctor import folders
from tilewatch.settings import load
settings = load()
os.setgid(65534)
os.setuid(65534)
print([finding.remedy for finding in folders.examine(settings).findings])
"""
"""The interpreter itself may lie where only root may go: the user changes once it runs."""


def doctor(*arguments: str, cwd: Path, **values: object) -> subprocess.CompletedProcess[str]:
    """Run it with some settings in the environment."""
    given = {name: str(value) for name, value in values.items()}
    command = [sys.executable, "-m", "tilewatch", "doctor", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment(**given), capture_output=True, text=True, check=False, timeout=60
    )


def findings(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """Return the findings of the JSON by name."""
    return {finding["name"]: finding for part in json.loads(done.stdout)["sections"] for finding in part["findings"]}


def test_machine_that_can_run_is_told_so(tmp_path: Path) -> None:
    """Exit code 0, every section, nothing left behind."""
    done = doctor("--json", cwd=tmp_path, WATCH_DIR=tmp_path, OUTPUT_DIR=tmp_path / "output")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["exit_code"] == 0
    titles = [part["title"] for part in told["sections"]]
    assert titles == ["Machine", "GPU", "Settings", "Inference", "Video", "Folders"]
    assert list(tmp_path.iterdir()) == []


def test_page_names_what_to_mend_and_how(tmp_path: Path) -> None:
    """78, the bad line with its remedy, and no escape codes where no terminal is."""
    done = doctor(cwd=tmp_path, WATCH_DIR=tmp_path / "none", OUTPUT_DIR=tmp_path)
    assert done.returncode == 78
    assert "✗ WATCH_DIR" in done.stdout
    assert "→ make it, mount it there, or set WATCH_DIR" in done.stdout
    assert "\x1b" not in done.stdout


def test_settings_that_do_not_do_are_a_finding(tmp_path: Path) -> None:
    """The rest of the machine is looked at all the same."""
    (tmp_path / ".env").write_text("TILE_SISE=3\n")
    done = doctor("--json", cwd=tmp_path)
    assert done.returncode == 78
    assert "did you mean TILE_SIZE?" in findings(done)["settings"]["text"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can play another user")
def test_folder_of_another_user_is_told_with_the_exact_chown(tmp_path: Path) -> None:
    """What the host's administrator has to type."""
    below = len(Path(tempfile.gettempdir()).parents) + 1
    for folder in (tmp_path, *tmp_path.parents[:-below]):
        folder.chmod(0o755)
    output, logs = tmp_path / "output", tmp_path / "logs"
    output.mkdir(mode=0o755)
    logs.mkdir(mode=0o755)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY],
        env=environment(OUTPUT_DIR=str(output), LOG_DIR=str(logs), WATCH_DIR=str(tmp_path)),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert f"run `chown -R 65534:65534 {output}` on the host" in done.stdout
    assert f"run `chown -R 65534:65534 {logs}` on the host" in done.stdout
