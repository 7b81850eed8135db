"""Several videos at once over one engine: each comes out as if it had been alone."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.clips import Clip, make_clip
from tests.support.models import tiny_detector
from tilewatch import app
from tilewatch.engines.openvino import OpenVinoEngine
from tilewatch.errors import EngineError, SinkError
from tilewatch.settings import load
from tilewatch.sinks.destinations import destinations, discard
from tilewatch.sinks.mot import MotSink

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from tilewatch.records import Tracks

    Run = Callable[[Coroutine[Any, Any, Any]], Any]

SIZES = ((160, 96), (96, 160), (200, 120), (64, 64))
"""1 to 8 tiles a frame: submits are mixed in every way."""


@pytest.fixture
def clips(tmp_path: Path) -> list[Path]:
    """Return clips of different sizes and lengths."""
    return [
        make_clip(
            tmp_path / f"{name}.mp4", Clip(frames=18 + 5 * number, width=width, height=height, first_number=number)
        )
        for number, (name, (width, height)) in enumerate(zip("abcd", SIZES, strict=True))
    ]


def process(run: Run, clips: Sequence[Path], out: Path, **settings: object) -> int:
    """Process clips and return the exit code."""
    model = tiny_detector(out.parent / "tiny.onnx")
    given = {"MODEL_PATH": model, "TILE_SIZE": 64, "TILE_OVERLAP": 16, "OUTPUT_FORMATS": "jsonl,mot", **settings}
    folders = destinations(clips, out)
    try:
        code: int = run(app.process(folders, load(overrides=given), app.RunOptions()))
    finally:
        discard(folders)
    return code


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    """Return what was said of each video on stdout, where the tests' logs go as well."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    return {line["input"]: line for line in lines}


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_videos_in_work_together_come_out_as_if_alone(
    run: Run, tmp_path: Path, clips: list[Path], backend: str
) -> None:
    """Byte for byte, whatever the other streams did meanwhile."""
    for streams in (1, 3):
        assert process(run, clips, tmp_path / str(streams), MAX_STREAMS=streams, BACKEND=backend) == 0
    for clip in clips:
        alone, together = ((tmp_path / str(n) / clip.stem / "tracks.jsonl").read_bytes() for n in (1, 3))
        assert alone == together
        assert b'"objects": []' not in alone.splitlines()[0]


def test_failing_videos_leave_the_others_alone_and_the_first_in_order_gives_the_exit_code(
    run: Run, tmp_path: Path, clips: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One fails late (70) and one at once (65): the one that was named first decides, not the one that was faster."""
    late, early = clips[1], tmp_path / "early.mp4"
    early.write_bytes(b"no video" * 100)
    write = MotSink.write

    def failing(sink: MotSink, tracks: Tracks) -> None:
        if (tracks.frame.stream, tracks.frame.index) == (late.stem, 10):
            raise SinkError("the volume is gone")
        write(sink, tracks)

    monkeypatch.setattr(MotSink, "write", failing)
    assert process(run, [late, early, clips[0]], tmp_path / "out", MAX_STREAMS=3) == 70
    assert {path: line["status"] for path, line in told(capsys).items()} == {
        str(late): "failed", str(early): "failed", str(clips[0]): "complete"
    }  # fmt: skip
    assert [path.name for path in (tmp_path / "out").iterdir()] == [clips[0].stem]


def test_failing_engine_ends_all_videos_with_one_error(
    run: Run, tmp_path: Path, clips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device is everybody's: one error comes out, nothing appears."""
    collect, answers = OpenVinoEngine.collect, iter(range(1000))

    def failing(engine: OpenVinoEngine) -> Any:
        if next(answers) > 50:
            raise EngineError("the device is gone")
        return collect(engine)

    monkeypatch.setattr(OpenVinoEngine, "collect", failing)
    with pytest.raises(EngineError, match="the device is gone"):
        process(run, clips, tmp_path / "out", MAX_STREAMS=3)
    assert not (tmp_path / "out").exists()


def test_stop_completes_every_video_in_work_and_begins_no_other(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A first signal drains all streams: each result is whole as far as it goes and marked; exit code 75."""
    clips = [make_clip(tmp_path / f"{name}.mp4", Clip(frames=250)) for name in "abc"]
    write, seen = MotSink.write, Counter[str]()

    def stopping(sink: MotSink, tracks: Tracks) -> None:
        write(sink, tracks)
        seen[tracks.frame.stream] += 1
        if len(seen) == 2 and seen["stops"] == 0:
            seen["stops"] += 1
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(MotSink, "write", stopping)
    assert process(run, clips, tmp_path / "out", MAX_STREAMS=2) == 75
    lines = told(capsys)
    assert {path: line["status"] for path, line in lines.items()} == {str(clip): "interrupted" for clip in clips[:2]}
    for path, line in lines.items():
        manifest = json.loads((tmp_path / "out" / Path(path).stem / "manifest.json").read_text())
        assert manifest["accounts"]["frames"]["written"] == line["frames"] == seen[Path(path).stem] < 250
