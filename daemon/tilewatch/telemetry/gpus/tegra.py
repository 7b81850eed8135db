"""The GPU of a Jetson, by the files of its kernel: load, the chip's sensors, the power monitor on the board.

It shares the memory of the machine, so the memory told of is the machine's. The power is that of the rail that feeds
the GPU: on an Orin NX the CPU hangs on the same one (VDD_CPU_GPU_CV).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tilewatch.telemetry.gpus.reading import GpuReading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LOADS = (
    "sys/devices/gpu.0/load",
    "sys/devices/platform/gpu.0/load",
    "sys/devices/platform/*.gpu/load",
    "sys/devices/platform/bus@0/*.gpu/load",
    "sys/class/devfreq/*.gpu/device/load",
)
"""Where kernels of JetPack 4 to 6 keep the GPU's load, in thousandths."""
THERMAL_TYPES = frozenset({"gpu-thermal", "gpu-therm"})
RAILS = ("sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*", "sys/bus/i2c/drivers/ina3221x/*/hwmon/hwmon*")
MODEL = "proc/device-tree/model"
PER_MILLE = 1000.0
MILLI = 1000.0
KIBI = 1024


class TegraMeter:
    """Reads the files. Blocking.

    Args:
        load: file of the GPU's load.
        root: folder that stands for '/'.
    """

    def __init__(self, load: Path, root: Path) -> None:
        self._load = load
        self._root = root

    @classmethod
    def open(cls, root: Path = Path("/")) -> TegraMeter | None:
        """Return a meter, None where this is no Jetson."""
        load = next((path for pattern in LOADS for path in sorted(root.glob(pattern))), None)
        return cls(load, root) if load else None

    def read(self) -> Sequence[GpuReading]:
        """Return a reading of the one GPU."""
        load = _number(self._load)
        memory = self._memory()
        return [
            GpuReading(
                device="0",
                name=_text(self._root / MODEL).rstrip("\0") or "NVIDIA Jetson",
                utilization=None if load is None else load / PER_MILLE,
                memory_used=memory[0] if memory else None,
                memory_total=memory[1] if memory else None,
                temperature=self._temperature(),
                power=self._power(),
            )
        ]

    def _memory(self) -> tuple[int, int] | None:
        """Return bytes used and bytes in all, of the machine."""
        lines = (line.split() for line in _text(self._root / "proc/meminfo").splitlines())
        sizes = {words[0].rstrip(":"): int(words[1]) * KIBI for words in lines if len(words) > 1}
        try:
            return sizes["MemTotal"] - sizes["MemAvailable"], sizes["MemTotal"]
        except KeyError:
            return None

    def _temperature(self) -> float | None:
        for zone in sorted(self._root.glob("sys/class/thermal/thermal_zone*")):
            if _text(zone / "type").lower() in THERMAL_TYPES:
                degrees = _number(zone / "temp")  # a GPU that is switched off gives an error, or nonsense below -100
                return None if degrees is None or degrees < 0 else degrees / MILLI
        return None

    def _power(self) -> float | None:
        for label in self._rail_labels():
            if "GPU" not in _text(label):
                continue
            number = label.name.removeprefix("in").removesuffix("_label")
            volts, amperes = (
                _number(label.with_name(f"in{number}_input")),
                _number(label.parent / f"curr{number}_input"),
            )
            if volts is not None and amperes is not None:
                return volts / MILLI * amperes / MILLI
        return None

    def _rail_labels(self) -> Iterator[Path]:
        for pattern in RAILS:
            for monitor in sorted(self._root.glob(pattern)):
                yield from sorted(monitor.glob("in*_label"))


def _text(path: Path) -> str:
    """Return what a file holds, '' where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> float | None:
    try:
        return float(_text(path))
    except ValueError:
        return None
