"""A walk finds the videos of a folder and refuses what leads out of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tilewatch.errors import ConfigError
from tilewatch.jobs.folder import Listing, scan
from tilewatch.jobs.rules import Rules

if TYPE_CHECKING:
    from pathlib import Path

RULES = Rules(["*.mp4"])


def put(*paths: Path) -> None:
    """Make files with their folders."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def walk(root: Path) -> Listing:
    """Walk through the folder, with an output folder in it."""
    return scan(root, RULES, root / "out")


def test_regular_files_of_all_subfolders_are_found(tmp_path: Path) -> None:
    """With size and time, by relative path; also names that are no UTF-8, very long, or hold a line break."""
    names = ["a.mp4", "s/t/b.mp4", "\u0444/\n.mp4", "x" * 251 + ".mp4", os.fsdecode(b"\xff.mp4")]
    put(*(tmp_path / name for name in names), tmp_path / "a.txt", tmp_path / "@eaDir/a.mp4", tmp_path / ".s/a.mp4")
    os.utime(tmp_path / "a.mp4", ns=(5, 7))
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    found = walk(tmp_path)
    assert sorted(found.files) == sorted(names)
    assert found.files["a.mp4"] == (1, 7)
    assert found.refused == {}


def test_own_results_are_never_found(tmp_path: Path) -> None:
    """The output folder inside the watched one, and every folder with our manifest, wherever it was moved."""
    put(tmp_path / "out/a/annotated.mp4", tmp_path / "moved/a/annotated.mp4", tmp_path / "other/b.mp4")
    (tmp_path / "moved/a/manifest.json").write_text('{"schema": "tilewatch.manifest/1"}')
    (tmp_path / "other/manifest.json").write_text('{"name": "a web application"}')
    assert list(walk(tmp_path).files) == ["other/b.mp4"]


def test_links_count_only_where_the_walk_would_find_their_target(tmp_path: Path) -> None:
    """Out of the folder, into the output, to nothing, in a circle, to a folder: refused or not followed."""
    root = tmp_path / "root"
    put(tmp_path / "outside.mp4", root / "a.mp4", root / "out/x/annotated.mp4")
    targets = {
        "out.mp4": "../outside.mp4",
        "own.mp4": "out/x/annotated.mp4",
        "gone.mp4": "gone",
        "round.mp4": "round.mp4",
    }
    for name, target in (*targets.items(), ("good.mp4", "a.mp4"), ("up", ".."), ("up.mp4", "..")):
        (root / name).symlink_to(target)
    found = walk(root)
    assert sorted(found.files) == ["a.mp4", "good.mp4"]
    assert sorted(found.refused) == sorted([*targets, "up.mp4"])


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    """An unmounted volume is not an empty one."""
    with pytest.raises(FileNotFoundError):
        scan(tmp_path / "gone", RULES, tmp_path)


def test_output_that_is_the_watched_folder_is_refused(tmp_path: Path) -> None:
    """Every result would be the next video; another name of the folder does not help."""
    (tmp_path / "alias").symlink_to(".")
    with pytest.raises(ConfigError, match=r"WATCH_DIR=.* is OUTPUT_DIR=.*: part them"):
        scan(tmp_path, RULES, tmp_path / "alias")
