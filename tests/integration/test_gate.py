"""The gate in the whole pipeline: the same result however fast the parts run, and wherever a run begins."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.support.clips import Clip, make_clip
from tests.support.models import tiny_detector
from tilewatch import app, detector
from tilewatch.errors import FrameError
from tilewatch.settings import Settings, load
from tilewatch.sinks.destinations import destinations

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from numpy.typing import NDArray

    Run = Callable[[Coroutine[Any, Any, Any]], Any]

WIDTH, HEIGHT, FRAMES = 320, 192, 90
RESTART = 40


def street(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """Return a picture of a square that stands, one that walks, and one that walks and rests in turn."""
    luma = np.full((height, width), 40, np.uint8)
    walked = number // 20 * 10 + min(number % 20, 10)
    for left, top in ((20, 20), (40 + 2 * number % 240, 90), (20 + 4 * walked % 260, 150)):
        luma[top : top + 20, left : left + 20] = 230
    return luma


def clip(path: Path, first: int = 0) -> Path:
    """Write the street, from a frame on, without loss."""
    return make_clip(
        path,
        Clip(
            frames=FRAMES - first,
            width=WIDTH,
            height=HEIGHT,
            codec="ffv1",
            first_number=first,
            pts=range(first, FRAMES),
            paint=street,
        ),
    )


def settings(tmp_path: Path, **more: object) -> Settings:
    """Return settings of a tiny detector behind the gate: 28 tiles of 64."""
    model = tiny_detector(tmp_path / "tiny.onnx")
    known = {
        "MODEL_PATH": model,
        "TILE_SIZE": 64,
        "TILE_OVERLAP": 16,
        "TILE_GATE": "motion",
        "TILE_REFRESH_SECONDS": 2,
        "CONFIDENCE_THRESHOLD": 0.7,
        "TRACK_LOW": 0.6,
        "OUTPUT_FORMATS": "jsonl",
    }
    return load(overrides={**known, **more})


def process(run: Run, source: Path, out: Path, chosen: Settings) -> dict[str, Any]:
    """Process one clip and return its manifest."""
    folders = destinations([source], out)
    assert run(app.process(folders, chosen, app.RunOptions())) == 0
    manifest: dict[str, Any] = json.loads((out / source.stem / "manifest.json").read_text())
    return manifest


def test_result_does_not_depend_on_how_far_the_stages_run_ahead(run: Run, tmp_path: Path) -> None:
    """Queues of one and of many, single tiles and batches: the same tracks, the same tiles inferred."""
    source = clip(tmp_path / "street.mkv")
    queues: dict[str, object] = {f"QUEUE_{name}": 40 for name in ("DECODED", "TILED", "INFERRED", "TRACKED")}
    variants: dict[str, dict[str, object]] = {
        "narrow": {**dict.fromkeys(queues, 1), "ENGINE_THREADS": 1, "BATCH_WAIT_MS": 20},
        "wide": {**queues, "ENGINE_THREADS": 4, "BATCH_WAIT_MS": 0},
    }
    manifests = {
        name: process(run, source, tmp_path / name, settings(tmp_path, **values)) for name, values in variants.items()
    }
    rows = [(tmp_path / name / "street" / "tracks.jsonl").read_bytes() for name in variants]
    assert rows[0] == rows[1]
    assert rows[0].count(b'"id"') > FRAMES
    tiles = [manifest["accounts"]["tiles"] for manifest in manifests.values()]
    assert tiles[0] == tiles[1]
    assert tiles[0]["inferred"] + tiles[0]["reused"] == 28 * FRAMES
    assert tiles[0]["reused"] > 0.5 * 28 * FRAMES
    assert manifests["wide"]["accounts"]["frames"] == {"in": FRAMES, "written": FRAMES, "skipped": {}}


def test_gate_changes_what_is_inferred_and_not_what_is_found(run: Run, tmp_path: Path) -> None:
    """Against the same clip without the gate: the same objects, to a pixel, at every frame."""
    source = clip(tmp_path / "street.mkv")
    rows = []
    for gate in ("off", "motion"):
        process(run, source, tmp_path / gate, settings(tmp_path, TILE_GATE=gate, ENABLE_TRACKING=False))
        text = (tmp_path / gate / "street" / "tracks.jsonl").read_text()
        rows.append([json.loads(line) for line in text.splitlines()])
    assert [row.get("objects") for row in rows[0]] == [row.get("objects") for row in rows[1]]


@pytest.mark.parametrize("stage", ["TileStage", "Tracker"])
def test_skipped_frame_never_stops_the_gate(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """A frame that a stage gives up has no tracks to come back; the frames behind it do not wait for them."""
    original = getattr(detector, stage).__call__

    def failing(self: object, item: Any, *arguments: Any, **named: Any) -> Any:
        if getattr(item, "frame", item).index in {0, 7, 8, 30}:
            raise FrameError("no good")
        return original(self, item, *arguments, **named)

    monkeypatch.setattr(getattr(detector, stage), "__call__", failing)
    manifest = process(run, clip(tmp_path / "street.mkv"), tmp_path / "out", settings(tmp_path))
    assert manifest["accounts"]["frames"]["skipped"] == {FrameError.reason: 4}
    assert manifest["accounts"]["frames"]["written"] == FRAMES - 4
