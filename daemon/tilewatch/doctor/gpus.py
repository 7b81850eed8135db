"""The GPU: its device files, driver, CUDA and TensorRT.

What asks the driver runs in a process of its own: `python -m tilewatch.doctor.gpus` prints what NVML says, as JSON.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from tilewatch.doctor.finding import Section, absent, bad, doubtful, good
from tilewatch.telemetry.gpus.nvml import NvmlMeter
from tilewatch.telemetry.gpus.tegra import TegraMeter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tilewatch.doctor.finding import Finding

ROOT = Path("/")
DEVICES = ("dev/nvidia[0-9]*", "dev/nvhost-*gpu", "dev/nvgpu/*/ctrl", "dev/nvmap")
DRIVER = "proc/driver/nvidia/version"
PATIENCE_SECONDS = 10.0
GIB = 1 << 30
INSTALL = "pip install 'tilewatch[nvidia]'"
RUNTIME = "give the container the GPU (`gpus: all`, on a Jetson `runtime: nvidia`); on the host load the driver"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What NVML says of a card."""

    name: str
    memory: int | None
    """Bytes."""
    compute_capability: str
    """As '8.9'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cards:
    """What NVML says."""

    driver: str
    cuda: str
    """Newest that the driver can serve."""
    cards: tuple[Card, ...]


def examine(root: Path = ROOT) -> Section:
    """Look at the GPU; `root` stands for '/'."""
    found = sorted({path for pattern in DEVICES for path in root.glob(pattern)})
    if not found:
        return Section("GPU", (absent("devices", "no NVIDIA device: inference and video run on the processor"),))
    return Section("GPU", (*_devices(found), *_driver(root), _cuda(), _tensorrt()))


def cards() -> Cards | str:
    """Return what NVML says, or why it says nothing; blocking, for a bounded time."""
    command = [sys.executable, "-m", "tilewatch.doctor.gpus"]
    try:
        done = subprocess.run(  # noqa: S603 our own interpreter and module
            command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"the driver gave no answer for {PATIENCE_SECONDS:g} s"
    try:
        told = json.loads(done.stdout)
        return Cards(driver=told["driver"], cuda=told["cuda"], cards=tuple(Card(**card) for card in told["cards"]))
    except (ValueError, KeyError, TypeError):
        return "NVML cannot be used (no package nvidia-ml-py, or no driver)"


def installed(*names: str) -> str:
    """Return name and version of the first of these packages that is installed, '' if none is."""
    for name in names:
        with suppress(metadata.PackageNotFoundError):
            return f"{name} {metadata.version(name)}"
    return ""


def _devices(found: Iterable[Path]) -> list[Finding]:
    names = ", ".join(f"/dev/{path.name}" for path in found)
    closed = [path for path in found if not os.access(path, os.R_OK | os.W_OK)]
    if closed:
        groups = sorted({str(path.stat().st_gid) for path in closed})
        text = f"{', '.join(str(path) for path in closed)} may not be used by {os.getuid()}:{os.getgid()}"
        return [bad("devices", text, f"add the group: `group_add: [{', '.join(groups)}]`", device=True)]
    return [good("devices", names)]


def _driver(root: Path) -> list[Finding]:
    if TegraMeter.open(root):
        return [good("driver", "part of the Jetson's system")]
    told = cards()
    if isinstance(told, Cards):
        return [good("driver", f"{told.driver}, serves CUDA up to {told.cuda}"), *map(_card, told.cards)]
    version = re.search(r"(\d+\.\d+(?:\.\d+)?)", _text(root / DRIVER))
    if version:
        return [doubtful("driver", f"{version[1]}; {told}: no metrics of the GPU", INSTALL)]
    return [bad("driver", told, RUNTIME, device=True)]


def _card(card: Card) -> Finding:
    size = f", {card.memory / GIB:.0f} GiB" if card.memory else ""
    return good("card", f"{card.name}{size}, compute capability {card.compute_capability}")


def _cuda() -> Finding:
    found = installed("cuda-bindings", "cuda-python")
    return good("CUDA", found) if found else doubtful("CUDA", "the package cuda-python is not installed", INSTALL)


def _tensorrt() -> Finding:
    found = installed("tensorrt", "tensorrt-cu13", "tensorrt-cu12")
    if found:
        return good("TensorRT", found)
    return doubtful("TensorRT", "not installed: inference runs on the processor", INSTALL)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def main() -> int:
    """Print what NVML says."""
    meter = NvmlMeter.open()
    if meter is None:
        return 1
    readings = zip(meter.read(), meter.compute_capabilities(), strict=True)
    found = tuple(
        Card(name=reading.name, memory=reading.memory_total, compute_capability=capability)
        for reading, capability in readings
    )
    told = Cards(driver=meter.driver_version or "unknown", cuda=meter.cuda_version or "unknown", cards=found)
    sys.stdout.write(json.dumps(asdict(told)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
