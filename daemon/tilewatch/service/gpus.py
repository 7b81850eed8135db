"""Minds the process that reads the GPUs: takes its readings, ends it when it is silent, and starts it again.

NVML and a Jetson's sensors are drivers, which can hang: none of them is called in this process.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tilewatch.flow.backports import timeout
from tilewatch.telemetry import log
from tilewatch.telemetry.gpus.reading import from_line
from tilewatch.telemetry.gpus.tegra import TegraMeter

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncGenerator, Sequence

    from tilewatch.telemetry.gpus.collector import GpuCollector
    from tilewatch.telemetry.gpus.reading import GpuReading

EVERY_SECONDS = 5.0
PATIENCE_SECONDS = 20.0
"""Silence beyond which the process counts as hung; the first look at a card takes seconds."""
REST_SECONDS = 60.0
"""Before it is started again."""
CARDS = "nvidia[0-9]*"

logger = log.logger("gpus")


def command(seconds: float = EVERY_SECONDS) -> list[str]:
    """Return what reads the GPUs every so many seconds."""
    return [sys.executable, "-m", "tilewatch.telemetry.gpus", str(seconds)]


def present(root: Path = Path("/")) -> bool:
    """Tell whether this machine shows a GPU that could be read; blocking, no driver is called."""
    return any((root / "dev").glob(CARDS)) or TegraMeter.open(root) is not None


async def watch(
    collector: GpuCollector,
    reader: Sequence[str],
    *,
    patience: float = PATIENCE_SECONDS,
    rest: float = REST_SECONDS,
) -> None:
    """Keep the collector's readings fresh until cancelled; what cannot be read is absent, not old.

    Args:
        collector: gets the readings.
        reader: command of the process that prints them.
        patience: longest silence, seconds.
        rest: seconds between the end of one process and the start of the next.
    """
    said = ""
    while True:
        try:
            async with aclosing(_readings(reader, patience)) as stream:
                async for readings in stream:
                    if not collector.readings:
                        logger.info("gpus_read", devices=[reading.name for reading in readings])
                    collector.readings, said = readings, ""
            cause = "they cannot be read here: `tilewatch doctor` tells why"
        except (TimeoutError, OSError, ValueError) as error:
            cause = str(error)
        finally:
            collector.readings = ()
        if cause != said:
            logger.warning("gpus_unread", cause=cause)
        said = cause
        await asyncio.sleep(rest)


async def _readings(reader: Sequence[str], patience: float) -> AsyncGenerator[tuple[GpuReading, ...], None]:
    """Yield what a process prints, line by line, to its end.

    Raises:
        TimeoutError: it was silent for too long.
        ValueError: it printed something else.
    """
    process = await asyncio.create_subprocess_exec(*reader, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    try:
        assert process.stdout is not None  # noqa: S101 it was asked for
        while True:
            try:
                async with timeout(patience):
                    line = await process.stdout.readline()
            except TimeoutError:
                raise TimeoutError(f"no answer from the driver for {patience:g} s") from None
            if not line:
                return
            yield from_line(line)
    finally:
        await _end(process)


async def _end(process: Process) -> None:
    """Kill a process and wait shortly for its end: one that is stuck in its driver is left to the system."""
    with suppress(ProcessLookupError):
        process.kill()
    with suppress(TimeoutError):
        async with timeout(1.0):
            await process.wait()
