"""`tilewatch eval`: pairs of files to a table or JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tilewatch.cli import run_command_line

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PERFECT = {"mota": 100, "idf1": 100, "hota": 100, "deta": 100, "assa": 100, "idsw": 0, "fp": 0, "fn": 0}


def rows(path: Path, *ids: int) -> str:
    """Write one box a frame, with these ids."""
    path.write_text("".join(f"{frame},{number},10,20,30,60,1,1,1\n" for frame, number in enumerate(ids, 1)))
    return str(path)


def test_pairs_are_scored_each_and_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--gt and tracks go together in their order; --json is one document and nothing else."""
    truth, good, bad = rows(tmp_path / "gt", 1, 1), rows(tmp_path / "good", 5, 5), rows(tmp_path / "bad", 5, 6)
    assert run_command_line(["eval", "--json", "--gt", truth, good, "--gt", truth, bad]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sequences"][0] == {"gt": truth, "tracks": good, **PERFECT}
    assert [pair["mota"] for pair in found["sequences"]] == [100, 50]
    assert (found["all"]["mota"], found["all"]["idsw"]) == (75, 1)


def test_table_has_a_row_for_each_pair_and_their_sum(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One pair: one row; two: one more."""
    truth, good = rows(tmp_path / "gt", 1, 1), rows(tmp_path / "good", 5, 5)
    for pairs in (1, 2):
        assert run_command_line(["eval", *(["--gt", truth, good] * pairs)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert sum(line.count("100.00") == 5 for line in lines) == (1, 3)[pairs - 1]
        assert all(word in lines[1] for word in ("MOTA", "IDF1", "HOTA", "DetA", "AssA", "IDSW", "FP", "FN"))


def test_what_cannot_be_scored_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files that do not pair: 64; truth in which nothing counts: 65; a benchmark without classes: 78."""
    truth, tracks, short = rows(tmp_path / "gt", 1), rows(tmp_path / "tracks", 1), tmp_path / "short"
    short.write_text("1,1,10,20,30,60\n")
    left_out = tmp_path / "left_out"
    left_out.write_text("1,1,10,20,30,60,0\n")
    for arguments, code, words in (
        (["--gt", truth, tracks, tracks], 64, "1 --gt and 2 tracks: give one ground truth for each"),
        (["--gt", str(left_out), tracks], 65, "left_out: no row counts"),
        (["--gt", str(short), tracks, "--benchmark", "MOT17"], 78, "MOT17 needs a class in column 8"),
    ):
        assert run_command_line(["eval", *arguments]) == code
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1
