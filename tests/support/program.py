"""Starts the program as a user does: as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.metered import spent

ROOT = Path(__file__).resolve().parents[2]


def command(*arguments: object) -> list[str]:
    """Return the command line that starts tilewatch with these arguments."""
    return [sys.executable, "-m", "tilewatch", *map(str, arguments)]


def environment(**changes: str) -> dict[str, str]:
    """Return the environment without any setting of ours, with some changes."""
    from tilewatch.settings import env_names  # noqa: PLC0415

    return {name: value for name, value in os.environ.items() if name not in env_names()} | changes


def run_tilewatch(
    *arguments: object, timeout: float = 60, code: int = 0, cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run the program to its end and check its exit code; what it said is in the failure's text."""
    done = subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=cwd,
        env=environment(**env),
    )
    assert done.returncode == code, f"exit code {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
    return done


def peak_megabytes(*arguments: object) -> float:
    """Run the program to a good end and return the most memory it held."""
    return spent(command(*arguments), environment()).megabytes
