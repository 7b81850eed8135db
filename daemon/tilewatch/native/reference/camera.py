"""How far the camera turned between two frames, told from boxes alone: the rule, in plain numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilewatch.native.reference.kalman import F64

GATE = 1.5
"""Heights of a track within which its box may have moved."""
LIKENESS = 0.25
"""Largest difference of the logarithms of the heights."""
REACH = 0.08
"""Share of a track's height within which two shifts are the same."""
FEWEST, MOST = 4, 200
"""Tracks that must agree at least; tracks that are asked at most."""
SHARE = 0.35
"""Share of the tracks that must agree."""
NEARLY = 0.95
"""Of the shifts with this share of the best one's votes the smallest is taken: a row of like objects looks shifted."""


def shift(tracks: F64, boxes: F64) -> F64 | None:
    """Return the (2,) shift that most tracks agree on, or None when it explains no more than standing still.

    `tracks` (V, 3) and `boxes` (N, 3) are centre x, centre y, height; tracks at their predicted place.
    """
    if len(tracks) < FEWEST or len(boxes) < FEWEST:
        return None
    asked = tracks[:: -(-len(tracks) // MOST)]
    height = asked[:, None, 2]
    apart = boxes[None, :, :2] - asked[:, None, :2]
    alike = np.abs(np.log(boxes[None, :, 2] / height)) < LIKENESS
    who, where = np.nonzero(alike & ((apart**2).sum(axis=2) < (GATE * height) ** 2))
    if not len(who):
        return None
    moves, reach = apart[who, where].astype(np.float32), ((REACH * asked[who, 2]) ** 2).astype(np.float32)
    votes = np.array([len(np.unique(who[_agree(moves, reach, move)])) for move in moves])
    nearly = np.flatnonzero(votes >= NEARLY * votes.max())
    best = nearly[(moves[nearly] ** 2).sum(axis=1).argmin()]
    still = len(np.unique(who[_agree(moves, reach, np.zeros(2, np.float32))]))
    if votes[best] < max(FEWEST, SHARE * len(asked)) or votes[best] <= still:
        return None
    first = np.median(moves[_agree(moves, reach, moves[best])].astype(np.float64), axis=0)
    members = _agree(moves, reach, first.astype(np.float32))
    return np.median(moves[members].astype(np.float64), axis=0) if members.any() else first


def _agree(moves: NDArray[np.float32], reach: NDArray[np.float32], move: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which moves are the same as one."""
    agree: NDArray[np.bool_] = ((moves - move) ** 2).sum(axis=1) < reach
    return agree
