"""Opening a file to see whether it is finished must not be able to end every start of the service."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.clips import Clip, make_clip
from tilewatch.service import trial
from tilewatch.service.trial import Trial

if TYPE_CHECKING:
    from pathlib import Path


class Died(BaseException):
    """The process is gone."""


def test_videos_open_and_other_files_do_not(tmp_path: Path) -> None:
    """No trace of the trial stays."""
    clip = make_clip(tmp_path / "a.mp4", Clip(frames=2))
    (tmp_path / "b.mp4").write_text("no video")
    trying = Trial(tmp_path / "opening", 1 << 20)
    assert trying(clip)
    assert not trying(tmp_path / "b.mp4")
    assert not (tmp_path / "opening").exists()


def test_file_that_ended_the_process_is_taken_unopened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It becomes a job, whose crashes are counted; every other file is opened as before."""
    poison = tmp_path / os.fsdecode(b"\xff poison.mp4")
    poison.write_text("no video")

    def dies(path: Path, *, max_pixels: int) -> bool:  # noqa: ARG001
        raise Died

    note = tmp_path / "opening"
    with monkeypatch.context() as patched:
        patched.setattr(trial, "can_open", dies)
        patched.setattr("pathlib.Path.unlink", lambda *_, **__: None)  # a dead process tidies nothing up
        with pytest.raises(Died):
            Trial(note, 1 << 20)(poison)
    again = Trial(note, 1 << 20)
    assert again(poison)
    (tmp_path / "c.mp4").write_text("no video either")
    assert not again(tmp_path / "c.mp4")
