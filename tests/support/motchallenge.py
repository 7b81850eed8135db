"""MOTChallenge detections and truth, as the tracker takes them and as it is scored."""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import motmetrics
import numpy as np
from scipy.optimize import linear_sum_assignment

from tests.support.data import data_path
from tests.support.scoring import Tracking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    from numpy.typing import NDArray

    from tilewatch.native.bytetrack import ByteTrack, TrackArrays

    Boxes: TypeAlias = dict[int, list[float]]

PEDESTRIAN = 1
NOT_COUNTED = (2, 7, 8, 12)
"""Classes of MOT17 a box may show without being wrong: on a vehicle, static, distractor, reflection."""
LIMIT = 0.5
"""IoU from which a box has found an object."""


class Sequence(NamedTuple):
    """One sequence; frames from 0."""

    name: str
    frames_per_second: float
    detections: list[NDArray[np.float32]]
    """(N, 5) left top right bottom score of each frame."""
    truth: list[NDArray[np.float64]]
    """(N, 7) id, left top width height, counted, class of each frame."""


def sequences(benchmark: str) -> Iterator[Sequence]:
    """Yield the sequences of mot17val or mot15."""
    root = data_path(f"mot/{benchmark}")
    for name, facts in json.loads((root / "seqs.json").read_text()).items():
        found = np.loadtxt(root / name / "det.txt", delimiter=",", ndmin=2)
        found[:, 4:6] += found[:, 2:4]
        real = np.loadtxt(root / name / "gt.txt", delimiter=",", ndmin=2)
        yield Sequence(
            name,
            facts["fps"],
            [rows[:, 2:7].astype(np.float32) for rows in _by_frame(found, facts["n"])],
            [rows[:, 1:8] for rows in _by_frame(real, facts["n"])],
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
    for index, boxes in enumerate(sequence.detections):
        labels = np.zeros(len(boxes), np.int32)
        yield tracker.update(boxes[:, :4], boxes[:, 4] + np.float32(raised), labels, index / sequence.frames_per_second)


def score(sequence: Sequence, found: Iterator[TrackArrays]) -> motmetrics.MOTAccumulator:
    """Return the events of one sequence, after MOT17's preparation.

    As published: boxes are matched to everything annotated; those on something that is neither a person nor wrong to
    find are taken away, then only people that count remain in the truth.
    """
    events = motmetrics.MOTAccumulator(auto_id=True)
    for truth, tracks in zip(sequence.truth, found, strict=True):
        boxes = np.hstack([tracks.xyxy[:, :2], tracks.xyxy[:, 2:] - tracks.xyxy[:, :2]]).astype(np.float64)
        overlap = _overlap(truth[:, 1:5], boxes)
        rows, columns = linear_sum_assignment(-overlap)
        on_other = np.isin(truth[rows, 6], NOT_COUNTED) & (overlap[rows, columns] > 0)
        kept = np.delete(np.arange(len(boxes)), columns[on_other])
        counts = (truth[:, 5] > 0) & (truth[:, 6] == PEDESTRIAN)
        left = overlap[np.ix_(counts, kept)]
        events.update(truth[counts, 0], tracks.track_id[kept], np.where(left > 0, 1 - left, np.nan))
    return events


def pooled(events: list[motmetrics.MOTAccumulator]) -> Tracking:
    """Return the scores over all sequences together."""
    metrics = ["mota", "idf1", "num_switches"]
    summary = motmetrics.metrics.create().compute_many(events, metrics=metrics, generate_overall=True)
    mota, idf1, switches = summary.loc["OVERALL"]
    return Tracking(100 * float(mota), 100 * float(idf1), int(switches))


def _by_frame(rows: NDArray[np.float64], count: int) -> list[NDArray[np.float64]]:
    """Return the rows of each frame."""
    return [rows[rows[:, 0] == frame] for frame in range(1, count + 1)]


def _overlap(truth: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (P, N) IoU of boxes given as left, top, width, height; 0 where it is no match."""
    low = np.maximum(truth[:, None, :2], boxes[None, :, :2])
    high = np.minimum(truth[:, None, :2] + truth[:, None, 2:], boxes[None, :, :2] + boxes[None, :, 2:])
    inner = np.clip(high - low, 0, None).prod(axis=2)
    iou = inner / (truth[:, 2:].prod(axis=1)[:, None] + boxes[:, 2:].prod(axis=1)[None] - inner)
    return np.where(iou >= LIMIT, iou, 0.0)
