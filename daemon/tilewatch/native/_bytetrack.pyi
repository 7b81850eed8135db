"""Kernel of ext/bytetrack.pyx. The caller owns every array; no GIL is held."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilewatch.records import F32, I32, I64

def room(tracks: int, detections: int) -> tuple[int, int, int]:
    """Return how many ints, doubles and floats of scratch a frame needs at most."""

def update(
    rules: NDArray[Any],
    counts: I64,
    tracks: NDArray[Any],
    spare: NDArray[Any],
    ints: I32,
    reals: NDArray[np.float64],
    floats: F32,
    xyxy: F32,
    score: F32,
    label: I32,
    frame: int,
    now: float,
    steps: float,
    out_xyxy: F32,
    out_score: F32,
    out_label: I32,
    out_id: I64,
    out_age: I32,
) -> int:
    """Take in one frame and return how many tracks are shown, at the front of the output arrays.

    `rules` (1,) RULES, `counts` (4,): in sight, all, next id, refused; both layouts are in reference.bytetrack. The
    tracks afterwards lie in `spare` (TRACK, like `tracks`), which has room for all tracks and detections, as have
    the outputs and, by `room`, the scratch.
    """
