"""What `run` shows while it works: a bar on a terminal, one JSON line a file when not."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from rich.progress import Task, TaskID
    from typing_extensions import Self

    from tilewatch.telemetry.streams import Queue


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one video ended."""

    input: str
    status: str
    """'complete', 'interrupted' or 'failed'."""
    exit_code: int = 0
    output: str | None = None
    """The annotated video, or the result's folder or manifest where no video was asked for."""
    frames: int = 0
    tracks: int = 0
    seconds: float = 0.0
    frames_per_second: float = 0.0
    warnings: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """One line of the stage table; times in seconds."""

    stage: str
    items: int
    busy: float
    waited_for_input: float
    waited_for_room: float
    cpu: float


class _Rate(ProgressColumn):
    """Frames per second, over the last moments."""

    def render(self, task: Task) -> Text:
        """Return the speed of a task."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:5.1f} frames/s" if speed else "  -   frames/s", style="cyan")


class Bar:
    """One video's line."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def flow(self, label: str, channels: Sequence[Queue]) -> None:
        """Show nothing of them: a terminal has one line for a video."""

    def advance(self, frames: int = 1) -> None:
        """So many more frames are written."""
        self._progress.advance(self._task, frames)

    def end(self) -> None:
        """Take the line away."""
        self._progress.remove_task(self._task)


class ProgressReport:
    """Shows the way of each video: on a terminal a bar and a line per file on stderr, else a JSON line on stdout."""

    def __init__(self, *, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._console = Console(file=err or sys.stderr)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        self._bar.stop()

    def begin(self, name: str, total: int | None) -> Bar:
        """Show a video of about `total` frames that starts now."""
        return Bar(self._bar, self._bar.add_task(name, total=total))

    def finish(self, outcome: Outcome) -> None:
        """Say how a video has ended."""
        if self._console.is_terminal:
            self._console.print(_sentence(outcome), highlight=False, soft_wrap=True)
        else:
            self._out.write(json.dumps(asdict(outcome), ensure_ascii=False) + "\n")
            self._out.flush()

    def stages(self, rows: Sequence[StageRow], wall_seconds: float, tiles: Mapping[str, int]) -> None:
        """Print the stage table, and below it what was done about the tiles.

        CPU is that of the stage's own thread; `wait in` is for input, `wait out` for room behind the stage.
        """
        said = ", ".join(f"{count} {outcome}" for outcome, count in tiles.items())
        table = Table("stage", title=f"where the time went ({wall_seconds:.2f} s)", caption=f"tiles: {said}")
        for heading in ("items", "busy s", "ms/item", "of wall", "CPU s", "wait in s", "wait out s"):
            table.add_column(heading, justify="right")
        for row in rows:
            each = 1000 * row.busy / row.items if row.items else 0.0
            share = row.busy / wall_seconds if wall_seconds else 0.0
            times = (row.cpu, row.waited_for_input, row.waited_for_room)
            table.add_row(
                row.stage,
                str(row.items),
                f"{row.busy:.2f}",
                f"{each:.2f}",
                f"{share:.0%}",
                *(f"{t:.2f}" for t in times),
            )
        self._console.print(table)


def _sentence(outcome: Outcome) -> Text:
    """Return a result as a person reads it."""
    if outcome.status == "failed":
        return Text(f"✗ {outcome.error}", style="red")
    if not outcome.frames:
        return Text(f"■ {outcome.input}: stopped before the first frame", style="yellow")
    mark, style = ("✓", "green") if outcome.status == "complete" else ("■ stopped early:", "yellow")
    text = Text(f"{mark} {outcome.input}: ", style=style)
    text.append(f"{outcome.frames} frames, {outcome.tracks} tracks in {outcome.seconds:.1f} s ", style="default")
    text.append(f"({outcome.frames_per_second:.1f} frames/s) → {outcome.output}", style="default")
    for warning in outcome.warnings:
        text.append(f"\n  warning: {warning}", style="yellow")
    return text
