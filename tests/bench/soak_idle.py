"""The service with nothing to do: what it costs, and what it says.

One process idles for real minutes; its CPU time counts. In another one the loop's clock jumps to the next timer
whenever nothing else is to be done, so that days of rescans, disk checks and heartbeats pass within minutes; what it
logs and how its memory grows counts. Prints a table; exit code 1 where a bar is missed.

    python -m tests.bench.soak_idle [--seconds 1000000] [--minutes 10]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from tests.support.models import tiny_detector
from tests.support.program import command, environment
from tilewatch.flow.shutdown import Shutdown
from tilewatch.service.serve import Service
from tilewatch.settings import load

MOST_OF_A_CORE = 0.01
MOST_LOG_BYTES = 1_000_000
MOST_GROWTH = 10e6
"""Bytes of resident memory, from a tenth of the time to its end."""
YIELD_SECONDS = 0.0001
"""Real time that threads get before the clock jumps."""
REAL_TIME, REAL_MONOTONIC = time.time, time.monotonic


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop that does not wait for its timers: its clock, and Python's, go on to the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.jumped = 0.0
        self.jumps = False
        time.time = lambda: REAL_TIME() + self.jumped
        time.monotonic = self.time

    def time(self) -> float:
        """Return the seconds that seem to have passed."""
        return REAL_MONOTONIC() + self.jumped

    def _run_once(self) -> None:
        if self.jumps and not self._ready and self._scheduled:  # type: ignore[attr-defined]  # no public way to steer a loop's clock
            self._process_events(self._selector.select(YIELD_SECONDS))  # type: ignore[attr-defined]
            if not self._ready:  # type: ignore[attr-defined]
                self.jumped += max(0.0, self._scheduled[0].when() - self.time())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


async def idle(loop: JumpingLoop, seconds: float) -> list[float]:
    """Serve until so many seconds seem to have passed; return the resident bytes at every tenth of them."""
    process, memory = psutil.Process(), []
    shutdown = Shutdown(load().service.drain_seconds)
    async with AsyncExitStack() as stack:
        service = await Service.open(load(), None, shutdown, stack)
        work = asyncio.ensure_future(service.run())
        while not service._health.ready():  # noqa: SLF001 asking over HTTP would be work
            await asyncio.wait([work], timeout=0.1)
            if work.done():
                await work
        begun, loop.jumps = loop.time(), True
        for tenth in range(1, 11):
            await asyncio.wait([work], timeout=begun + seconds * tenth / 10 - loop.time())
            gc.collect()
            memory.append(float(process.memory_info().rss))
        loop.jumps = False
        shutdown.stop.set()
        await work
    return memory


def simulate(seconds: float) -> None:
    """Be the process whose clock jumps; say the memory on the standard error stream."""
    loop = JumpingLoop()
    sys.stderr.write(" ".join(f"{size:.0f}" for size in loop.run_until_complete(idle(loop, seconds))))


def places(folder: Path) -> dict[str, str]:
    """Return an environment in which there is nothing to do."""
    for name in ("videos", "out"):
        (folder / name).mkdir()
    model = tiny_detector(folder / "tiny.onnx")
    where = {"WATCH_DIR": str(folder / "videos"), "OUTPUT_DIR": str(folder / "out"), "MODEL_PATH": str(model)}
    return environment(**where, TILE_SIZE="64", TILE_OVERLAP="16", LOG_FORMAT="json")


def real(folder: Path, minutes: float) -> tuple[float, int]:
    """Let the service idle; return the share of a core it took, and how much it logged after its start."""
    log = folder / "log"
    with log.open("wb") as target, subprocess.Popen(command("serve"), env=places(folder), stdout=target) as process:
        while b"service_ready" not in log.read_bytes():
            if process.poll() is not None:
                raise SystemExit(f"the service ended: {log.read_text()}")
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.5)
        watched = psutil.Process(process.pid)
        before, said = sum(watched.cpu_times()[:2]), log.stat().st_size
        try:
            process.wait(timeout=60 * minutes)
        except subprocess.TimeoutExpired:
            used = sum(watched.cpu_times()[:2]) - before
            process.terminate()
            return used / (60 * minutes), log.stat().st_size - said
    raise SystemExit(f"the service ended by itself: {log.read_text()}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1e6)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--simulate", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.simulate:
        simulate(options.seconds)
        return 0
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        again = [sys.executable, "-m", "tests.bench.soak_idle", "--simulate", "--seconds", str(options.seconds)]
        simulated = subprocess.run(again, env=places(Path(one)), capture_output=True, check=False)
        if simulated.returncode:
            raise SystemExit((simulated.stdout + simulated.stderr).decode())
        memory = [float(size) for size in simulated.stderr.split()]
        share, said = real(Path(other), options.minutes)
    growth, logged = memory[-1] - memory[0], len(simulated.stdout)
    table = Table("idle", "figure", "bar")
    table.add_row(f"share of a core over {options.minutes:g} minutes", f"{share:.2%}", f"< {MOST_OF_A_CORE:.0%}")
    table.add_row("bytes logged meanwhile", str(said), "")
    table.add_row(f"bytes logged in {options.seconds:.0f} s", str(logged), f"< {MOST_LOG_BYTES}")
    table.add_row(
        "memory at a tenth of it and at the end, MB", f"{memory[0] / 1e6:.1f}, {memory[-1] / 1e6:.1f}", "flat"
    )
    Console(width=100).print(table)
    return 0 if share < MOST_OF_A_CORE and logged < MOST_LOG_BYTES and growth < MOST_GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
