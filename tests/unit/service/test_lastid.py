"""The highest id of a camera outlives the process, and is on the disk before anything that shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from structlog.testing import capture_logs

from tests.support.recordings import RATE, make_recorder, record, tracks_of
from tilewatch.service.lastid import LastId, cameras
from tilewatch.sinks.result import ResultFolder

if TYPE_CHECKING:
    from pathlib import Path


def test_number_comes_back_for_its_camera_alone(tmp_path: Path) -> None:
    """The highest one ever seen, not the last one; a camera that was never recorded begins at 0."""
    ids = LastId.of(tmp_path, "gate")
    ids.see(np.array([3, 9, 4], np.int64))
    ids.see(np.array([], np.int64))
    ids.see(np.array([5], np.int64))
    ids.save()
    assert LastId.of(tmp_path, "gate").value == 9
    assert LastId.of(tmp_path, "yard").value == 0
    assert cameras(tmp_path) == ["gate"]


def test_file_is_written_only_when_there_is_something_new(tmp_path: Path) -> None:
    """A camera of an empty yard makes a checkpoint twice a minute for years."""
    ids = LastId.of(tmp_path, "gate")
    ids.save()
    (file,) = tmp_path.rglob("gate.json")
    file.unlink()
    ids.save()
    assert not file.exists()
    ids.see(np.array([1], np.int64))
    ids.save()
    assert file.exists()


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"last_id": "many"}', b"\xff"])
def test_damaged_file_is_said_and_counts_as_none(tmp_path: Path, content: bytes) -> None:
    """A service that does not start for it would record nothing at all."""
    LastId.of(tmp_path, "gate").save()
    (file,) = tmp_path.rglob("gate.json")
    file.write_bytes(content)
    with capture_logs() as logs:
        assert LastId.of(tmp_path, "gate").value == 0
    assert [log["event"] for log in logs] == ["last_id_unreadable"]


def test_number_is_kept_before_a_result_shows_its_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash between the two must not give an id to a second object."""
    kept: list[int] = []
    commit = ResultFolder.commit

    def look(folder: ResultFolder) -> None:
        kept.append(LastId.of(tmp_path, "gate").value)
        commit(folder)

    monkeypatch.setattr(ResultFolder, "commit", look)
    recorder = make_recorder(tmp_path, formats="jsonl")
    record(recorder, 2 * RATE + 3)
    assert LastId.of(tmp_path, "gate").value == 3, "with the last checkpoint"
    recorder.close()
    assert kept == [tracks_of(2 * RATE + 2).track_id.max()] == [4]
