"""The card beside an engine: comes back as it was written, or is refused with what is wrong in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tilewatch.engines.engine_card import EngineCard, card_path, file_sha256, read_card, write_card
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

CARD = EngineCard(
    model_sha256="a" * 64,
    model_name="yolo11n.onnx",
    names=("person", "car"),
    head="yolov8",
    input_size=640,
    normalisation="rgb01",
    precision="f16",
    batch=8,
    tensorrt_version="10.7.0.23",
    cuda_version="12.6",
    device_name="Orin",
    compute_capability="8.7",
    engine_sha256="b" * 64,
    built_at="2026-01-02T03:04:05+00:00",
    tilewatch_version="0.1.0",
)


def test_card_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """It lies beside the engine, under the engine's whole name."""
    engine = tmp_path / "yolo.v2.engine"
    write_card(engine, CARD)
    assert card_path(engine) == tmp_path / "yolo.v2.engine.json"
    assert json.loads(card_path(engine).read_text(encoding="utf-8"))["schema"] == 1
    assert read_card(engine) == CARD


def test_engine_without_a_card_has_none(tmp_path: Path) -> None:
    """As one that trtexec made."""
    assert read_card(tmp_path / "model.engine") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema"),
        ({"batch": "many"}, "batch"),
        ({"precision": "fp16"}, "precision"),
        ({"names": None}, "names"),
    ],
)
def test_card_that_is_none_is_refused_by_its_field(tmp_path: Path, change: dict[str, object], message: str) -> None:
    """One line that says which field and what to do."""
    engine = tmp_path / "model.engine"
    write_card(engine, CARD)
    changed = json.loads(card_path(engine).read_text(encoding="utf-8")) | change
    card_path(engine).write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"model\.engine\.json: {message}: .*build the engine again") as caught:
        read_card(engine)
    assert "\n" not in str(caught.value)


def test_card_cut_short_is_refused(tmp_path: Path) -> None:
    """A copy that broke off."""
    engine = tmp_path / "model.engine"
    card_path(engine).write_text('{"schema": 1', encoding="utf-8")
    with pytest.raises(ConfigError, match="the file: Invalid JSON"):
        read_card(engine)


def test_card_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """A folder stands in its place."""
    card_path(tmp_path / "model.engine").mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        read_card(tmp_path / "model.engine")


def test_hash_of_a_file(tmp_path: Path) -> None:
    """The known hash of nothing, and an error for a file that is not there."""
    empty = tmp_path / "empty"
    empty.touch()
    assert file_sha256(empty) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    with pytest.raises(ConfigError, match="absent: No such file"):
        file_sha256(tmp_path / "absent")
