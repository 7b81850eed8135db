"""The files that the kernel of a Jetson Orin NX (JetPack 6) shows, as far as they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MONITOR = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
FILES = {
    "proc/device-tree/model": "NVIDIA Jetson Orin NX Engineering Reference Developer Kit\0",
    "proc/meminfo": "MemTotal:       15961404 kB\nMemFree:         1000000 kB\nMemAvailable:    9961404 kB\n",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
    "sys/class/devfreq/17000000.gpu/device/load": "637\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "51000\n",
    "sys/class/thermal/thermal_zone1/type": "gpu-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "48562\n",
    f"{MONITOR}/in1_label": "VDD_IN\n",
    f"{MONITOR}/in1_input": "5072\n",
    f"{MONITOR}/curr1_input": "2000\n",
    f"{MONITOR}/in2_label": "VDD_CPU_GPU_CV\n",
    f"{MONITOR}/in2_input": "5064\n",
    f"{MONITOR}/curr2_input": "1250\n",
    f"{MONITOR}/in3_label": "VDD_SOC\n",
    f"{MONITOR}/in3_input": "5064\n",
    f"{MONITOR}/curr3_input": "400\n",
}


def make_orin(root: Path) -> Path:
    """Lay the files below a folder and return it."""
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root
