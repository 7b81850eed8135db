"""The whole program on real footage, against ground truth."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support.data import data_path
from tests.support.mosaic import make_mosaic, truth
from tests.support.program import peak_megabytes, run_tilewatch
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
    """4K mosaic, 7x5 tiles of 640, YOLOX-nano at 0.25: recall >= 0.92 at precision >= 0.75.

    The whole frame at 640 finds a fifth of them. Over all 30 frames of the clip the tiles gave 0.764 and 0.921. Without
    tracking, which weeds out what shows in one frame only, it is 0.736 and 0.919: the rest are things the detector
    takes for people, and people not annotated.
    """
    model = data_path("models/yolox_nano.onnx")
    clip = tmp_path / "mosaic.mp4"
    everybody = make_mosaic(clip, columns=5, rows=4, frames=30)
    people = {frame: everybody[frame] for frame in range(6)}
    options = ["--model", model, "--classes", "0", "--formats", "mot", "--max-frames", 6]
    found = {}
    for name, more in (("tiles", ["--precision", "f32"]), ("whole", ["--full-frame", "only"])):
        run_tilewatch("run", clip, "-o", tmp_path / name, *options, *more, timeout=500)
        found[name] = detection(read_mot(tmp_path / name / "mosaic" / "tracks.mot.txt"), people)
        print(f"4K mosaic, {name}: precision {found[name].precision:.3f}, recall {found[name].recall:.3f}")
    assert found["tiles"].recall >= 0.92
    assert found["tiles"].precision >= 0.75
    assert found["whole"].recall < 0.3


def test_memory_is_flat_over_a_whole_video(tmp_path: Path) -> None:
    """What 795 frames need at most is what the first 100 needed: queues bound the memory, results go to the disk."""
    model, clip = data_path("models/yolox_nano.onnx"), data_path("clips/vtest.avi")
    options = [
        "-o",
        tmp_path,
        "--model",
        model,
        "--full-frame",
        "only",
        "--formats",
        "video,jsonl,mot,csv,coco,overview",
    ]
    first, whole = (peak_megabytes("run", clip, *options, "--max-frames", count) for count in (100, 795))
    print(f"peak memory: {first:.0f} MB after 100 frames, {whole:.0f} MB after 795")
    assert whole - first < 0.05 * first
