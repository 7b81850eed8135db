"""`tilewatch eval` as a process: what `run` wrote is scored, and nobody else speaks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support.clips import Clip, make_clip
from tests.support.models import tiny_detector
from tests.support.program import run_tilewatch

if TYPE_CHECKING:
    from pathlib import Path


def test_tracks_of_a_run_are_perfect_against_themselves(tmp_path: Path) -> None:
    """The first import of TrackEval is in this process: none of its talk reaches the user."""
    model, clip = tiny_detector(tmp_path / "tiny.onnx"), make_clip(tmp_path / "clip.mp4", Clip(frames=8))
    options = ("--tile-size", "64", "--tile-overlap", "16", "--formats", "mot")
    run_tilewatch("run", clip, "-o", tmp_path / "out", "--model", model, *options)
    tracks = tmp_path / "out" / "clip" / "tracks.mot.txt"
    done = run_tilewatch("eval", "--json", "--gt", tracks, tracks)
    assert done.stderr == ""
    scores = json.loads(done.stdout)["all"]
    assert (scores["mota"], scores["idf1"], scores["hota"]) == (100, 100, 100)
