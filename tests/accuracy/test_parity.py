"""Parity mode against what the published trackers gave on real detections."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.motchallenge import golden, sequences, track
from tilewatch.native import COMPILED
from tilewatch.native.bytetrack import ByteTrack

if TYPE_CHECKING:
    from collections.abc import Callable

PAPER = partial(ByteTrack, mode="parity", high=0.6, low=0.1, new=0.7, match=0.9, buffer_frames=30)
YAML = partial(ByteTrack, mode="parity", high=0.25, low=0.1, new=0.25, match=0.8, buffer_frames=30)
TRACKERS: dict[str, Callable[[], ByteTrack]] = {
    "ultra_paper": partial(PAPER, flavour="ultralytics"),
    "ultra_yaml": partial(YAML, flavour="ultralytics"),
    "orig_paper": partial(PAPER, flavour="original"),
}
RAISED = 0.0005
"""Added to every score: rounded ones otherwise sit on the thresholds."""
ROUNDING = 0.001
"""Pixels."""


@pytest.mark.skipif(not COMPILED, reason="the twins are proven equal elsewhere, and slow")
@pytest.mark.parametrize("benchmark", ["mot15", "mot17val"])
@pytest.mark.parametrize("name", TRACKERS)
def test_parity_mode_gives_the_references_ids_and_boxes(name: str, benchmark: str) -> None:
    """Every frame of every sequence shows the same ids, and their boxes to a thousandth of a pixel."""
    expected, shown = golden(f"{name}_{benchmark}"), 0
    for sequence in sequences(benchmark):
        tracker = TRACKERS[name]()
        for frame, tracks in enumerate(track(tracker, sequence, RAISED)):
            boxes = expected.get((sequence.name, frame), {})
            assert tracks.track_id.tolist() == sorted(boxes), f"{sequence.name} frame {frame}"
            reference = np.array([boxes[i] for i in sorted(boxes)]).reshape(-1, 4)
            np.testing.assert_allclose(tracks.xyxy, reference, rtol=0, atol=ROUNDING, err_msg=sequence.name)
            shown += len(boxes)
    assert shown == sum(map(len, expected.values()))
