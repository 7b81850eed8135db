"""Folders that may not be used: who it is that may not, and the command that mends it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tilewatch.service import folders
from tilewatch.settings import Settings, load

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings with folders that are there."""
    places = {"WATCH_DIR": tmp_path / "videos", "OUTPUT_DIR": tmp_path / "out", "LOG_DIR": tmp_path / "logs"}
    for path in places.values():
        path.mkdir()
    return load(overrides=places)


def forbid(monkeypatch: pytest.MonkeyPatch, *forbidden: Path) -> None:
    """Let the kernel refuse some places, as it does to whoever is not root."""
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path not in forbidden and allowed(path, mode))


def test_folders_that_do_are_not_spoken_of(settings: Settings) -> None:
    """Nothing is refused where all is well, whether ledger and work are there yet or not."""
    assert folders.refused(settings) == {}


def test_each_folder_has_its_own_remedy(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is only read is opened to readers; what is written goes to tilewatch's user."""
    videos, out, logs = tmp_path / "videos", tmp_path / "out", tmp_path / "logs"
    forbid(monkeypatch, videos, out, logs)
    user, owner = os.getuid(), f"{os.getuid()}:{os.getgid()}"
    assert folders.refused(settings) == {
        videos: f"{videos}: cannot be read by user {user}: run `chmod -R a+rX {videos}`",
        out: f"{out}: cannot be written by user {user}: run `chown -R {owner} {out}`",
        logs: f"{logs}: cannot be written by user {user}: run `chown -R {owner} {logs}`",
    }


@pytest.mark.parametrize("name", [".tilewatch", ".tilewatch/ledger.db", ".work"])
def test_what_another_user_left_in_the_output_counts(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A folder that can be written is of no use while the ledger in it cannot."""
    place = tmp_path / "out" / name
    place.parent.mkdir(exist_ok=True)
    place.touch()
    forbid(monkeypatch, place)
    assert list(folders.refused(settings)) == [tmp_path / "out"]
