"""One object of one frame as the row formats write it: rounded once, so that all of them say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tilewatch.records import Tracks

SCHEMA = 1
"""Version of the keys and columns of tracks.jsonl, tracks.csv and tracks.parquet; the manifest tells it."""
BOX_DECIMALS = 2
SCORE_DECIMALS = 4
TIME_DECIMALS = 6


class Row(NamedTuple):
    """An object: its identity (0 with tracking off), class, score, and box x1 y1 x2 y2 in frame pixels."""

    track_id: int
    label: int
    score: float
    box: list[float]


def rows(tracks: Tracks) -> Iterator[Row]:
    """Yield the objects of a frame in their order, boxes rounded to 1/100 pixel and scores to 1/10,000."""
    boxes = np.round(tracks.xyxy.astype(np.float64), BOX_DECIMALS) + 0.0  # + 0.0 makes -0.0 a plain 0.0
    scores = np.round(tracks.score.astype(np.float64), SCORE_DECIMALS)
    return map(Row, tracks.track_id.tolist(), tracks.label.tolist(), scores.tolist(), boxes.tolist())


def seconds(tracks: Tracks) -> float:
    """Return the frame's presentation time, seconds, rounded to microseconds."""
    return round(tracks.frame.seconds, TIME_DECIMALS)
