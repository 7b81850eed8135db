"""`tilewatch model` as a process."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.data import data_path
from tests.support.models import tiny_detector
from tests.support.program import command, environment, run_tilewatch

if TYPE_CHECKING:
    from pathlib import Path


def test_info_tells_people_and_scripts_the_same(tmp_path: Path) -> None:
    """A table, or one JSON document."""
    model = tiny_detector(tmp_path / "tiny.onnx", metadata={"names": "['red', 'green', 'blue']"})
    facts = json.loads(run_tilewatch("model", "info", model, "--json").stdout)
    table = run_tilewatch("model", "info", model).stdout
    assert facts["head"] == "yolov8"
    assert "yolov8" in table
    assert "red, green, blue" in table
    assert "it can be used here" in table
    refused = run_tilewatch("model", "info", tmp_path / "absent.onnx", code=78)
    assert "No such file" in refused.stderr


def test_a_build_without_a_device_is_refused_at_once(tmp_path: Path) -> None:
    """Before anything is fetched, read or written; the remedy is in the message."""
    model = tiny_detector(tmp_path / "tiny.onnx")
    done = subprocess.run(
        command("model", "build", model, "--precision", "fp32"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment(CUDA_VISIBLE_DEVICES="", XDG_CACHE_HOME=str(tmp_path / "cache")),
    )
    assert done.returncode in {70, 78}
    assert "NVIDIA device" in done.stderr or "cuda-python" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.onnx"]


def test_quantize_wants_footage(tmp_path: Path) -> None:
    """It does not make up its own."""
    model = tiny_detector(tmp_path / "tiny.onnx")
    assert "--calibrate VIDEO" in run_tilewatch("model", "quantize", model, code=64).stderr
    missing = run_tilewatch(
        "model", "quantize", model, "--calibrate", tmp_path / "absent.mp4", code=65, TILE_SIZE="64", TILE_OVERLAP="16"
    )
    assert "absent.mp4" in missing.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_quantize_that_is_stopped_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """Neither a half model nor a hidden folder."""
    model = tmp_path / "yolox.onnx"
    model.write_bytes(data_path("models/yolox_nano.onnx").read_bytes())
    process = subprocess.Popen(
        command("model", "quantize", model, "--calibrate", data_path("clips/vtest.avi")),
        stderr=subprocess.PIPE,
        text=True,
        env=environment(XDG_CACHE_HOME=str(tmp_path / "cache")),
    )
    assert process.stderr is not None
    assert "calibrating" in process.stderr.readline()
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 75
    assert sorted(path.name for path in tmp_path.iterdir()) == ["yolox.onnx"]
