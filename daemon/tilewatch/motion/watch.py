"""Which parts of the picture the tracks want looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilewatch.records import F32, Tracks

YOUNG_FRAMES = 2
"""Age up to which a track is young: it has to show that it is no mistake."""
MOVING_SECONDS = 0.5
"""Time for which a track counts as moving after its last step."""
LOST_SECONDS = 1.0
"""Time for which a lost track is looked for where it was."""
STEP_SHARE, STEP_PIXELS = 0.1, 2.0
"""A step is as long as this share of the box's shorter side, and not below so many pixels: boxes tremble."""

KNOWN = np.dtype(
    [
        ("id", "i8"),
        ("box", "f4", 4),
        ("anchor", "f4", 2),
        ("age", "i4"),
        ("moved", "f8"),
        ("seen", "f8"),
    ]
)
"""A track: its box, where its last step ended and when, and when it was last seen, seconds."""


class TrackWatch:
    """Remembers each track's last step. Tracks without an identity are not watched."""

    def __init__(self) -> None:
        self._known = np.zeros(0, KNOWN)
        self._now = -np.inf

    def take(self, tracks: Tracks) -> None:
        """Take in what is known of a later frame."""
        self._now = tracks.frame.seconds
        given = self._given(tracks)
        old = self._known
        at = np.searchsorted(old["id"], given["id"])
        met = np.zeros(len(given), np.bool_)
        met[at < len(old)] = old["id"][at[at < len(old)]] == given["id"][at < len(old)]
        given["anchor"][met], given["moved"][met] = old["anchor"][at[met]], old["moved"][at[met]]
        self._step(given)
        lost = old[~np.isin(old["id"], given["id"]) & (self._now - old["seen"] <= LOST_SECONDS)]
        self._known = np.sort(np.concatenate([given, lost]), order="id")

    def areas(self) -> F32:
        """Return (M, 4) float32 boxes to look at: those of tracks that are young, moving, or just lost."""
        known = self._known
        wanted = (known["age"] < YOUNG_FRAMES) | (known["seen"] < self._now)
        wanted |= self._now - known["moved"] <= MOVING_SECONDS
        areas: F32 = known["box"][wanted]
        return areas

    def _given(self, tracks: Tracks) -> NDArray[np.void]:
        named = tracks.track_id > 0
        given = np.zeros(int(named.sum()), KNOWN)
        given["id"], given["box"], given["age"] = tracks.track_id[named], tracks.xyxy[named], tracks.age[named]
        given["anchor"] = _centres(given["box"])
        given["moved"], given["seen"] = -np.inf, self._now
        return given

    def _step(self, given: NDArray[np.void]) -> None:
        """Note which tracks are a step away from where the last one ended."""
        box, centres = given["box"], _centres(given["box"])
        side = np.minimum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])
        away = np.hypot(*(centres - given["anchor"]).T) > np.maximum(STEP_SHARE * side, STEP_PIXELS)
        given["anchor"][away], given["moved"][away] = centres[away], self._now


def _centres(boxes: F32) -> F32:
    centres: F32 = (boxes[:, :2] + boxes[:, 2:]) / np.float32(2)
    return centres
