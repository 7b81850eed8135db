"""Where results go: never over another video's, and never taken for done when they are not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tilewatch.jobs.store import Job
from tilewatch.service import places

if TYPE_CHECKING:
    from pathlib import Path


def job(path: str, fingerprint: str = "1-abc") -> Job:
    """Return a job of a file."""
    return Job(
        id=7,
        path=path,
        fingerprint=fingerprint,
        state="running",
        attempts=2,
        reason="",
        error="",
        frames_done=0,
        frames_total=None,
        created=0,
        updated=0,
        started=0,
        finished=None,
        output="",
        same_as=None,
    )


@pytest.mark.parametrize(
    ("path", "others", "wanted"),
    [
        ("a.mp4", [], "a"),
        ("sub/deep/a.mp4", ["a.mkv"], "sub/deep/a"),
        ("a.mp4", ["a.mkv"], "a.mp4"),
        ("a.mp4", ["a/b.mp4"], "a.mp4"),
        ("a/b.mp4", ["a.mp4"], "a/b"),
    ],
)
def test_results_of_different_files_never_share_a_folder(
    tmp_path: Path, path: str, others: list[str], wanted: str
) -> None:
    """Same stem beside it, or a folder of that name: the whole file name is used."""
    watched, output = tmp_path / "videos", tmp_path / "out"
    for name in (path, *others):
        (watched / name).parent.mkdir(parents=True, exist_ok=True)
        (watched / name).touch()
    folder, name = places.place_of(job(path), watched, output)
    assert folder / name == output / wanted


def test_only_the_very_result_counts_as_done(tmp_path: Path) -> None:
    """Content, model and settings are those of the job at hand, and it is complete."""
    whole = {"status": "complete", "input": {"fingerprint": "1-abc"}, "model": {"sha256": "m"}, "settings": {"A": 1}}
    cases = [
        (whole, True),
        ({**whole, "status": "interrupted"}, False),
        ({**whole, "input": {"fingerprint": "2-abc"}}, False),
        ({**whole, "model": {"sha256": "n"}}, False),
        ({**whole, "settings": {"A": 2}}, False),
        ({}, False),
    ]
    for document, wanted in cases:
        (tmp_path / "manifest.json").write_text(json.dumps(document))
        assert places.is_done(job("a.mp4"), tmp_path, {"A": 1}, "m") is wanted
    assert not places.is_done(job("a.mp4"), tmp_path / "nowhere", {"A": 1}, "m")


def test_work_of_jobs_that_are_no_more_is_removed(tmp_path: Path) -> None:
    """After a crash between two steps nothing is left over for good."""
    kept, gone = places.work_of(job("a.mp4"), tmp_path), places.work_of(job("a.mp4", "9-old"), tmp_path)
    for folder in (kept, gone):
        folder.mkdir(parents=True)
        (folder / "journal").touch()
    places.forget_all_but([job("a.mp4")], tmp_path, places.works(tmp_path))
    assert kept.exists()
    assert not gone.exists()


def test_work_that_another_daemon_has_just_begun_stays(tmp_path: Path) -> None:
    """Its job is younger than the list of jobs, but its folder is younger than the list of folders too."""
    found = places.works(tmp_path)
    new = places.work_of(job("new.mp4"), tmp_path)
    new.mkdir(parents=True)
    places.forget_all_but([], tmp_path, found)
    assert new.exists()


def test_lost_ledger_is_told_of_all_complete_results(tmp_path: Path) -> None:
    """Path of the video, fingerprint and folder; what is hidden or incomplete is left out."""
    for name, status in (("a", "complete"), ("sub/b", "complete"), ("c", "interrupted"), (".work/d", "complete")):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        document = {"status": status, "input": {"name": f"{folder.name}.mp4", "fingerprint": f"1-{folder.name}"}}
        (folder / "manifest.json").write_text(json.dumps(document))
    assert set(places.results(tmp_path)) == {
        ("a.mp4", "1-a", str(tmp_path / "a")),
        ("sub/b.mp4", "1-b", str(tmp_path / "sub/b")),
    }


def test_name_of_a_result_in_work_is_not_free(tmp_path: Path) -> None:
    """Two that begin in one second, of one daemon or two, must not replace each other when they appear."""
    assert places.free_name(tmp_path, "noon") == "noon"
    (tmp_path / "noon").mkdir()
    (tmp_path / ".noon-2.1-0123abcd.partial").mkdir()
    mine = tmp_path / ".noon-3.1-0123abcd.partial"
    mine.mkdir()
    assert places.free_name(tmp_path, "noon") == "noon-4"
    assert places.free_name(tmp_path, "noon", but=mine) == "noon-3"
