"""What is shown of a build."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from rich.progress import Progress

from tilewatch.errors import StoppedError
from tilewatch.telemetry.build_progress import BuildBars, BuildProgress, build_progress


def build(progress: BuildProgress) -> None:
    """Play a build of three levels."""
    progress.begin("Building engine", None, 2)
    progress.begin("Timing", "Building engine", 3)
    progress.begin("Reformats", "Timing", 100)
    progress.step("Reformats", 50)
    progress.end("Reformats")
    progress.step("Timing", 2)
    progress.end("Timing")
    progress.end("Building engine")


def test_without_a_terminal_there_is_one_json_line_for_each_phase() -> None:
    """Of the build and its parts; what lies deeper would be thousands."""
    stream = io.StringIO()
    with build_progress(stream) as progress:
        build(progress)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["phase"] for line in lines] == ["Timing", "Building engine"]
    assert all(line["event"] == "build_phase_finished" and line["seconds"] >= 0 for line in lines)


def test_on_a_terminal_there_is_a_bar_for_the_build_and_one_for_its_part() -> None:
    """Each as far as its steps."""
    with Progress(console=Console(file=io.StringIO(), force_terminal=True)) as bars:
        progress = BuildBars(bars)
        progress.begin("Building engine", None, 2)
        progress.begin("Timing", "Building engine", 3)
        progress.begin("Reformats", "Timing", 100)
        progress.step("Timing", 2)
        assert [(task.description, task.completed, task.total) for task in bars.tasks] == [
            ("Building engine", 0, 2),
            ("  Timing", 2, 3),
        ]
        progress.end("Timing")
        assert len(bars.tasks) == 1


def test_a_stop_ends_the_build_at_its_next_step() -> None:
    """Of whatever phase."""
    progress = BuildProgress()
    progress.begin("Building engine", None, 2)
    assert progress.step("Building engine", 1)
    progress.check()
    progress.stop()
    with pytest.raises(StoppedError):
        progress.check()
    assert not progress.step("Building engine", 2)
    assert not progress.step("an unknown phase", 1)
