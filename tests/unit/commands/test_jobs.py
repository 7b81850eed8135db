"""`tilewatch jobs` shows the ledger and changes it, and says in one line what it cannot do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tilewatch.cli import run_command_line
from tilewatch.jobs.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an output folder: one failed job, a running one, one that is ready."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path / "out"))
    monkeypatch.setenv("COLUMNS", "200")
    with Ledger.open(tmp_path / "out") as ledger:
        for n, name in enumerate(("bad.mp4", "busy\n\udcff[red].mp4", "next.mp4")):
            ledger.offer(name, f"1-{n}")
        ledger.claim("a", 60)
        ledger.fail(1, "bad_input", "bad.mp4: not a video")
        ledger.claim("a", 60)
        ledger.heartbeat(2, "a", 30, 120)
    return tmp_path / "out"


def said(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    """Run a command and return what it printed."""
    assert run_command_line(["jobs", *map(str, arguments)]) == code
    printed = capsys.readouterr()
    return printed.err if code else printed.out


def answer(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    """Run a command and return its JSON."""
    return json.loads(said(capsys, *arguments, "--json"))


@pytest.mark.usefixtures("output")
def test_list_shows_a_row_for_each_job(capsys: pytest.CaptureFixture[str]) -> None:
    """With its reason and progress; a name cannot break the table or dress itself up."""
    text = said(capsys, "list")
    assert "bad.mp4: not a video" in text
    assert "25%" in text
    assert r"busy\n\udcff[red].mp4" in text
    assert text.splitlines()[-1] == "1 ready, 1 running, 1 failed"


def test_list_as_json_is_whole(
    output: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every field, exact names, the state that was asked for, of the folder that was named."""
    monkeypatch.setenv("OUTPUT_DIR", "/nowhere")
    found = answer(capsys, "list", "--output", output, "--state", "running")
    assert [job["path"] for job in found["jobs"]] == ["busy\n\udcff[red].mp4"]
    assert found["counts"]["ready"] == 1
    assert found["jobs"][0]["frames_total"] == 120


@pytest.mark.usefixtures("output")
def test_job_is_shown_retried_and_cancelled(capsys: pytest.CaptureFixture[str]) -> None:
    """Each command answers with the job as it is after it."""
    assert "state        failed" in said(capsys, "show", 1)
    assert answer(capsys, "retry", 1)["state"] == "ready"
    assert answer(capsys, "cancel", 2)["state"] == "cancelled"
    assert answer(capsys, "show", 2)["reason"] == "operator"


@pytest.mark.usefixtures("output")
def test_prune_keeps_jobs_whose_file_is_still_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Forgotten, it would be done again; without the folder nobody can tell."""
    assert "name it with --watch" in said(capsys, "prune", "--days", 0, code=78)
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "bad.mp4").touch()
    assert answer(capsys, "prune", "--days", 0, "--watch", videos) == {"forgotten": 0}
    (videos / "bad.mp4").unlink()
    assert answer(capsys, "prune", "--days", 0, "--watch", videos) == {"forgotten": 1}


@pytest.mark.usefixtures("output")
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["show", 99], "job 99: there is no such job: see `tilewatch jobs list`"),
        (["retry", 99], "job 99"),
        (["retry", 2], "job 2 is running: only a finished one can be tried again"),
        (["cancel", 1], "job 1 is failed already: there is nothing to cancel"),
        (["list", "--output", "elsewhere"], "elsewhere/.tilewatch/ledger.db: there is no ledger"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[object], text: str
) -> None:
    """Exit code 65, the thing and the remedy."""
    said_so = said(capsys, *arguments, code=65)
    assert text in said_so
    assert len(said_so.splitlines()) == 1
