"""A program that sees another machine: files of the kernel laid over this one's, for that program alone."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

UNSHARE = ("/usr/bin/unshare", "--mount")
SCRIPT = r"""
root=$1
shift
if [ -d "$root/sys" ]; then
  mkdir -p "$root/sys/devices/system" # which processors there are
  mount --bind /sys/devices/system "$root/sys/devices/system"
  mount --rbind "$root/sys" /sys
fi
if [ -e "$root/proc/meminfo" ]; then mount --bind "$root/proc/meminfo" /proc/meminfo; fi
if [ -d "$root/dev" ]; then
  mount -t overlay -o "lowerdir=$root/dev:/dev" overlay /dev
  mount -t tmpfs tmpfs /dev/shm
fi
exec "$@"
"""


def disguise(root: Path) -> tuple[str, ...]:
    """Return the words in front of a command by which it sees `sys`, `dev` and `proc/meminfo` of a folder as its own.

    What is written into these files later is seen; no process but that one and its children sees any of it.
    """
    words = (*UNSHARE, "/bin/sh", "-euc", SCRIPT, "sh", str(root))
    probe = subprocess.run([*words, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"another machine's files need root, and the right to mount: {' '.join(probe.stderr.split())}")
    return words
