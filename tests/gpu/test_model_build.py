"""`tilewatch model build` on a real device, to the end: build, comparison with ONNX Runtime, reuse."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.data import data_path
from tests.support.gpu import gpu_or_skip
from tests.support.program import run_tilewatch

if TYPE_CHECKING:
    from pathlib import Path

BUILD_SECONDS = 900


@pytest.mark.timeout(3 * BUILD_SECONDS)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("name", ["yolox_nano", "yolov8n"])
def test_an_engine_is_built_agrees_with_the_reference_and_is_used_again(
    tmp_path: Path, name: str, precision: str
) -> None:
    """Exit code 0 says that the comparison was passed; the second call finds the engine of the first."""
    gpu_or_skip()
    model = tmp_path / "model.onnx"
    model.write_bytes(data_path(f"models/{name}.onnx").read_bytes())
    words = ("model", "build", model, "--precision", precision, "--calibrate", data_path("clips/vtest.avi"))
    cache = str(tmp_path / "cache")
    first = run_tilewatch(*words, timeout=BUILD_SECONDS, XDG_CACHE_HOME=cache)
    assert first.stdout.strip() == str(tmp_path / "model.engine")
    assert '"event": "build_phase_finished"' in first.stderr
    again = run_tilewatch(*words, timeout=BUILD_SECONDS, XDG_CACHE_HOME=cache)
    assert "exists already" in again.stderr
    facts = json.loads(run_tilewatch("model", "info", tmp_path / "model.engine", "--json").stdout)
    assert facts["problems"] == []
