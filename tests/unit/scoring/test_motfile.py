"""MOTChallenge files: what counts as a row, and what is said of one that is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tilewatch.errors import InputError
from tilewatch.scoring.motfile import read_boxes

if TYPE_CHECKING:
    from pathlib import Path


def boxes_file(tmp_path: Path, text: str | bytes) -> Path:
    """Write a file of rows."""
    path = tmp_path / "tracks.mot.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_rows_are_read_however_they_are_written(tmp_path: Path) -> None:
    """Truth with class and visibility, results with -1, six columns, blanks, CRLF, a BOM, empty lines."""
    rows = "\ufeff1,7,10,20,30.5,60,0,3,0.25\r\n\r\n2,7,1e1,-20,30,60,0.9,-1,-1,-1\n3 7 10 20 30 60\n"
    found = read_boxes(boxes_file(tmp_path, rows))
    assert found.frame.tolist() == [1, 2, 3]
    assert found.identity.tolist() == [7, 7, 7]
    assert found.box.tolist() == [[10, 20, 30.5, 60], [10, -20, 30, 60], [10, 20, 30, 60]]
    assert found.confidence.tolist() == [0, 0.9, 1]
    np.testing.assert_array_equal(found.label, [3, -1, np.nan])


def test_empty_file_holds_no_boxes(tmp_path: Path) -> None:
    """A tracker may find nothing."""
    assert len(read_boxes(boxes_file(tmp_path, "\n")).frame) == 0


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("1,7,10,20,30", "5 columns: a row is frame,id,left,top,width,height"),
        ("frame,id,left,top,width,height", "'frame' is no number: a row is frame,id,left"),
        ("1,7,10,20,nan,60", "'nan' is no number"),
        ("0,7,10,20,30,60", "frame 0: frames are whole numbers from 1"),
        ("1.5,7,10,20,30,60", "frame 1.5: frames are whole numbers from 1"),
        ("1,-1,10,20,30,60", "id -1: a box needs an identity, a whole number from 0 (is tracking off?)"),
        ("1,7,10,20,-30,60", "width -30, height 60: a row is"),
        ("9,3,10,20,30,60", "id 3 is in frame 9 already, in line 1: remove one of them"),
        ("1e300,3,10,20,30,60", "frame 1e300: frames are whole numbers"),
    ],
)
def test_bad_row_is_one_line_that_names_file_line_and_remedy(tmp_path: Path, row: str, complaint: str) -> None:
    """Exit code 65."""
    path = boxes_file(tmp_path, f"9,3,10,20,30,60\n\n{row}\n")
    with pytest.raises(InputError) as caught:
        read_boxes(path)
    assert str(caught.value).startswith(f"{path}, line 3: {complaint}")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 65


def test_what_is_no_text_file_is_named(tmp_path: Path) -> None:
    """A missing file, a folder, a video."""
    for path in (tmp_path / "nowhere.txt", tmp_path, boxes_file(tmp_path, b"\x00\xff\xfe ftyp")):
        with pytest.raises(InputError, match=r"cannot be read as text .*: give a file of MOTChallenge rows"):
            read_boxes(path)
