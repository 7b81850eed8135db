"""What `model build` shows while TensorRT works: bars on a terminal, one JSON line a phase when not."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tilewatch.errors import StoppedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import TaskID

DEPTH = 2
"""Levels of phases that are shown: the build itself and its parts; below them are thousands of short ones."""


class BuildProgress:
    """Follows a build; TensorRT calls it from its own threads, `stop` comes from the signal handler."""

    def __init__(self) -> None:
        self._levels: dict[str, int] = {}
        self._stopped = False

    def stop(self) -> None:
        """End the build at its next step."""
        self._stopped = True

    def begin(self, phase: str, parent: str | None, steps: int) -> None:
        """Note a phase; phases that are too deep are not shown."""
        level = 1 + (self._levels.get(parent, DEPTH) if parent else 0)
        self._levels[phase] = level
        if level <= DEPTH:
            self._begun(phase, level, steps)

    def step(self, phase: str, done: int) -> bool:
        """Note so many steps; False when the operator wants to stop."""
        if self._levels.get(phase, DEPTH + 1) <= DEPTH:
            self._stepped(phase, done)
        return not self._stopped

    def end(self, phase: str) -> None:
        """Note that a phase is over."""
        if self._levels.pop(phase, DEPTH + 1) <= DEPTH:
            self._ended(phase)

    def check(self) -> None:
        """Raise StoppedError when the operator wants to stop."""
        if self._stopped:
            raise StoppedError("stopped: nothing is left of it")

    def _begun(self, phase: str, level: int, steps: int) -> None:
        """Show a phase."""

    def _stepped(self, phase: str, done: int) -> None:
        """Show its progress."""

    def _ended(self, phase: str) -> None:
        """Show its end."""


class BuildBars(BuildProgress):
    """One bar for the build and one for the part it is at."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def _begun(self, phase: str, level: int, steps: int) -> None:
        self._tasks[phase] = self._progress.add_task("  " * (level - 1) + phase, total=steps)

    def _stepped(self, phase: str, done: int) -> None:
        self._progress.update(self._tasks[phase], completed=done)

    def _ended(self, phase: str) -> None:
        self._progress.remove_task(self._tasks.pop(phase))


class BuildLines(BuildProgress):
    """One line a phase, when it is over."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._begins: dict[str, float] = {}

    def _begun(self, phase: str, level: int, steps: int) -> None:
        del level, steps
        self._begins[phase] = time.monotonic()

    def _ended(self, phase: str) -> None:
        seconds = round(time.monotonic() - self._begins.pop(phase), 3)
        self._stream.write(json.dumps({"event": "build_phase_finished", "phase": phase, "seconds": seconds}) + "\n")
        self._stream.flush()


@contextmanager
def build_progress(stream: TextIO = sys.stderr) -> Iterator[BuildProgress]:
    """Give what follows a build, fit for where it is shown."""
    if not stream.isatty():
        yield BuildLines(stream)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(file=stream), transient=True) as progress:
        yield BuildBars(progress)
