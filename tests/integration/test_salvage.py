"""Results of cameras that a dead process left open: completed once, up to the last checkpoint that holds, or swept."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import av
import pytest
from structlog.testing import capture_logs

from tests.support.recordings import NAME, RATE, left_by_the_dead, living, make_recorder, record
from tilewatch.errors import DiskFullError, SinkError
from tilewatch.jobs import checkpoint
from tilewatch.service import salvage as module
from tilewatch.service.completion import Completion
from tilewatch.service.salvage import QUIET_SECONDS, Salvage
from tilewatch.sinks.partial import clear_stale
from tilewatch.sinks.result import ResultFolder

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence
    from pathlib import Path

ATTEMPTS = 3
CHECKPOINTS = 3
FRAMES = CHECKPOINTS * RATE
"""Up to the last checkpoint; a few more were written behind it."""
BEHIND = 4
DEADLY = """
import os, signal, sys
from pathlib import Path
from tilewatch.service import completion, salvage
from tilewatch.sinks import partial, result
owner, name, when = sys.argv[2:]
owner = eval(owner)
whole = getattr(owner, name)
def deadly(*args, **kwargs):
    if when == "after":
        whole(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, deadly)
salvage.Salvage(Path(sys.argv[1]), max_attempts=3, max_pixels=10**8, stopped=lambda: False)()
"""
"""The recovery in a process that is killed at one of its steps."""
STEPS = [
    ("partial.PartialFolder", "adopt", "after"),
    ("completion", "join", "before"),
    ("completion", "join", "after"),
    ("completion.Completion", "_rows", "after"),
    ("result.ResultFolder", "commit", "before"),
    ("partial.PartialFolder", "swap_in", "after"),
    ("partial.PartialFolder", "remove", "before"),
]


def salvage(output: Path, *, times: int = 1, stopped: bool = False) -> Sequence[MutableMapping[str, Any]]:
    """Look after what is left over, and return what was logged."""
    with capture_logs() as logs:
        look = Salvage(output, max_attempts=ATTEMPTS, max_pixels=10**8, stopped=lambda: stopped)
        for _ in range(times):
            look()
    return logs


def told(logs: Sequence[MutableMapping[str, Any]], event: str) -> list[MutableMapping[str, Any]]:
    """Return the events of a name."""
    return [log for log in logs if log["event"] == event]


def inside(output: Path) -> set[str]:
    """Return what is in the camera's folder, hidden names too."""
    return {path.name for path in (output / "gate").iterdir()}


def manifest(output: Path) -> dict[str, Any]:
    """Return the manifest of the one result."""
    document: dict[str, Any] = json.loads((output / "gate" / NAME / "manifest.json").read_text())
    return document


def rows(folder: Path) -> dict[str, bytes]:
    """Return the files of a result that have to be the same whoever made them."""
    names = ("tracks.jsonl", "tracks.csv", "tracks.mot.txt", "coco.json")
    return {name: (folder / name).read_bytes() for name in names}


