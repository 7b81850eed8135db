"""Names of videos, of what is still written, and of what is no video at all."""

from __future__ import annotations

import pytest

from tilewatch.jobs.rules import Rules, enters

RULES = Rules(["*.mp4", "cam?_*.ts"])


@pytest.mark.parametrize("name", ["a.mp4", "A.MP4", "cam1_x.ts", "\u00fc \n.mp4", "x" * 250 + ".mp4", "a.part.mp4"])
def test_videos_are_taken_by_pattern(name: str) -> None:
    """Upper and lower case alike, whatever else the name holds."""
    assert RULES.takes(name)


@pytest.mark.parametrize(
    "name",
    [
        "a.txt",
        "cam12_x.ts",
        ".a.mp4",
        "._a.mp4",
        "a.mp4.part",
        "a.mp4.crdownload",
        "a.mp4.filepart",
        "a.mp4~",
        "~a.mp4",
    ],
)
def test_other_and_unfinished_files_are_not(name: str) -> None:
    """No pattern, dot files, AppleDouble, what a copying program renames in the end."""
    assert not RULES.takes(name)


@pytest.mark.parametrize("name", ["a.m3u8", "a.tmp", "a.FFCONCAT", "a.mp4.part", ".a"])
def test_widest_pattern_takes_no_playlist_and_nothing_unfinished(name: str) -> None:
    """A playlist would make us open what it names."""
    rules = Rules(["*"])
    assert rules.takes("a")
    assert not rules.takes(name)


def test_hidden_and_system_folders_are_not_entered() -> None:
    """Nor is our own work beside the results."""
    refused = [".tilewatch", ".work", "@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found", "System Volume Information"]
    assert not any(map(enters, refused))
    assert enters("2024.05 Strasse")
