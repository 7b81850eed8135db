"""The result folder: there whole or not at all, and nothing of anybody else's is touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tilewatch.errors import ConfigError
from tilewatch.sinks.manifest import SCHEMA
from tilewatch.sinks.result import ResultFolder

MANIFEST = f'{{"schema": "{SCHEMA}"}}'


def fill(result: ResultFolder, text: str = "new") -> ResultFolder:
    """Write a video and a manifest into a result."""
    result.path("video").write_text(text)
    result.path("manifest").write_text(MANIFEST)
    return result


def names(folder: Path) -> list[str]:
    """Return what is in a folder, hidden names too."""
    return sorted(path.name for path in folder.iterdir())


def test_folder_appears_only_with_the_commit(tmp_path: Path) -> None:
    """Until then there is one hidden folder, afterwards only the result."""
    result = fill(ResultFolder.for_directory(tmp_path, "clip"))
    assert all(name.startswith(".") for name in names(tmp_path))
    result.commit()
    assert names(tmp_path) == ["clip"]
    assert names(tmp_path / "clip") == ["annotated.mp4", "manifest.json"]


def test_discard_leaves_nothing_not_even_the_folders_it_made(tmp_path: Path) -> None:
    """A failure leaves the disk as it was."""
    with ResultFolder.for_directory(tmp_path / "a" / "b", "clip") as result:
        fill(result)
    assert names(tmp_path) == []


def test_earlier_result_of_ours_is_replaced_whole(tmp_path: Path) -> None:
    """Running again replaces the result, files of the old one included."""
    fill(ResultFolder.for_directory(tmp_path, "clip"), "old").commit()
    (tmp_path / "clip" / "overview.png").write_text("old")
    fill(ResultFolder.for_directory(tmp_path, "clip")).commit()
    assert names(tmp_path / "clip") == ["annotated.mp4", "manifest.json"]
    assert (tmp_path / "clip" / "annotated.mp4").read_text() == "new"


def test_folder_of_somebody_else_is_refused_and_untouched(tmp_path: Path) -> None:
    """A folder without our manifest is not ours to replace."""
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "letters.txt").write_text("dear")
    with pytest.raises(ConfigError, match="exists and is no result of tilewatch"):
        ResultFolder.for_directory(tmp_path, "clip")
    assert names(tmp_path / "clip") == ["letters.txt"]
    assert names(tmp_path) == ["clip"]


def test_file_layout_puts_sidecars_beside_the_video(tmp_path: Path) -> None:
    """FILE.mp4 exactly there, FILE.manifest.json beside it, other files left alone."""
    (tmp_path / "notes.txt").write_text("mine")
    fill(ResultFolder.for_file(tmp_path / "out.mp4")).commit()
    assert names(tmp_path) == ["notes.txt", "out.manifest.json", "out.mp4"]


def test_input_is_never_overwritten(tmp_path: Path) -> None:
    """Naming the input as the output is a mistake, not an order."""
    clip = tmp_path / "clip.mp4"
    clip.write_text("video")
    with pytest.raises(ConfigError, match="is the input itself"):
        ResultFolder.for_file(tmp_path / "." / "clip.mp4", source=clip)
    inside = tmp_path / "clip" / "clip.mp4"
    fill(ResultFolder.for_directory(tmp_path, "clip")).commit()
    inside.write_text("video")
    with pytest.raises(ConfigError, match=r"holds the input clip\.mp4"):
        ResultFolder.for_directory(tmp_path, "clip", source=inside)


@pytest.mark.parametrize("stem", ["..", ".", "", ".hidden", "a/b", "x" * 300, "naïve\nname", "日本"])
def test_stem_never_leads_out_of_the_folder(tmp_path: Path, stem: str) -> None:
    """Whatever a file is called, its result lies one level below the output folder, visible."""
    folder = tmp_path / "out"
    fill(ResultFolder.for_directory(folder, stem)).commit()
    (made,) = folder.iterdir()
    assert made.parent == folder
    assert not made.name.startswith(".")
    assert names(tmp_path) == ["out"]


def test_unwritable_place_is_refused_before_any_work() -> None:
    """The complaint comes at once and names the place."""
    with pytest.raises(ConfigError, match=r"^/proc/nowhere: cannot be written"):
        ResultFolder.for_directory(Path("/proc/nowhere"), "clip")


def test_leftover_of_a_dead_process_is_cleared_and_of_a_living_one_is_not(tmp_path: Path) -> None:
    """A crash leaves a hidden folder: the next run removes it, unless its owner still works on it."""
    dead = tmp_path / ".old.4194304999.partial"
    dead.mkdir()
    living = ResultFolder.for_directory(tmp_path, "living")
    ResultFolder.for_directory(tmp_path, "clip").discard()
    assert not dead.exists()
    (kept,) = names(tmp_path)
    assert kept.startswith(f".living.{os.getpid()}-")
    living.discard()


def test_same_result_twice_at_once_is_refused(tmp_path: Path) -> None:
    """Two runs must not write into each other's folder."""
    first = ResultFolder.for_directory(tmp_path, "clip")
    with pytest.raises(ConfigError, match="another run makes this result"):
        ResultFolder.for_directory(tmp_path, "clip")
    fill(first).commit()
    assert names(tmp_path) == ["clip"]
