"""A made-up crowd that walks about, as a detector would report it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tilewatch.records import F32, I32


class Crowd:
    """People on straight ways, with noise; the same seed gives the same boxes."""

    def __init__(
        self,
        *,
        people: int,
        seed: int = 0,
        missed: float = 0.0,
        doubled: float = 0.0,
        sway: float = 0.0,
        broken: float = 0.0,
        width: int = 1920,
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._start = self._rng.uniform(0, [width, width * 9 / 16], (people, 2))
        self._speed = self._rng.normal(0, 3, (people, 2))
        self._size = self._rng.uniform(20, 60, (people, 1)) * [1.0, 2.5]
        self._missed, self._doubled, self._broken, self._sway = missed, doubled, broken, sway

    def frame(self, index: int) -> tuple[F32, F32, I32]:
        """Return boxes (N, 4), scores and classes of a frame; call in order, since the noise goes on."""
        rng, people = self._rng, len(self._start)
        centre = self._start + index * self._speed + rng.normal(0, 1, (people, 2))
        centre += rng.uniform(-self._sway, self._sway, 2)
        half = self._size * np.exp(rng.normal(0, 0.03, (people, 2))) / 2
        boxes = np.hstack([centre - half, centre + half])
        seen, twice = rng.random(people) >= self._missed, rng.random(people) < self._doubled
        boxes = np.vstack([boxes[seen], boxes[seen & twice] + rng.normal(0, 1, (int((seen & twice).sum()), 4))])
        boxes[rng.random(len(boxes)) < self._broken] = np.nan
        score = rng.uniform(0.05, 0.99, len(boxes))
        return boxes.astype(np.float32), score.astype(np.float32), rng.integers(0, 3, len(boxes)).astype(np.int32)
