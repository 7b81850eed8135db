"""The hidden folder: whose it is, and what happens when its owner dies at the worst moment."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tilewatch.errors import ConfigError
from tilewatch.sinks.manifest import SCHEMA
from tilewatch.sinks.partial import NAME_MAX, PartialFolder, clear_stale, shortened
from tilewatch.sinks.result import ResultFolder

if TYPE_CHECKING:
    from pathlib import Path

    from tilewatch.sinks.result import Kind

DEAD = 4194304999
"""A process number that no Linux gives."""
MANIFEST = f'{{"schema": "{SCHEMA}"}}'
OWNER = """
import sys
from pathlib import Path
from tilewatch.sinks.partial import PartialFolder
folder = PartialFolder.make(Path(sys.argv[1]), "clip")
print(folder.root, flush=True)
sys.stdin.read()
"""


def names(folder: Path) -> list[str]:
    """Return what is in a folder, hidden names too."""
    return sorted(path.name for path in folder.iterdir())


def test_folder_of_a_killed_process_is_cleared_but_not_while_it_lives(tmp_path: Path) -> None:
    """The lock tells a living owner from a dead one, not the process number, which another container may share."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        root = tmp_path / owner.stdout.readline().strip().rpartition("/")[2]
        foreign = root.rename(tmp_path / f".clip.{DEAD}.partial")
        clear_stale(tmp_path)
        assert foreign.exists()
        owner.kill()
    clear_stale(tmp_path)
    assert names(tmp_path) == []


def test_living_owners_of_two_containers_do_not_meet(tmp_path: Path) -> None:
    """Both are process 1 of their own: who takes a job over from one that only hangs gets a folder of its own."""
    isolated = ["unshare", "--pid", "--fork", "--kill-child"]
    if subprocess.run([*isolated, "true"], capture_output=True, check=False).returncode:
        pytest.skip("unshare is refused: process namespaces need root")
    command = [*isolated, sys.executable, "-c", OWNER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        root = first.stdout.readline().strip()
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as second:
            assert second.stdout is not None
            other = second.stdout.readline().strip()
            second.kill()
        first.kill()
    assert ".clip.1-" in root
    assert ".clip.1-" in other
    assert root != other


def test_earlier_result_is_put_back_when_the_owner_died_during_the_swap(tmp_path: Path) -> None:
    """Between the two renames of a swap there is no result: the next run restores the earlier one."""
    replaced = tmp_path / f".clip.{DEAD}.partial" / "replaced" / "clip"
    replaced.mkdir(parents=True)
    (replaced / "manifest.json").write_text(MANIFEST)
    clear_stale(tmp_path)
    assert names(tmp_path) == ["clip"]
    assert names(tmp_path / "clip") == ["manifest.json"]


def test_earlier_result_stays_when_the_new_one_cannot_be_moved(tmp_path: Path) -> None:
    """A swap whose second rename fails leaves what was there."""
    earlier = tmp_path / "clip"
    earlier.mkdir()
    (earlier / "manifest.json").write_text(MANIFEST)
    folder = PartialFolder.make(tmp_path, "clip")
    folder.result.rmdir()
    with pytest.raises(FileNotFoundError):
        folder.swap_in(earlier)
    folder.remove()
    assert names(tmp_path) == ["clip"]
    assert names(earlier) == ["manifest.json"]


def test_folders_that_only_look_alike_are_left_alone(tmp_path: Path) -> None:
    """Nothing is deleted through a link, nor a file, nor a folder of another pattern."""
    (tmp_path / "kept").mkdir()
    (tmp_path / f".link.{DEAD}.partial").symlink_to(tmp_path / "kept")
    (tmp_path / f".file.{DEAD}.partial").write_text("x")
    (tmp_path / ".clip.x.partial").mkdir()
    before = names(tmp_path)
    clear_stale(tmp_path)
    assert names(tmp_path) == before


@pytest.mark.parametrize("name", ["x" * 300, "ü" * 128, "日" * 100, "\udcff" * 300])
def test_long_names_are_cut_to_what_a_file_system_takes(tmp_path: Path, name: str) -> None:
    """At most 255 bytes, never in the middle of a letter, and different names stay different."""
    assert len(os.fsencode(shortened(name))) <= NAME_MAX
    assert shortened(name) != shortened(name + "y")
    folder = PartialFolder.make(tmp_path, name)
    folder.remove()
    assert names(tmp_path) == []


def test_sidecars_of_an_earlier_run_do_not_stay_beside_a_new_video(tmp_path: Path) -> None:
    """Rows that belong to another run would contradict the manifest; what is not ours stays."""
    for name in ("out.tracks.csv", "out.manifest.json", "out.mp4", "out.txt"):
        (tmp_path / name).write_text(MANIFEST)
    result = ResultFolder.for_file(tmp_path / "out.mp4")
    made: tuple[Kind, ...] = ("video", "jsonl", "manifest")
    for kind in made:
        result.path(kind).write_text(MANIFEST)
    assert [output.name for output in result.outputs()] == ["out.tracks.jsonl", "out.mp4"]
    result.commit()
    assert names(tmp_path) == ["out.manifest.json", "out.mp4", "out.tracks.jsonl", "out.txt"]


def test_name_that_leaves_no_room_for_its_sidecars_is_refused(tmp_path: Path) -> None:
    """A name of 255 bytes cannot have 'FILE.tracks.jsonl' beside it."""
    with pytest.raises(ConfigError, match="longer than 255 bytes: choose a shorter --output"):
        ResultFolder.for_file(tmp_path / f"{'x' * 250}.mp4")
    assert names(tmp_path) == []


def test_folder_in_the_place_of_the_video_is_refused(tmp_path: Path) -> None:
    """A folder is never replaced by a file."""
    (tmp_path / "out.mp4").mkdir()
    with pytest.raises(ConfigError, match=r"out\.mp4: is a folder"):
        ResultFolder.for_file(tmp_path / "out.mp4")
    assert names(tmp_path) == ["out.mp4"]
