"""How good a result is against the truth: precision and recall of boxes, MOTA and IDF1 of tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import motmetrics
import numpy as np
from scipy.optimize import linear_sum_assignment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.support.mosaic import Person

LIMIT = 0.5
"""IoU from which a box has found a person."""


class Detection(NamedTuple):
    """Precision and recall over all frames."""

    precision: float
    recall: float


class Tracking(NamedTuple):
    """CLEAR MOT and identity scores, per cent."""

    mota: float
    idf1: float
    switches: int


def read_mot(path: Path) -> dict[int, NDArray[np.float64]]:
    """Return MOTChallenge rows by 0-based frame: (N, 5) id left top width height."""
    rows = np.loadtxt(path, delimiter=",", ndmin=2) if path.stat().st_size else np.zeros((0, 10))
    return {int(frame) - 1: rows[rows[:, 0] == frame, 1:6] for frame in np.unique(rows[:, 0])}


def detection(found: Mapping[int, NDArray[np.float64]], people: Mapping[int, Sequence[Person]]) -> Detection:
    """Return precision and recall of the boxes, matched one to one so that most pairs have an IoU of 0.5 or more."""
    hits = boxes = persons = 0
    for frame, here in people.items():
        given = found.get(frame, np.zeros((0, 5)))
        overlap = 1 - _distance(here, given)
        overlap[overlap < LIMIT] = 0  # a pair that counts for nothing must not cost one that counts
        pairs = linear_sum_assignment(-overlap)
        hits += int((overlap[pairs] >= LIMIT).sum())
        boxes += len(given)
        persons += len(here)
    return Detection(hits / max(boxes, 1), hits / max(persons, 1))


def tracking(found: Mapping[int, NDArray[np.float64]], people: Mapping[int, Sequence[Person]], frames: int) -> Tracking:
    """Return MOTA, IDF1 and identity switches (py-motmetrics, IoU 0.5)."""
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for frame in range(frames):
        here, given = people.get(frame, ()), found.get(frame, np.zeros((0, 5)))
        distance = _distance(here, given)
        distance[distance > LIMIT] = np.nan
        accumulator.update([p.identity for p in here], given[:, 0], distance)
    summary = motmetrics.metrics.create().compute(accumulator, metrics=["mota", "idf1", "num_switches"])
    mota, idf1, switches = summary.iloc[0]
    return Tracking(100 * float(mota), 100 * float(idf1), int(switches))


def _distance(people: Sequence[Person], given: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (P, N) 1 - IoU."""
    ours = np.array([(p.left, p.top, p.width, p.height) for p in people]).reshape(-1, 4)
    if not len(ours) or not len(given):
        return np.ones((len(ours), len(given)))
    theirs = given[:, 1:5]
    low = np.maximum(ours[:, None, :2], theirs[None, :, :2])
    high = np.minimum(ours[:, None, :2] + ours[:, None, 2:], theirs[None, :, :2] + theirs[None, :, 2:])
    inter = np.clip(high - low, 0, None).prod(axis=2)
    union = ours[:, 2:].prod(axis=1)[:, None] + theirs[:, 2:].prod(axis=1)[None] - inter
    result: NDArray[np.float64] = 1 - inter / union
    return result
