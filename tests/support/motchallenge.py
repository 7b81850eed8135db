"""MOTChallenge detections and truth, as the tracker takes them and as it is scored."""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tests.support.data import data_path
from tilewatch.scoring.comparison import bring_together
from tilewatch.scoring.metrics import Evaluator
from tilewatch.scoring.motfile import Boxes as Rows
from tilewatch.scoring.motfile import read_boxes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import TypeAlias

    from numpy.typing import NDArray

    from tilewatch.native.bytetrack import ByteTrack, TrackArrays
    from tilewatch.scoring.comparison import Benchmark, Comparison
    from tilewatch.scoring.metrics import Scores

    Boxes: TypeAlias = dict[int, list[float]]


class Sequence(NamedTuple):
    """One sequence; frames from 0."""

    name: str
    seconds: list[float]
    """Time of each frame."""
    detections: list[NDArray[np.float32]]
    """(N, 5) left top right bottom score of each frame."""
    truth: Rows


def sequences(benchmark: str) -> Iterator[Sequence]:
    """Yield the sequences of mot17val or mot15."""
    return sequences_in(data_path(f"mot/{benchmark}"))


def sequences_in(root: Path) -> Iterator[Sequence]:
    """Yield the sequences of a folder; frames are `dt` seconds apart where seqs.json says so."""
    for name, facts in json.loads((root / "seqs.json").read_text()).items():
        found = np.loadtxt(root / name / "det.txt", delimiter=",", ndmin=2)
        found[:, 4:6] += found[:, 2:4]
        gaps = facts.get("dt", [0.0, *[1 / facts["fps"]] * (facts["n"] - 1)])
        yield Sequence(
            name,
            np.cumsum(gaps).tolist(),
            [rows[:, 2:7].astype(np.float32) for rows in _by_frame(found, facts["n"])],
            read_boxes(root / name / "gt.txt"),
        )


def golden(name: str) -> dict[tuple[str, int], Boxes]:
    """Return what a published tracker gave: left top right bottom by id, of each sequence and 0-based frame."""
    boxes: dict[tuple[str, int], Boxes] = defaultdict(dict)
    with gzip.open(data_path(f"mot/golden/{name}.csv.gz"), "rt") as file:
        for row in csv.DictReader(file):
            box = [float(row[side]) for side in ("x1", "y1", "x2", "y2")]
            boxes[row["seq"], int(row["frame"]) - 1][int(row["id"])] = box
    return boxes


def track(tracker: ByteTrack, sequence: Sequence, raised: float = 0.0) -> Iterator[TrackArrays]:
    """Yield the tracks of each frame; `raised` is added to every score."""
    for boxes, seconds in zip(sequence.detections, sequence.seconds, strict=True):
        labels = np.zeros(len(boxes), np.int32)
        yield tracker.update(boxes[:, :4], boxes[:, 4] + np.float32(raised), labels, seconds)


def compare(sequence: Sequence, found: Iterable[TrackArrays], benchmark: Benchmark = "none") -> Comparison:
    """Return the tracks of a sequence beside its truth."""
    shown = list(found)
    frame = np.repeat(np.arange(1.0, len(shown) + 1), [len(tracks.track_id) for tracks in shown])
    identity = np.concatenate([tracks.track_id for tracks in shown]).astype(np.float64)
    corners = np.concatenate([tracks.xyxy for tracks in shown]).astype(np.float64)
    box = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
    nothing = np.zeros(len(frame))
    return bring_together(sequence.truth, Rows(frame, identity, box, nothing, nothing), benchmark)


def pooled(found: Iterable[Sequence], tracker: Callable[[], ByteTrack], benchmark: Benchmark = "none") -> Scores:
    """Return the scores of a fresh tracker on each sequence, all sequences counted together."""
    return Evaluator().score([compare(each, track(tracker(), each), benchmark) for each in found])[1]


def _by_frame(rows: NDArray[np.float64], count: int) -> list[NDArray[np.float64]]:
    """Return the rows of each frame."""
    return [rows[rows[:, 0] == frame] for frame in range(1, count + 1)]
