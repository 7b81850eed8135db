"""Default mode on MOTChallenge footage, whole and with frames lost, scored as published (TrackEval)."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import motmetrics
import numpy as np
import pytest

from tests.support.data import data_path
from tests.support.motchallenge import compare, pooled, sequences, sequences_in, track
from tilewatch.native import COMPILED
from tilewatch.native.bytetrack import ByteTrack
from tilewatch.scoring.metrics import Evaluator, Scores

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.skipif(not COMPILED, reason="the twins are proven equal elsewhere, and slow"),
    pytest.mark.timeout(300),
]

PUBLISHED = partial(ByteTrack, high=0.6, new=0.7)
"""The thresholds of the ByteTrack paper."""
LOSSES = ("d2", "d3", "d5", "rand", "burst", "jit")
"""Every second, third, fifth frame; random gaps; bursts; a load that comes and goes."""


def tell(what: str, found: Scores) -> None:
    """Print the figures."""
    figures = f"HOTA {found.hota:.2f}, IDF1 {found.idf1:.2f}, MOTA {found.mota:.2f}, {found.idsw} switches"
    print(f"{what}: {figures}")


@pytest.mark.parametrize(
    ("high", "new", "least", "most_switches"),
    [(0.6, 0.7, (68.4, 80.5, 77.9), 175), (0.25, 0.25, (66.8, 77.6, 75.0), 320)],
    ids=["published thresholds", "defaults"],
)
def test_default_mode_keeps_people_apart(
    high: float, new: float, least: tuple[float, float, float], most_switches: int
) -> None:
    """Second halves of MOT17's training sequences, detections of YOLOX-x that never saw them."""
    found = pooled(sequences("mot17val"), partial(ByteTrack, high=high, new=new), "MOT17")
    tell(f"mot17val at {high}/{new}", found)
    assert (np.array([found.hota, found.idf1, found.mota]) >= least).all()
    assert found.idsw <= most_switches


def test_lost_frames_cost_little(tmp_path: Path) -> None:
    """Six ways of losing frames: the means hold, and every fifth frame alone keeps 97 % of HOTA."""
    tool = data_path("../tools/drop_frames.py").resolve()
    scores, root = dict[str, Scores](), data_path("..").resolve()
    for loss in LOSSES:
        subprocess.run([sys.executable, tool, "mot17val", loss, tmp_path / loss], check=True, cwd=root)
        scores[loss] = pooled(sequences_in(tmp_path / loss), PUBLISHED, "MOT17")
        tell(f"mot17val {loss}", scores[loss])
    whole = pooled(sequences("mot17val"), PUBLISHED, "MOT17")
    hota, idf1 = np.mean([(found.hota, found.idf1) for found in scores.values()], axis=0)
    switches = sum(found.idsw for found in scores.values())
    kept = scores["d5"].hota / whole.hota
    print(f"means: HOTA {hota:.2f}, IDF1 {idf1:.2f}; {switches} switches; d5 keeps {kept:.3f} of HOTA")
    assert hota >= 67.0
    assert idf1 >= 79.2
    assert switches <= 1050
    assert kept >= 0.97


def test_moving_cameras_and_low_frame_rates_are_followed() -> None:
    """Eleven sequences of 7 to 30 frames/s at their own times, as a user runs them: a floor, not the goal."""
    found = pooled(sequences("mot15"), PUBLISHED)
    tell("mot15", found)
    assert found.hota >= 37.9
    assert found.idf1 >= 50.2


def test_moving_cameras_are_followed_frame_by_frame() -> None:
    """The same as if every sequence had 30 frames/s and patience for 30 of them, as the published trackers see it."""
    clocked = (each._replace(seconds=[frame / 30 for frame in range(len(each.seconds))]) for each in sequences("mot15"))
    found = pooled(clocked, partial(PUBLISHED, buffer_seconds=1.0))
    tell("mot15, 30 frames/s", found)
    assert found.hota >= 38.5
    assert found.idf1 >= 50.9


@pytest.mark.filterwarnings("ignore:Operation with tuple")  # motmetrics on a new pandas
def test_scores_agree_with_motmetrics() -> None:
    """Two programs, one sequence: the identity scores are the same, MOTA within their rules for old matches."""
    sequence = next(each for each in sequences("mot17val") if each.name == "MOT17-09")
    comparison = compare(sequence, track(PUBLISHED(), sequence), "MOT17")
    events = motmetrics.MOTAccumulator(auto_id=True)
    for truth, found, overlap in zip(*comparison, strict=True):
        events.update(truth, found, np.where(overlap >= 0.5, 1 - overlap, np.nan))
    names = ["mota", "idf1", "num_switches", "num_false_positives", "num_misses"]
    theirs = motmetrics.metrics.create().compute(events, metrics=names).iloc[0]
    ours = Evaluator().score([comparison])[1]
    tell("MOT17-09", ours)
    assert ours.idf1 == pytest.approx(100 * theirs["idf1"], abs=1e-6)
    assert ours.mota == pytest.approx(100 * theirs["mota"], abs=0.1)
    assert abs(ours.idsw - theirs["num_switches"]) <= 2
