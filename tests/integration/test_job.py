"""The whole job inside one process: on asyncio and on uvloop, with blocking calls detected, and its faults."""

from __future__ import annotations

import gc
import json
from typing import TYPE_CHECKING, Any

import pytest
from av.video.codeccontext import VideoCodecContext

from tests.support.clips import Clip, make_clip
from tests.support.models import tiny_detector
from tilewatch import app
from tilewatch.errors import DiskFullError, EngineError, SinkError
from tilewatch.settings import load
from tilewatch.sinks.destinations import destinations
from tilewatch.sinks.jsonl import JsonlSink
from tilewatch.video.writer import VideoWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from tilewatch.settings import Settings

    Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings of a tiny detector."""
    model = tiny_detector(tmp_path / "tiny.onnx")
    return load(
        overrides={"MODEL_PATH": model, "TILE_SIZE": 64, "TILE_OVERLAP": 16, "OUTPUT_FORMATS": "video,jsonl,overview"}
    )


def process(run: Run, clip: Path, out: Path, settings: Settings) -> int:
    """Process one clip and return the exit code."""
    folders = destinations([clip], out)
    try:
        code: int = run(app.process(folders, settings, app.RunOptions(profile=True)))
    finally:
        for folder in folders.values():
            folder.discard()
    return code


def test_job_never_blocks_its_loop_and_balances_its_accounts(run: Run, tmp_path: Path, settings: Settings) -> None:
    """Everything slow is on a lane; every frame is accounted for."""
    clip = make_clip(tmp_path / "clip.mp4", Clip(frames=20, audio="aac"))
    assert process(run, clip, tmp_path / "out", settings) == 0
    manifest = json.loads((tmp_path / "out" / "clip" / "manifest.json").read_text())
    assert manifest["accounts"]["frames"] == {"in": 20, "written": 20, "skipped": {}}
    assert set(manifest["timings"]["stages"]) == {"decode", "tile", "infer", "track", "encode"}


def test_decoders_and_encoders_of_earlier_videos_are_let_go(run: Run, tmp_path: Path, settings: Settings) -> None:
    """However many videos came before, those of one are left, the cyclic collector's own pace aside."""
    clips = [make_clip(tmp_path / f"clip{number}.mp4", Clip(frames=3)) for number in range(6)]
    gc.collect()
    others = _codecs()
    gc.disable()
    try:
        run(app.process(destinations(clips, tmp_path / "out"), settings, app.RunOptions()))
        left = _codecs() - others
    finally:
        gc.enable()
    assert left <= 4  # one video has a decoder, an encoder, and one more that opened its sound


def _codecs() -> int:
    """Return how many decoders and encoders there are in this process."""
    return sum(isinstance(thing, VideoCodecContext) for thing in gc.get_objects())


def test_damage_is_counted_and_told(run: Run, tmp_path: Path, settings: Settings) -> None:
    """Damaged frames are in the manifest and in a warning; the job succeeds."""
    clip = make_clip(tmp_path / "clip.mp4", Clip(frames=60))
    data = bytearray(clip.read_bytes())
    start = data.index(b"mdat") + 2000
    data[start : start + 400] = bytes(byte ^ 0x5A for byte in data[start : start + 400])
    clip.write_bytes(data)
    assert process(run, clip, tmp_path / "out", settings) == 0
    manifest = json.loads((tmp_path / "out" / "clip" / "manifest.json").read_text())
    frames = manifest["accounts"]["frames"]
    assert frames["in"] == frames["written"] + frames["skipped"]["frame_damaged"] == 60
    assert any("damaged frames were skipped" in warning for warning in manifest["warnings"])


@pytest.mark.parametrize(
    ("error", "code"), [(SinkError("encoder: refused"), 70), (DiskFullError("out: no space left"), 75)]
)
@pytest.mark.parametrize("sink", [VideoWriter, JsonlSink])
def test_failing_sink_is_the_videos_failure_and_leaves_nothing(
    run: Run,
    tmp_path: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    error: SinkError,
    code: int,
    sink: type,
) -> None:
    """An encoder or a disk that refuses in mid-video: the right exit code, no half result."""
    monkeypatch.setattr(sink, "write", lambda *_: (_ for _ in ()).throw(error))
    clip = make_clip(tmp_path / "clip.mp4", Clip(frames=20))
    assert process(run, clip, tmp_path / "out", settings) == code
    assert not (tmp_path / "out").exists()


def test_failing_engine_ends_the_process_and_leaves_nothing(
    run: Run, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that fails is everybody's matter: the error comes through, one of it."""
    from tilewatch.engines.openvino import OpenVinoEngine  # noqa: PLC0415 only this test needs it

    collect, answers = OpenVinoEngine.collect, iter(range(1000))

    def failing(engine: OpenVinoEngine) -> Any:
        if next(answers) > 30:
            raise EngineError("the device is gone")
        return collect(engine)

    monkeypatch.setattr(OpenVinoEngine, "collect", failing)
    clip = make_clip(tmp_path / "clip.mp4", Clip(frames=60))
    with pytest.raises(EngineError, match="the device is gone"):
        process(run, clip, tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()
