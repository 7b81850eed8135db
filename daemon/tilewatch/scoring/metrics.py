"""MOTA (Bernardin and Stiefelhagen 2008), IDF1 (Ristani et al. 2016) and HOTA (Luiten et al. 2020) by TrackEval."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    from tilewatch.scoring.comparison import Comparison

    Results: TypeAlias = Mapping[str, Mapping[str, Any]]

INSTALL = "pip install scipy && pip install --no-deps 'trackeval>=1.3,<2'"
"""Without what it declares, which is not used here: a second OpenCV, which would take the place of ours."""
QUIET = {"PRINT_CONFIG": False}


class Scores(NamedTuple):
    """How good the tracks are; the first five in per cent, HOTA and its parts as means over IoU limits 0.05 to 0.95."""

    mota: float
    idf1: float
    hota: float
    deta: float
    assa: float
    idsw: int
    """Identity switches."""
    fp: int
    """Boxes that show nothing."""
    fn: int
    """Objects that no box shows."""


class Evaluator:
    """TrackEval's three metrics.

    Raises:
        ConfigError: TrackEval is not installed.
    """

    def __init__(self) -> None:
        try:
            with redirect_stdout(io.StringIO()):  # it reports the data sets it cannot read
                from trackeval import metrics  # noqa: PLC0415  (optional)
        except ImportError as error:
            raise ConfigError(f"tilewatch eval needs TrackEval ({error}): {INSTALL}") from error
        self._metrics = {"hota": metrics.HOTA(), "clear": metrics.CLEAR(QUIET), "id": metrics.Identity(QUIET)}

    def score(self, videos: Sequence[Comparison]) -> tuple[list[Scores], Scores]:
        """Return the scores of each video, and of all together: sums of what is counted, not means of scores."""
        every = [self._measure(video) for video in videos]
        return [self._combine([results]) for results in every], self._combine(every)

    def _measure(self, video: Comparison) -> Results:
        """Return TrackEval's own figures of a video by metric."""
        data = {
            "num_timesteps": len(video.truth),
            "num_gt_ids": _highest(video.truth) + 1,
            "num_tracker_ids": _highest(video.found) + 1,
            "num_gt_dets": sum(map(len, video.truth)),
            "num_tracker_dets": sum(map(len, video.found)),
            "gt_ids": video.truth,
            "tracker_ids": video.found,
            "similarity_scores": video.overlap,
        }
        return {name: metric.eval_sequence(data) for name, metric in self._metrics.items()}

    def _combine(self, every: Sequence[Results]) -> Scores:
        """Return the scores of some videos together."""
        hota, clear, identity = (
            metric.combine_sequences({str(at): results[name] for at, results in enumerate(every)})
            for name, metric in self._metrics.items()
        )
        return Scores(
            100 * float(clear["MOTA"]),
            100 * float(identity["IDF1"]),
            100 * float(np.mean(hota["HOTA"])),
            100 * float(np.mean(hota["DetA"])),
            100 * float(np.mean(hota["AssA"])),
            int(clear["IDSW"]),
            int(clear["CLR_FP"]),
            int(clear["CLR_FN"]),
        )


def _highest(frames: Sequence[Any]) -> int:
    """Return the highest number, -1 where there is none."""
    return max((int(here.max(initial=-1)) for here in frames), default=-1)
