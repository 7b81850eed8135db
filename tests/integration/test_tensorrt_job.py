"""A whole video on a played NVIDIA device: the same result as on the processor, and settings that change meanwhile."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.support.clips import Clip, make_clip
from tests.support.engine_contract import COLOURS, NAMES, painted
from tests.support.nvidia import machine, tiny_engine
from tilewatch import app
from tilewatch.detector import open_detector
from tilewatch.settings import load
from tilewatch.sinks.destinations import destinations
from tilewatch.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from tilewatch.settings import Settings

    Run = Callable[[Coroutine[Any, Any, Any]], Any]


def settings_of(model: Path, **others: Any) -> Settings:
    """Return settings for the tiny model."""
    return load(overrides={"MODEL_PATH": model, "TILE_SIZE": 64, "TILE_OVERLAP": 16, **others})


@pytest.mark.parametrize("gate", ["off", "motion"])
def test_result_is_that_of_the_processor(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gate: str) -> None:
    """Frame by frame the same tracks, with and without the gate; the manifest names the device."""
    engine = tiny_engine(tmp_path / "tiny.engine", NAMES)
    clip = make_clip(tmp_path / "clip.mp4", Clip(frames=12))
    played = machine(monkeypatch)
    told = {}
    for backend, model in (("tensorrt", engine), ("onnxruntime", engine.with_suffix(".onnx"))):
        settings = settings_of(model, BACKEND=backend, OUTPUT_FORMATS="jsonl", TILE_GATE=gate, CONFIDENCE_THRESHOLD=0.3)
        folders = destinations([clip], tmp_path / backend)
        assert run(app.process(folders, settings, app.RunOptions())) == 0
        rows = (tmp_path / backend / "clip" / "tracks.jsonl").read_text().splitlines()
        told[backend] = [json.loads(row) for row in rows]
    assert len(told["tensorrt"]) == 12
    for ours, theirs in zip(told["tensorrt"], told["onnxruntime"], strict=True):
        for mine, other in zip(ours["objects"], theirs["objects"], strict=True):
            assert {**mine, "score": 0, "box": 0} == {**other, "score": 0, "box": 0}
            np.testing.assert_allclose(mine["box"], other["box"], atol=0.01)
            np.testing.assert_allclose(mine["score"], other["score"], atol=1e-3)
    manifest = json.loads((tmp_path / "tensorrt" / "clip" / "manifest.json").read_text())
    assert manifest["engine"]["backend"] == "tensorrt"
    assert "Fake Orin" in manifest["engine"]["device"]
    assert played.cuda.leaks() == []


def test_thresholds_reach_the_device_while_it_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start, and when the settings change: what is read then is there."""
    machine(monkeypatch)
    model = tiny_engine(tmp_path / "tiny.engine", NAMES)

    def settings(threshold: float) -> Settings:
        return settings_of(model, CONFIDENCE_THRESHOLD=threshold, ENABLE_TRACKING="false", BATCH_SIZE=4)

    async def scenario() -> list[set[int]]:
        counters = metrics.create()
        async with open_detector(settings(0.9), counters) as detector:
            seen = []
            for threshold in (None, 0.5):
                if threshold:
                    detector.apply(settings(threshold))
                slot = painted(detector.engine, COLOURS[[0, 4]])
                detector.engine.submit([(slot, 0), (slot, 1)])
                seen.append(set(detector.reader()(detector.engine.collect()).tile.tolist()))
            assert counters.registry.get_sample_value("tilewatch_batch_limit_items") == 4
            return seen

    assert asyncio.run(scenario()) == [{0}, {0, 1}]
