"""The manifest and the tally: accounts that balance, or an error that says which do not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.records import make_info, make_tracks
from tilewatch.engines.base import EngineInfo
from tilewatch.records import BoxCount
from tilewatch.settings import env_names, load
from tilewatch.sinks.fingerprint import fingerprint
from tilewatch.sinks.manifest import Accounts, InputRecord, Manifest, Timings, is_ours, settings_values
from tilewatch.sinks.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

ENGINE = EngineInfo(
    backend="openvino",
    backend_version="1",
    device="CPU",
    precision="f32",
    precision_reason="asked for",
    model_path="/somewhere/model.onnx",
    model_sha256="0" * 64,
    names=("person",),
    input_size=640,
    head="yolov8",
)


def make_manifest(clip: Path, **changes: Any) -> Manifest:
    """Return a manifest of a clip with some values changed."""
    values: dict[str, Any] = {
        "status": "complete",
        "truncated": False,
        "warnings": (),
        "source": InputRecord.of(make_info(path=clip)),
        "engine": ENGINE,
        "settings": settings_values(load()),
        "accounts": Accounts(frames_in=3, frames_written=2, frames_skipped={"frame_damaged": 1}),
        "timings": Timings(started_at="2026-01-01T00:00:00+00:00", wall_seconds=2.0, stages={"decode": 1.0}),
        "tracks": {"person": 2},
        "outputs": (),
    }
    return Manifest(**(values | changes))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Return a file of some bytes."""
    path = tmp_path / "Übung\n.mp4"
    path.write_bytes(b"x" * 1000)
    return path


def test_manifest_tells_everything_and_no_absolute_path(clip: Path, tmp_path: Path) -> None:
    """Every setting by its name, the engine really used, accounts, speed; paths by their last part."""
    target = tmp_path / "manifest.json"
    make_manifest(clip).write(target)
    text = target.read_text("utf-8")
    document = json.loads(text)
    assert document["settings"].keys() == env_names().keys()
    assert document["input"]["name"] == "Übung\n.mp4"
    assert document["model"]["name"] == "model.onnx"
    assert document["accounts"]["frames"] == {"in": 3, "written": 2, "skipped": {"frame_damaged": 1}}
    assert document["timings"]["frames_per_second"] == 1.0
    assert str(tmp_path) not in text
    assert text.endswith("}\n")
    assert is_ours(target)
    assert not is_ours(clip)


@pytest.mark.parametrize(
    ("accounts", "words"),
    [
        (Accounts(frames_in=3, frames_written=2), "frames do not balance: 3 in, 2 written, 0 skipped"),
        (Accounts(frames_in=0, frames_written=0, boxes=BoxCount(found=2, kept=1)), "boxes do not balance"),
    ],
)
def test_accounts_that_do_not_balance_are_refused(clip: Path, tmp_path: Path, accounts: Accounts, words: str) -> None:
    """A lost frame or box is a bug that must not be written down as a success."""
    with pytest.raises(RuntimeError, match=words):
        make_manifest(clip, accounts=accounts).write(tmp_path / "manifest.json")


def test_fingerprint_tells_contents_apart_and_names_not(tmp_path: Path) -> None:
    """The same bytes under another name are the same video; one changed byte of a large one's middle is another."""
    data = bytearray(400_000)
    first, second, third = (tmp_path / name for name in "abc")
    first.write_bytes(data)
    second.write_bytes(data)
    data[200_000] = 1
    third.write_bytes(data)
    assert fingerprint(first) == fingerprint(second) != fingerprint(third)


def test_tally_counts_each_track_once_and_sums_boxes() -> None:
    """Distinct tracks by class, boxes summed, the busiest frame; id 0 is no track."""
    tally = Tally()
    assert tally.add(make_tracks(0, [(1, 0, 0.5, 0, 0, 9, 9), (5000, 1, 0.5, 0, 0, 9, 9)])) == {0: 1, 1: 1}
    assert tally.add(make_tracks(1, [(1, 0, 0.5, 0, 0, 9, 9)])) == {}
    tally.add(make_tracks(2, [(0, 0, 0.5, 0, 0, 9, 9)]))
    assert tally.tracks == {0: 1, 1: 1}
    assert (tally.frames, tally.objects, tally.peak_objects) == (3, 4, 2)
    assert (tally.boxes.found, tally.boxes.kept, tally.boxes.merged, tally.boxes.suppressed) == (10, 4, 3, 3)