def pictures(video: Path) -> list[tuple[float, bytes]]:
    """Return time and pixels of each picture."""
    with av.open(video) as container:
        return [(frame.time or 0.0, frame.to_ndarray().tobytes()) for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def leftover(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an output folder as a process leaves it that dies over a recording with checkpoints."""
    output = tmp_path_factory.mktemp("leftover")
    left_by_the_dead(output, FRAMES + BEHIND)
    return output


@pytest.fixture
def left(tmp_path: Path, leftover: Path) -> Path:
    """Return the folder of the recording that was left in an output folder of the test's own."""
    shutil.copytree(leftover, tmp_path, dirs_exist_ok=True)
    (root,) = tmp_path.glob("gate/.*.partial")
    return root


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the result of a recording of so many frames that nobody disturbed."""
    output = tmp_path_factory.mktemp("undisturbed")
    recorder = make_recorder(output)
    record(recorder, FRAMES)
    recorder.close()
    return output / "gate" / NAME


@pytest.mark.usefixtures("left")
def test_result_is_that_of_a_recording_that_ended_at_the_checkpoint(tmp_path: Path, undisturbed: Path) -> None:
    """Rows to the byte, video to the pixel; the manifest says that it ended early, and why."""
    logs = salvage(tmp_path)
    found = tmp_path / "gate" / NAME
    assert inside(tmp_path) == {NAME}
    assert rows(found) == rows(undisturbed)
    assert pictures(found / "annotated.mp4") == pictures(undisturbed / "annotated.mp4")
    assert {path.name for path in found.iterdir()} == {path.name for path in undisturbed.iterdir()}
    assert found.joinpath("overview.png").stat().st_size > 0
    (recovered,) = told(logs, "segment_recovered")
    assert (recovered["stream"], recovered["frames"]) == ("gate", FRAMES)
    ours, theirs = manifest(tmp_path), json.loads((undisturbed / "manifest.json").read_text())
    assert ours["status"] == "interrupted"
    assert ours["warnings"] == ["ended early: the process that recorded it ended before it was complete"]
    same = ("input", "model", "engine", "encoder", "accounts", "timings", "tracks")
    assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}


@pytest.mark.parametrize(("owner", "name", "when"), STEPS)
@pytest.mark.usefixtures("left")
def test_kill_at_any_step_of_the_recovery_changes_nothing(
    tmp_path: Path, undisturbed: Path, owner: str, name: str, when: str
) -> None:
    """Before the result appears or behind: the next look completes it, once, and nothing is left."""
    command = [sys.executable, "-c", DEADLY, str(tmp_path), owner, name, when]
    died = subprocess.run(command, check=False, capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    salvage(tmp_path)
    assert inside(tmp_path) == {NAME}
    assert rows(tmp_path / "gate" / NAME) == rows(undisturbed)
    assert manifest(tmp_path)["status"] == "interrupted"


@pytest.mark.parametrize("damage", ["checkpoint", "segment missing", "segment cut", "journal cut"])
def test_damaged_last_checkpoint_gives_the_one_before_it(tmp_path: Path, left: Path, damage: str) -> None:
    """Rows and video end together, where both hold."""
    work = left / "work"
    last = min(work.glob("segment-000002-*"))
    if damage == "checkpoint":
        (work / checkpoint.FILE).write_bytes(b"{")
    elif damage == "segment missing":
        last.unlink()
    elif damage == "segment cut":
        os.truncate(last, last.stat().st_size // 2)
    else:
        os.truncate(work / "journal", (work / "journal").stat().st_size * 3 // 4)
    salvage(tmp_path)
    found = tmp_path / "gate" / NAME
    kept = FRAMES - RATE
    assert manifest(tmp_path)["accounts"]["frames"]["written"] == kept
    assert len(pictures(found / "annotated.mp4")) == kept
    assert len((found / "tracks.jsonl").read_text().splitlines()) == kept
    assert inside(tmp_path) == {NAME}


def test_recording_without_a_checkpoint_is_swept_away_and_said(tmp_path: Path) -> None:
    """There is nothing of which a result could be made."""
    left_by_the_dead(tmp_path, RATE - 1)
    (lost,) = told(salvage(tmp_path), "segment_lost")
    assert (lost["stream"], lost["cause"]) == ("gate", "there is no checkpoint of it")
    assert inside(tmp_path) == set()


def test_recording_of_which_nothing_holds_is_swept_away_and_said(tmp_path: Path, left: Path) -> None:
    """A result of no frames would be none."""
    work = left / "work"
    os.truncate(work / "journal", 7)
    assert [lost["cause"] for lost in told(salvage(tmp_path), "segment_lost")] == [
        "what its checkpoints speak of is damaged"
    ]
    assert inside(tmp_path) == set()


def test_recording_without_video_is_recovered_from_its_journal(tmp_path: Path, undisturbed: Path) -> None:
    """OUTPUT_FORMATS decides what there is; the picture of the overview is grey then."""
    left_by_the_dead(tmp_path, FRAMES + BEHIND, formats="jsonl,overview")
    salvage(tmp_path)
    found = tmp_path / "gate" / NAME
    assert {path.name for path in found.iterdir()} == {"tracks.jsonl", "overview.png", "manifest.json"}
    assert (found / "tracks.jsonl").read_bytes() == rows(undisturbed)["tracks.jsonl"]
    assert manifest(tmp_path)["encoder"] is None


def test_recording_of_a_living_process_is_left_alone_until_it_dies(tmp_path: Path) -> None:
    """Its lock says so, whoever asks; then it is taken once, by whoever is first."""
    with living(tmp_path, FRAMES + BEHIND) as owner:
        before = inside(tmp_path)
        assert salvage(tmp_path) == []
        clear_stale(tmp_path / "gate")
        assert inside(tmp_path) == before
        owner.kill()
    clear_stale(tmp_path / "gate")
    assert inside(tmp_path) == before, "what can be completed is not swept away"
    assert len(told(salvage(tmp_path, times=2), "segment_recovered")) == 1


@pytest.mark.usefixtures("left")
def test_recording_that_another_daemon_completes_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two daemons that start at once one completes it; the other one sees a living owner."""
    run, seen = Completion.run, []

    def run_beside_another(completion: Any) -> Any:
        seen.append(salvage(tmp_path))
        return run(completion)

    monkeypatch.setattr(Completion, "run", run_beside_another)
    assert len(told(salvage(tmp_path), "segment_recovered")) == 1
    assert seen == [[]]


def test_recording_of_another_machine_is_taken_once_it_is_overdue(
    tmp_path: Path, left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a network volume a free lock says nothing; what was not written to for longer than a segment lasts does."""
    monkeypatch.setattr(module, "is_network", lambda _: True)
    monkeypatch.setattr(module, "is_of_this_machine", lambda _: False)
    work = left / "work"
    assert salvage(tmp_path) == []
    for path in (*work.iterdir(), work):
        moment = path.stat().st_mtime - QUIET_SECONDS - 301
        os.utime(path, (moment, moment))
    assert len(told(salvage(tmp_path), "segment_recovered")) == 1


@pytest.mark.usefixtures("left")
def test_full_volume_postpones_the_recovery_however_often(
    tmp_path: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not the recording's fault: it waits, and is completed once there is room."""
    with monkeypatch.context() as patch:
        patch.setattr(ResultFolder, "commit", _raising(DiskFullError("no space left")))
        assert len(told(salvage(tmp_path, times=ATTEMPTS + 2), "segment_recovery_postponed")) == ATTEMPTS + 2
        assert not (tmp_path / "gate" / NAME).exists()
    salvage(tmp_path)
    assert rows(tmp_path / "gate" / NAME) == rows(undisturbed)


@pytest.mark.usefixtures("left")
def test_stop_leaves_the_recovery_to_the_next_start(tmp_path: Path) -> None:
    """A drain has a deadline, and a long video takes its time."""
    answers = iter([False] * 20)
    with capture_logs() as logs:
        Salvage(tmp_path, max_attempts=ATTEMPTS, max_pixels=10**8, stopped=lambda: next(answers, True))()
    assert len(told(logs, "segment_recovery_postponed")) == 1
    assert len(told(salvage(tmp_path), "segment_recovered")) == 1
    assert inside(tmp_path) == {NAME}


def test_recording_that_fails_again_and_again_is_set_aside_and_stays(
    tmp_path: Path, left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No crash loop, no log that fills; footage that cannot be had again is not deleted for our faults."""
    monkeypatch.setattr(ResultFolder, "commit", _raising(SinkError("refused")))
    logs = salvage(tmp_path, times=ATTEMPTS + 3)
    assert len(told(logs, "segment_not_recovered")) == ATTEMPTS
    assert [log["log_level"] for log in told(logs, "segment_set_aside")] == ["error"]
    assert {path.suffix for path in (tmp_path / "gate").iterdir()} == {left.suffix}


@pytest.mark.usefixtures("left")
def test_name_that_was_taken_meanwhile_is_not_taken_away(tmp_path: Path, undisturbed: Path) -> None:
    """A clock that was set back gives one second twice: both results stay."""
    undisturbed_copy = tmp_path / "gate" / NAME
    undisturbed_copy.mkdir()
    (undisturbed_copy / "manifest.json").write_bytes((undisturbed / "manifest.json").read_bytes())
    salvage(tmp_path)
    assert inside(tmp_path) == {NAME, f"{NAME}-2"}
    assert manifest(tmp_path)["status"] == "complete"


def test_recording_that_was_given_up_is_recovered_and_says_why(tmp_path: Path) -> None:
    """A full volume, or a drain's deadline: what the checkpoints hold is not lost; the recorder goes on meanwhile."""
    recorder = make_recorder(tmp_path)
    record(recorder, FRAMES + BEHIND)
    recorder.abort("out: no space left")
    salvage(tmp_path)
    assert manifest(tmp_path)["warnings"] == ["ended early: out: no space left"]
    assert manifest(tmp_path)["accounts"]["frames"]["written"] == FRAMES


def test_result_that_cannot_be_completed_loses_no_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written since the last checkpoint is vouched for before the result is put together."""
    recorder = make_recorder(tmp_path)
    record(recorder, FRAMES + BEHIND)
    with monkeypatch.context() as patch:
        patch.setattr(ResultFolder, "commit", _raising(DiskFullError("no space left")))
        with pytest.raises(DiskFullError):
            recorder.close()
    recorder.abort("no space left")
    salvage(tmp_path)
    assert manifest(tmp_path)["accounts"]["frames"]["written"] == FRAMES + BEHIND


def _raising(error: Exception) -> Any:
    def refuse(*_: object) -> None:
        raise error

    return refuse
