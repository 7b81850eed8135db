"""The machine: what it is, what it has to compute with, whether its clock can be trusted."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tilewatch.doctor.finding import Section, absent, doubtful, good
from tilewatch.engines import cpu

if TYPE_CHECKING:
    from tilewatch.doctor.finding import Finding

ROOT = Path("/")
JETPACKS = {32: "4", 34: "5", 35: "5", 36: "6", 38: "7"}
"""JetPack by the major number of L4T, the system it brings."""
GIB = 1 << 30
UNSYNCHRONISED = 5
"""What adjtimex(2) answers where nothing sets the clock (TIME_ERROR)."""
TIMEX_BYTES = 256
"""More than a struct timex has anywhere."""
FIRST_SANE_YEAR = 2025
BOARD_WITHOUT_BATTERY = "set the clock, e.g. `timedatectl set-ntp true` on the host"


def examine(root: Path = ROOT) -> Section:
    """Look at the machine; `root` stands for '/'."""
    return Section("Machine", (_platform(root), _processor(root), _surroundings(root), _clock()))


def _platform(root: Path) -> Finding:
    release = _text(root / "etc/nv_tegra_release")
    if release:
        return good("platform", f"{_text(root / 'proc/device-tree/model') or 'NVIDIA Jetson'}, {jetpack(release)}")
    return good("platform", f"{platform.machine()}, {_distribution(root)}, Linux {platform.release()}")


def jetpack(release: str) -> str:
    """Return the system of a Jetson, by the first line of /etc/nv_tegra_release: 'L4T 36.4.3 (JetPack 6)'."""
    found = re.search(r"R(\d+)\D+REVISION:\s*([\d.]+)", release)
    if found is None:
        return "L4T of an unknown release"
    known = JETPACKS.get(int(found[1]))
    return f"L4T {found[1]}.{found[2]}" + (f" (JetPack {known})" if known else "")


def _distribution(root: Path) -> str:
    found = re.search(r'^PRETTY_NAME="?([^"\n]+)', _text(root / "etc/os-release"), re.MULTILINE)
    return found[1] if found else "an unknown distribution"


def _processor(root: Path) -> Finding:
    name = re.search(r"^model name\s*:\s*(.+)$", _text(root / "proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", _text(root / "proc/meminfo"), re.MULTILINE)
    parts = [f"{cpu.cores()} of {os.cpu_count()} cores"]
    parts += [name[1]] if name else []
    parts += [f"{int(memory[1]) * 1024 / GIB:.1f} GiB of memory"] if memory else []
    parts += ["bf16 natively"] if cpu.flags() & cpu.NATIVE_BF16 else []
    return good("processor", ", ".join(parts))


def _surroundings(root: Path) -> Finding:
    contained = any((root / name).exists() for name in (".dockerenv", "run/.containerenv"))
    where = "in a container" if contained else "on the host"
    fixed = ", root file system read-only" if not os.access("/", os.W_OK) and os.getuid() == 0 else ""
    return good("runs", f"{where}{fixed}, as {os.getuid()}:{os.getgid()}, Python {platform.python_version()}")


def _clock() -> Finding:
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    if time.gmtime().tm_year < FIRST_SANE_YEAR:
        return doubtful("clock", f"{now}: results of cameras would be named wrongly", BOARD_WITHOUT_BATTERY)
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    if state == UNSYNCHRONISED:
        return doubtful("clock", f"{now}, not synchronised", BOARD_WITHOUT_BATTERY)
    return good("clock", f"{now}, synchronised") if state >= 0 else absent("clock", f"{now}, nobody tells how good")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""
