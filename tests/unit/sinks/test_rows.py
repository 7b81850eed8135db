"""The row formats: what is written is read back, by the readers people use."""

from __future__ import annotations

import csv
import json
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import motmetrics
import pyarrow.parquet
import pytest

from tests.support.records import NAMES, make_context, make_tracks
from tilewatch.errors import DiskFullError
from tilewatch.sinks.coco import CocoSink
from tilewatch.sinks.csvfile import CsvSink
from tilewatch.sinks.jsonl import JsonlSink
from tilewatch.sinks.mot import MotSink
from tilewatch.sinks.parquet import ParquetSink

if TYPE_CHECKING:
    from collections.abc import Callable

SINKS: list[Callable[..., Any]] = [JsonlSink, MotSink, CsvSink, CocoSink, ParquetSink]
FRAMES = [
    make_tracks(0, [(1, 0, 0.87654, 10.126, 20, 30.5, 60), (2, 1, 0.5, -0.001, 0, 5, 5)]),
    make_tracks(1),
    make_tracks(2, [(1, 7, 0.25, 11, 21, 31, 61)]),
]


def written(sink: Callable[..., Any], path: Path, *, tracking: bool = True) -> Path:
    """Write three frames, the middle one empty."""
    made = sink(path, make_context(tracking=tracking))
    for tracks in FRAMES:
        made.write(tracks)
    made.close()
    made.close()
    return path


def test_jsonl_has_one_line_a_frame_also_for_empty_ones(tmp_path: Path) -> None:
    """Frames without objects are lines too; ids are left out when tracking is off."""
    lines = [json.loads(line) for line in written(JsonlSink, tmp_path / "a").read_text("utf-8").splitlines()]
    assert [(line["frame"], line["pts"], line["time"], len(line["objects"])) for line in lines] == [
        (0, 0, 0.0, 2), (1, 1, 0.1, 0), (2, 2, 0.2, 1)
    ]  # fmt: skip
    assert lines[0]["objects"][0] == {
        "id": 1, "class": "person", "label": 0, "score": 0.8765, "box": [10.13, 20.0, 30.5, 60.0]
    }  # fmt: skip
    assert lines[2]["objects"][0]["class"] == "class_7"
    without = written(JsonlSink, tmp_path / "b", tracking=False).read_text("utf-8").splitlines()
    assert all("id" not in thing for line in without for thing in json.loads(line)["objects"])


@pytest.mark.filterwarnings("ignore:Operation with tuple")  # motmetrics on a new pandas
def test_mot_rows_are_read_by_motmetrics(tmp_path: Path) -> None:
    """1-based frames, left top width height, and -1 for no identity."""
    table = motmetrics.io.loadtxt(str(written(MotSink, tmp_path / "a.txt")), fmt="mot15-2D")
    assert table.index.to_list() == [(1, 1), (1, 2), (3, 1)]
    assert table.iloc[0][["Width", "Height", "Confidence"]].to_list() == [20.37, 40.0, 0.8765]
    assert "-0.00" not in (tmp_path / "a.txt").read_text()
    untracked = written(MotSink, tmp_path / "b.txt", tracking=False).read_text().splitlines()
    assert [row.split(",")[1] for row in untracked] == ["-1"] * 3


def test_csv_keeps_names_with_commas_and_quotes(tmp_path: Path) -> None:
    """A spreadsheet sees the names as they are."""
    with written(CsvSink, tmp_path / "a").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["person", NAMES[1], "class_7"]
    assert rows[0]["time"] == "0.000000"
    assert rows[0]["x1"] == "10.13"


def test_coco_is_one_valid_document(tmp_path: Path) -> None:
    """Images, annotations and categories refer to each other; every frame is an image."""
    document = json.loads(written(CocoSink, tmp_path / "a").read_text("utf-8"))
    assert [image["id"] for image in document["images"]] == [1, 2, 3]
    assert [thing["image_id"] for thing in document["annotations"]] == [1, 1, 3]
    assert {thing["category_id"] for thing in document["annotations"]} <= {c["id"] for c in document["categories"]}
    assert document["annotations"][0]["bbox"] == [10.13, 20.0, 20.37, 40.0]
    assert document["annotations"][0]["attributes"] == {"track_id": 1}
    assert left_over(tmp_path) == ["a"]


def test_parquet_has_typed_columns(tmp_path: Path) -> None:
    """Pyarrow reads the table back; no identity is null."""
    table = pyarrow.parquet.read_table(written(ParquetSink, tmp_path / "a"))
    assert table.column("frame").to_pylist() == [0, 0, 2]
    assert table.column("class").to_pylist() == ["person", NAMES[1], "class_7"]
    assert table.column("track_id").to_pylist() == [1, 2, 1]
    untracked = pyarrow.parquet.read_table(written(ParquetSink, tmp_path / "b", tracking=False))
    assert untracked.column("track_id").to_pylist() == [None] * 3


@pytest.mark.parametrize("sink", SINKS)
def test_abort_after_some_rows_raises_nothing(sink: Callable[..., Any], tmp_path: Path) -> None:
    """Letting go is always possible, more than once, also after the close."""
    made = sink(tmp_path / "a", make_context())
    made.write(FRAMES[0])
    made.abort()
    made.abort()
    closed = sink(tmp_path / "b", make_context())
    closed.close()
    closed.abort()


@pytest.mark.parametrize("sink", [JsonlSink, MotSink, CsvSink])
def test_full_disk_is_an_error_that_names_the_file(sink: Callable[..., Any]) -> None:
    """/dev/full takes nothing: the sink says so instead of losing rows."""
    made = sink(Path("/dev/full"), make_context())
    made.write(FRAMES[0])
    with pytest.raises(DiskFullError, match="/dev/full: no space left"):
        made.close()
    made.abort()


@pytest.mark.parametrize(
    ("sink", "frames", "most"),
    [
        (JsonlSink, 1000, 200_000),
        (MotSink, 1000, 200_000),
        (CsvSink, 1000, 200_000),
        (CocoSink, 1000, 200_000),
        (ParquetSink, 5000, 15_000_000),  # it holds a row group; all rows together would be 40 MB
    ],
)
def test_memory_does_not_grow_with_the_rows(sink: Callable[..., Any], frames: int, most: int, tmp_path: Path) -> None:
    """Rows go to the disk: after a warm-up, thousands more hold no more memory."""
    made = sink(tmp_path / "a", make_context())
    rows = [(k, 0, 0.5, 10.0 * k, 0.0, 10.0 * k + 9, 9.0) for k in range(1, 21)]
    frame = make_tracks(0).frame

    def write(count: int) -> int:
        for index in range(count):
            made.write(make_tracks(index, rows, frame=frame))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before, after = write(500), write(frames)
    finally:
        tracemalloc.stop()
    made.close()
    assert after - before < most


def left_over(folder: Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(path.name for path in folder.iterdir())
