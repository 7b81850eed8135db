"""Prints a line of readings every so many seconds, until nobody listens: `python -m tilewatch.telemetry.gpus SECONDS`.

A driver that hangs, hangs here: whoever started it notices the silence, and ends it.
"""

from __future__ import annotations

import select
import sys

from tilewatch.telemetry.gpus.nvml import NvmlMeter
from tilewatch.telemetry.gpus.reading import as_line
from tilewatch.telemetry.gpus.tegra import TegraMeter

EXIT_NO_GPU = 3


def main(seconds: float) -> int:
    """Print until standard input is closed."""
    meter = TegraMeter.open() or NvmlMeter.open()
    if meter is None:
        return EXIT_NO_GPU
    while True:
        print(as_line(meter.read()), flush=True)  # noqa: T201 this is what it is for
        closed, _, _ = select.select([sys.stdin], [], [], seconds)
        if closed:
            return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
