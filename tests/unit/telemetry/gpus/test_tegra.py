"""A Jetson's GPU by the files of its kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.orin import MONITOR, make_orin
from tilewatch.telemetry.gpus.tegra import TegraMeter

if TYPE_CHECKING:
    from pathlib import Path

    from tilewatch.telemetry.gpus.reading import GpuReading


def read(root: Path) -> GpuReading:
    """Return the one reading."""
    meter = TegraMeter.open(root)
    assert meter
    (reading,) = meter.read()
    return reading


def test_orin_tells_everything_in_base_units(tmp_path: Path) -> None:
    """Thousandths, milli-degrees, millivolts times milliamperes of the GPU's rail, memory of the machine."""
    found = read(make_orin(tmp_path))
    assert found.name == "NVIDIA Jetson Orin NX Engineering Reference Developer Kit"
    assert found.utilization == pytest.approx(0.637)
    assert found.temperature == pytest.approx(48.562)
    assert found.power == pytest.approx(5.064 * 1.25)
    assert (found.memory_used, found.memory_total) == (6_000_000 * 1024, 15_961_404 * 1024)


@pytest.mark.parametrize("place", ["sys/devices/gpu.0/load", "sys/devices/platform/gpu.0/load"])
def test_older_kernels_keep_the_load_elsewhere(tmp_path: Path, place: str) -> None:
    """JetPack 4 and 5."""
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).write_text("1000\n")
    assert read(tmp_path).utilization == 1.0


def test_what_a_kernel_does_not_show_is_left_out(tmp_path: Path) -> None:
    """A GPU that is switched off has no temperature; a container may see no power monitor."""
    root = make_orin(tmp_path)
    (root / "sys/class/thermal/thermal_zone1/temp").write_text("-256000\n")
    (root / f"{MONITOR}/in2_input").unlink()
    (root / "proc/meminfo").unlink()
    found = read(root)
    assert (found.temperature, found.power, found.memory_used, found.memory_total) == (None, None, None, None)
    assert found.utilization == pytest.approx(0.637)


def test_other_machines_have_none(tmp_path: Path) -> None:
    """No load file, no Jetson."""
    assert TegraMeter.open(tmp_path) is None
