"""What a model file is said to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest

from tests.support.models import SIDE, tiny_detector
from tilewatch.engines.describe import describe
from tilewatch.engines.engine_card import EngineCard, file_sha256, write_card
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

CFG = """[net]
width=416
height=416
[convolutional]
filters=255
size=1
[yolo]
mask=0,1,2
anchors=10,14, 23,27, 37,58
classes=80
num=3
"""


@pytest.mark.parametrize(("kind", "precision"), [(onnx.TensorProto.FLOAT, "f32"), (onnx.TensorProto.FLOAT16, "f16")])
def test_an_onnx_model_is_described(tmp_path: Path, kind: int, precision: str) -> None:
    """Inputs, outputs, head, names, precision: all that decides how it is run."""
    model = tiny_detector(tmp_path / "m.onnx", kind=kind, metadata={"names": "['red', 'green', 'blue']"})
    facts = describe(model, 640)
    assert (facts["kind"], facts["precision"], facts["opset"]) == ("onnx", precision, {"ai.onnx": 13})
    assert facts["inputs"][0]["shape"] == ["n", 3, SIDE, SIDE]
    assert (facts["head"], facts["batch"], facts["names"]) == ("yolov8", "free", ["red", "green", "blue"])
    assert facts["sha256"] == file_sha256(model)
    assert facts["problems"] == []


def test_what_keeps_a_model_from_being_used_is_said(tmp_path: Path) -> None:
    """A classifier, here: facts first, then why not."""
    model = tiny_detector(tmp_path / "m.onnx", metadata={"task": "classify"})
    facts = describe(model, 640)
    assert facts["inputs"][0]["name"] == "images"
    assert "classify" in facts["problems"][0]


@pytest.mark.parametrize("named", ["y.cfg", "y.weights"])
def test_a_darknet_pair_is_described_by_either_file(tmp_path: Path, named: str) -> None:
    """With the command that imports it."""
    (tmp_path / "y.cfg").write_text(CFG)
    (tmp_path / "y.weights").write_bytes(b"0" * 100)
    facts = describe(tmp_path / named, 640)
    assert (facts["kind"], facts["input_size"], facts["classes"], facts["heads"]) == ("darknet", [416, 416], 80, 1)
    assert facts["weights_bytes"] == 100
    assert facts["advice"].startswith("tilewatch model import")
    assert facts["problems"] == []


def test_half_a_darknet_pair_is_a_problem(tmp_path: Path) -> None:
    """Which file is missing is said."""
    (tmp_path / "y.cfg").write_text(CFG)
    assert "y.weights is missing" in describe(tmp_path / "y.cfg", 640)["problems"][0]


def test_an_engine_is_described_by_its_card_and_held_against_this_machine(tmp_path: Path) -> None:
    """What it was built from and for; and why it cannot run here."""
    engine = tmp_path / "m.engine"
    engine.write_bytes(b"a plan")
    card = EngineCard(
        model_sha256="0" * 64,
        model_name="m.onnx",
        names=("person",),
        head="yolov8",
        input_size=640,
        normalisation="rgb01",
        precision="f16",
        batch=8,
        tensorrt_version="10.7.0.23",
        cuda_version="12.6",
        device_name="Orin",
        compute_capability="8.7",
        engine_sha256=file_sha256(engine),
        built_at="2026-01-01T00:00:00+00:00",
        tilewatch_version="0.1.0",
    )
    write_card(engine, card)
    facts = describe(engine, 640)
    assert (facts["device_name"], facts["precision"], facts["names"]) == ("Orin", "f16", ["person"])
    assert any("this machine cannot run it" in problem or "8.7" in problem for problem in facts["problems"])
    engine.write_bytes(b"another")
    assert "sha256" in describe(engine, 640)["problems"][0]


def test_an_engine_without_a_card_says_so(tmp_path: Path) -> None:
    """As one that trtexec made."""
    (tmp_path / "m.plan").write_bytes(b"a plan")
    assert "no card" in describe(tmp_path / "m.plan", 640)["problems"][0]


def test_other_files_are_refused(tmp_path: Path) -> None:
    """With what is known; and a missing file is a missing file."""
    (tmp_path / "m.pt").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"\.onnx"):
        describe(tmp_path / "m.pt", 640)
    with pytest.raises(ConfigError, match="No such file"):
        describe(tmp_path / "m.onnx", 640)
