"""What `run` shows: a line a file, as JSON for machines and as a sentence for people."""

from __future__ import annotations

import io
import json
import re

import pytest

from tilewatch.telemetry.progress import Outcome, ProgressReport, StageRow

DONE = Outcome(
    input="clip.mp4",
    status="complete",
    output="out/clip",
    frames=10,
    tracks=2,
    seconds=2.0,
    frames_per_second=5.0,
    warnings=("short",),
)


class Terminal(io.StringIO):
    """A stream that a person reads."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def shown(err: io.StringIO, outcome: Outcome) -> tuple[str, str]:
    """Return what goes to stdout and stderr for a video of ten frames."""
    out = io.StringIO()
    with ProgressReport(out=out, err=err) as report:
        bar = report.begin("clip.mp4", 10)
        for _ in range(10):
            bar.advance()
        bar.end()
        report.finish(outcome)
        report.stages(
            [StageRow(stage="decode", items=10, busy=1.0, waited_for_input=0, waited_for_room=0.5, cpu=0.2)],
            2.0,
            {"inferred": 30, "reused": 50, "outside_roi": 0},
        )
    return out.getvalue(), err.getvalue()


def test_one_json_object_a_file_when_nobody_watches() -> None:
    """Stdout holds what a script wants to know, and nothing else."""
    out, _ = shown(io.StringIO(), DONE)
    assert json.loads(out)["frames_per_second"] == 5.0
    assert out.count("\n") == 1


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (DONE, ["✓ clip.mp4: 10 frames, 2 tracks in 2.0 s (5.0 frames/s)", "out/clip", "warning: short"]),
        (Outcome(input="clip.mp4", status="failed", error="clip.mp4 is empty"), ["✗ clip.mp4 is empty"]),
        (Outcome(input="clip.mp4", status="interrupted", output="out/clip", frames=3), ["stopped early", "3 frames"]),
        (Outcome(input="clip.mp4", status="interrupted"), ["clip.mp4: stopped before the first frame"]),
    ],
)
def test_a_sentence_a_file_on_a_terminal(monkeypatch: pytest.MonkeyPatch, outcome: Outcome, words: list[str]) -> None:
    """People get a sentence, on stderr; stdout stays empty."""
    monkeypatch.setenv("COLUMNS", "200")
    out, err = shown(Terminal(), outcome)
    err = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err)
    assert out == ""
    assert all(word in err for word in words)


def test_stage_table_names_the_stage_and_its_share() -> None:
    """Half of the wall time is 50 %."""
    _, err = shown(io.StringIO(), DONE)
    assert "decode" in err
    assert "50%" in err
