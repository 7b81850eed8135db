"""The panels of the GPUs: the real readers and a real Prometheus over a Jetson's files, and over a stand-in for NVML.

The service sees another machine (tests/support/disguise): a Jetson's /sys, or a /dev with cards.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.support.clips import Clip, make_clip
from tests.support.daemon import Daemon, free_port
from tests.support.dashboard import GPU, queries
from tests.support.disguise import disguise
from tests.support.models import tiny_detector
from tests.support.nvml import Cards
from tests.support.orin import MONITOR, make_orin
from tests.support.prometheus import Prometheus, ask, needed
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(120)

UNITS = {
    "utilization_ratio": "percentunit",
    "memory_used_bytes": "bytes",
    "memory_total_bytes": "bytes",
    "temperature_celsius": "celsius",
    "power_watts": "watt",
}
"""What Grafana shows each metric in: a ratio from 0 to 1, bytes, degrees Celsius, watts."""
GIB = 1 << 30
PLACES = {
    "load": "sys/class/devfreq/17000000.gpu/device/load",
    "temperature": "sys/class/thermal/thermal_zone1/temp",
    "millivolts": f"{MONITOR}/in2_input",
    "milliamperes": f"{MONITOR}/curr2_input",
}
"""Where a Jetson's kernel shows what."""

Shown = dict[str, dict[str, float]]
"""By metric what a panel shows for each device."""


def shown(prometheus: Prometheus) -> Shown:
    """Return what the panels show now; metrics of which they show nothing are left out."""
    found: Shown = {}
    for query in (one for one in queries() if GPU in one.text):
        (metric,) = query.metrics
        assert query.unit == UNITS[metric.removeprefix(GPU)]
        series = prometheus.query(query.text)
        values = {one["metric"]["device"]: round(float(one["value"][1]), 6) for one in series}
        if values:
            found[metric.removeprefix(GPU)] = values
    return found


def await_shown(prometheus: Prometheus, expected: Shown) -> None:
    """Wait until the panels show this and nothing else."""
    with suppress(AssertionError):
        wait_for(lambda: shown(prometheus) == expected, "the panels to follow", 30)
    assert shown(prometheus) == expected


@contextmanager
def watched(folder: Path, machine: Path, **environment: str) -> Iterator[tuple[Prometheus, str]]:
    """Run a service that sees another machine, and a Prometheus that scrapes it; begins when a clip is done.

    Yields:
        The Prometheus, and the address of the service.
    """
    needed("prometheus")
    model, port = tiny_detector(folder / "tiny.onnx"), free_port()
    (folder / "videos").mkdir()
    make_clip(folder / "videos" / "clip.mp4", Clip(frames=10))
    settings = {"METRICS_PORT": str(port), "LOG_LEVEL": "info", **environment}
    address = f"127.0.0.1:{port}"
    with (
        Daemon(folder, model, disguise(machine), **settings) as daemon,
        Prometheus(folder / "prometheus", [address]) as prometheus,
    ):
        daemon.until("job_done")
        yield prometheus, address


def rewrite(root: Path, **files: int) -> None:
    """Let the kernel of a Jetson tell other numbers, in the files as they are."""
    for name, number in files.items():
        (root / PLACES[name]).write_text(f"{number}\n")


def test_panels_follow_the_files_of_a_jetson(tmp_path: Path) -> None:
    """Load, memory, temperature and power of the rail, in the units that the panels say; then others; then less."""
    root = make_orin(tmp_path / "orin")
    with watched(tmp_path, root) as (prometheus, _):
        first: Shown = {
            "utilization_ratio": {"0": 0.637},
            "memory_used_bytes": {"0": 6_000_000 * 1024},
            "memory_total_bytes": {"0": 15_961_404 * 1024},
            "temperature_celsius": {"0": 48.562},
            "power_watts": {"0": 6.33},
        }
        await_shown(prometheus, first)
        rewrite(root, load=1000, temperature=87_250, millivolts=4_800, milliamperes=3_000)
        (root / "proc/meminfo").write_text("MemTotal: 15961404 kB\nMemAvailable: 961404 kB\n")
        busy: Shown = {
            **first,
            "utilization_ratio": {"0": 1.0},
            "memory_used_bytes": {"0": 15_000_000 * 1024},
            "temperature_celsius": {"0": 87.25},
            "power_watts": {"0": 14.4},
        }
        await_shown(prometheus, busy)
        rewrite(root, temperature=-256_000)  # switched off
        del busy["temperature_celsius"]
        await_shown(prometheus, busy)


def test_panels_follow_cards_that_come_and_go(tmp_path: Path) -> None:
    """A server's card, a laptop's that tells less, a lost one; then the first is lost, and the lost one is back."""
    cards = Cards(tmp_path / "nvml")
    cards.tell(0, name="NVIDIA L4", gpu_percent=63, memory_used=4 * GIB, memory_total=24 * GIB)
    cards.tell(0, celsius=57, milliwatts=71_500)
    cards.tell(1, name="NVIDIA RTX A2000 Laptop GPU", memory_used=GIB, memory_total=4 * GIB, celsius=41)
    cards.tell(2, name="NVIDIA L4", gpu_percent=100, memory_used=5 * GIB, memory_total=24 * GIB)
    cards.tell(2, celsius=80, milliwatts=72_000)
    cards.lose(2)
    machine = tmp_path / "machine"
    for card in range(3):
        (machine / "dev" / f"nvidia{card}").mkdir(parents=True)
    with watched(tmp_path, machine, **cards.environment) as (prometheus, address):
        first: Shown = {
            "utilization_ratio": {"0": 0.63},
            "memory_used_bytes": {"0": 4 * GIB, "1": GIB},
            "memory_total_bytes": {"0": 24 * GIB, "1": 4 * GIB},
            "temperature_celsius": {"0": 57, "1": 41},
            "power_watts": {"0": 71.5},
        }
        await_shown(prometheus, first)
        names = [gpu["name"] for gpu in ask(f"http://{address}/status")["gpus"]]
        assert names == ["NVIDIA L4", "NVIDIA RTX A2000 Laptop GPU"]
        cards.lose(0)
        cards.find(2)
        cards.tell(1, memory_used=3 * GIB, celsius=66, gpu_percent=12)
        second: Shown = {
            "utilization_ratio": {"1": 0.12, "2": 1.0},
            "memory_used_bytes": {"1": 3 * GIB, "2": 5 * GIB},
            "memory_total_bytes": {"1": 4 * GIB, "2": 24 * GIB},
            "temperature_celsius": {"1": 66, "2": 80},
            "power_watts": {"2": 72.0},
        }
        await_shown(prometheus, second)
