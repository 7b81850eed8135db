"""What the processor offers: cores this process may use, and arithmetic it does natively."""

from __future__ import annotations

import math
import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""A container's limit (cgroup v2): microseconds of CPU time and the period they are given in, or 'max'."""
CPUINFO = Path("/proc/cpuinfo")
NATIVE_BF16 = frozenset({"avx512_bf16", "amx_bf16"})
"""Flags without which bfloat16 is emulated, 2.6 times slower than float32."""


def cores(quota: Path = QUOTA) -> int:
    """Return how many cores this process may keep busy: its affinity, cut down to its container's quota."""
    allowed = len(os.sched_getaffinity(0))
    try:
        granted, period = quota.read_text(encoding="ascii").split()
        limit = math.ceil(int(granted) / int(period))
    except (OSError, ValueError, ZeroDivisionError):  # no such limit, or 'max'
        return allowed
    return max(1, min(allowed, limit))


def flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """Return the first core's feature flags; none where the system does not tell."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    found = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return frozenset(found.partition(":")[2].split())
