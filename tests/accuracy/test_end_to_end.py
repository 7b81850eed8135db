"""The whole program on real footage, against ground truth."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support.data import data_path
from tests.support.mosaic import make_mosaic, truth
from tests.support.program import run_tilewatch
from tests.support.scoring import detection, read_mot, tracking

if TYPE_CHECKING:
    from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(600)


def test_people_of_a_fixed_camera_keep_their_ids(tmp_path: Path) -> None:
    """vtest.avi, the whole frame at 640, YOLOv8n, defaults: all 795 frames, MOTA >= 77, IDF1 >= 72."""
    model = data_path("models/yolov8n.onnx")
    clip = data_path("clips/vtest.avi")
    options = ["--model", model, "--full-frame", "only", "--classes", "person", "--formats", "mot,jsonl"]
    run_tilewatch("run", clip, "-o", tmp_path, *options, timeout=500)
    manifest = json.loads((tmp_path / "vtest" / "manifest.json").read_text())
    people = {frame: [person for person in here if person.counted] for frame, here in truth().items()}
    score = tracking(read_mot(tmp_path / "vtest" / "tracks.mot.txt"), people, 795)
    print(f"vtest.avi: MOTA {score.mota:.1f}, IDF1 {score.idf1:.1f}, {score.switches} switches")
    assert manifest["accounts"]["frames"] == {"in": 795, "written": 795, "skipped": {}}
    assert score.mota >= 77
    assert score.idf1 >= 72


def test_small_people_are_found_by_tiles_where_the_whole_frame_loses_them(tmp_path: Path) -> None:
    """4K mosaic, 7x5 tiles of 640, YOLOX-nano at 0.25: recall >= 0.92, precision >= 0.75; whole frame: about 0.19."""
    model = data_path("models/yolox_nano.onnx")
    clip = tmp_path / "mosaic.mp4"
    people = make_mosaic(clip, columns=5, rows=4, frames=6)
    options = ["--model", model, "--classes", "0", "--formats", "mot", "--no-tracking", "--precision", "f32"]
    run_tilewatch("run", clip, "-o", tmp_path / "tiles", *options, timeout=500)
    run_tilewatch("run", clip, "-o", tmp_path / "whole", "--full-frame", "only", *options, timeout=500)
    tiles, whole = (
        detection(read_mot(tmp_path / name / "mosaic" / "tracks.mot.txt"), people) for name in ("tiles", "whole")
    )
    print(
        f"4K mosaic: tiles P {tiles.precision:.3f} R {tiles.recall:.3f}, "
        f"whole frame P {whole.precision:.3f} R {whole.recall:.3f}"
    )
    assert tiles.recall >= 0.92
    assert tiles.precision >= 0.75
    assert whole.recall < 0.3
