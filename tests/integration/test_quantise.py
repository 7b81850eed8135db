"""Eight bits, on real footage and the engines of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

from tests.support.data import data_path
from tests.support.models import tiny_detector
from tilewatch import engine_builder
from tilewatch.engines import graft, graph
from tilewatch.engines.builder import quantise
from tilewatch.engines.options import EngineOptions
from tilewatch.engines.select import ENGINES
from tilewatch.errors import ConfigError, EngineError, InputError
from tilewatch.sampling import samples
from tilewatch.settings import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tilewatch.parity import Parity
    from tilewatch.records import U8

CLIPS = ("clips/vtest.avi", "clips/car-detection.mp4")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled models go to the test's own folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def few_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough to be right, quick enough for a test."""
    monkeypatch.setattr(engine_builder, "CALIBRATION_TILES", 16)
    monkeypatch.setattr(engine_builder, "CHECK_TILES", 8)


def tiles(count: int) -> Iterator[U8]:
    """Yield tiles of a real video."""
    return (sample.pixels(640) for sample in samples([data_path(CLIPS[0])], load(), count))


def _never() -> None:
    """Never stop."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("name", "side"), [("yolov8n", "640"), ("yolox_nano", "320")])
def test_one_quantised_file_serves_every_engine(tmp_path: Path, name: str, side: str) -> None:
    """Each finds what the float model finds, nearly: OpenVINO with Concat before convolutions, too."""
    settings = load(overrides={"TILE_SIZE": side})
    out = tmp_path / "model.int8.onnx"
    seen: dict[str, Parity] = {}
    engine_builder.quantise_model(
        data_path(f"models/{name}.onnx"),
        out,
        tuple(map(data_path, CLIPS)),
        settings,
        _never,
        lambda backend, parity, _: seen.update({backend: parity}),
    )
    assert set(seen) == set(ENGINES)
    assert all(parity.total.f1 > 0.8 and parity.total.reference > 10 for parity in seen.values())
    _check_form(onnx.load(out))
    for engine in ENGINES.values():
        made = engine(EngineOptions(model=out, size=int(side)))
        made.open()
        assert made.info.precision == "int8"
        made.close()


def _check_form(model: onnx.ModelProto) -> None:
    """Signed, symmetric, biases in float, the last convolutions untouched: what TensorRT takes."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    points = {node.input[2] for node in model.graph.node if node.op_type in {"QuantizeLinear", "DequantizeLinear"}}
    assert {tensors[point].data_type for point in points} == {onnx.TensorProto.INT8}
    assert not any(onnx.numpy_helper.to_array(tensors[point]).any() for point in points)
    by_output = {output: node.op_type for node in model.graph.node for output in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    inside = [node for node in convolutions if by_output.get(node.input[1]) == "DequantizeLinear"]
    assert len(inside) > len(convolutions) / 3
    assert all(by_output.get(node.input[0]) == "DequantizeLinear" for node in inside)
    assert not any(by_output.get(node.input[2]) for node in convolutions if len(node.input) > 2)


def test_the_same_footage_gives_the_same_file() -> None:
    """And the file says what it was calibrated on."""
    options = EngineOptions(model=data_path("models/yolox_nano.onnx"))
    made = [quantise.quantised(graph.read(options), tiles(4)) for _ in range(2)]
    assert made[0].SerializeToString(deterministic=True) == made[1].SerializeToString(deterministic=True)
    assert any(entry.key == quantise.KEY and '"tiles": 4' in entry.value for entry in made[0].metadata_props)


def test_unsigned_activations_are_the_same_numbers() -> None:
    """The form OpenVINO gets computes what the file says, to the bit."""
    runtime = pytest.importorskip("onnxruntime")
    options = EngineOptions(model=data_path("models/yolox_nano.onnx"))
    some = [*tiles(2)]
    signed = quantise.quantised(graph.read(options), some)
    unsigned = onnx.ModelProto()
    unsigned.CopyFrom(signed)
    graft.unsigned(unsigned)
    assert unsigned != signed
    planes = some[0][:1, ..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
    settings = runtime.SessionOptions()
    settings.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.log_severity_level = 3
    outputs = [
        runtime.InferenceSession(model.SerializeToString(), settings).run(None, {"images": planes})[0]
        for model in (signed, unsigned)
    ]
    np.testing.assert_array_equal(*outputs)


def test_a_result_that_finds_nothing_is_refused_and_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights lost on the way."""
    whole = quantise.quantised

    def ruined(*given: object) -> onnx.ModelProto:
        model = whole(*given)  # type: ignore[arg-type]  # passed on
        for tensor in model.graph.initializer:
            if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 4:
                tensor.raw_data = bytes(len(tensor.raw_data))
        return model

    monkeypatch.setattr(quantise, "quantised", ruined)
    with pytest.raises(EngineError, match="finds nothing"):
        engine_builder.quantise_model(
            data_path("models/yolox_nano.onnx"),
            tmp_path / "out" / "q.onnx",
            (data_path(CLIPS[0]),),
            load(overrides={"TILE_SIZE": "320"}),
            _never,
            lambda *_: None,
        )
    assert not list((tmp_path / "out").iterdir())


def test_what_cannot_be_quantised_is_refused(tmp_path: Path) -> None:
    """A model that is quantised already, one in float16, and no footage."""
    half = tiny_detector(tmp_path / "half.onnx", kind=onnx.TensorProto.FLOAT16)
    with pytest.raises(ConfigError, match="float16"):
        quantise.quantised(graph.read(EngineOptions(model=half, size=64)), [])
    options = EngineOptions(model=data_path("models/yolox_nano.onnx"))
    with pytest.raises(InputError, match="no tile"):
        quantise.quantised(graph.read(options), [])
    done = tmp_path / "done.onnx"
    some = [*tiles(1)]
    onnx.save(quantise.quantised(graph.read(options), some), done)
    with pytest.raises(ConfigError, match="quantised already"):
        quantise.quantised(graph.read(EngineOptions(model=done)), some)
