"""Trials of hardware in a process of their own: a driver that hangs cannot be interrupted from within."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

REAP_SECONDS = 2.0


def trial_refusal(module: str, name: str, seconds: float) -> str:
    """Run `python -m MODULE NAME`, killed when its time is up; return why the trial failed, '' when it did not.

    The module prints the reason and ends with another status than 0.
    """
    process = subprocess.Popen(  # noqa: S603 our own interpreter and module
        [sys.executable, "-m", module, name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        with suppress(subprocess.TimeoutExpired):  # stuck in its driver: left to the system
            process.communicate(timeout=REAP_SECONDS)
        return f"no answer within {seconds:.0f} s"
    if process.returncode:
        return said.strip() or f"its trial ended with {process.returncode}"
    return ""
