"""Default mode on the second halves of MOT17's training sequences, with YOLOX-x detections that never saw them."""

from __future__ import annotations

import pytest

from tests.support.motchallenge import pooled, score, sequences, track
from tilewatch.native import COMPILED
from tilewatch.native.bytetrack import ByteTrack

pytestmark = [
    pytest.mark.skipif(not COMPILED, reason="the twins are proven equal elsewhere, and slow"),
    pytest.mark.timeout(300),
]


@pytest.mark.parametrize(
    ("high", "new", "least", "most_switches"),
    [(0.6, 0.7, (77.9, 80.5), 175), (0.25, 0.25, (75.0, 77.6), 320)],
    ids=["published thresholds", "defaults"],
)
def test_default_mode_keeps_people_apart(
    high: float, new: float, least: tuple[float, float], most_switches: int
) -> None:
    """All seven sequences pooled: MOTA and IDF1 at least, identity switches at most."""
    found = pooled(
        [score(sequence, track(ByteTrack(high=high, new=new), sequence)) for sequence in sequences("mot17val")]
    )
    print(f"mot17val at {high}/{new}: MOTA {found.mota:.2f}, IDF1 {found.idf1:.2f}, {found.switches} switches")
    assert found.mota >= least[0]
    assert found.idf1 >= least[1]
    assert found.switches <= most_switches
