"""`model build` from the model to the engine in its place: TensorRT is played, the comparison is real."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import onnx
import pytest

from tests.support.data import data_path
from tests.support.played_tensorrt import PlayedTensorRt
from tilewatch import engine_builder
from tilewatch.commands import model
from tilewatch.engine_builder import Built, Order, build
from tilewatch.engines.builder.nvidia import Tools
from tilewatch.engines.engine_card import file_sha256, read_card
from tilewatch.engines.openvino import OpenVinoEngine
from tilewatch.errors import ConfigError, EngineError, StoppedError, UsageError
from tilewatch.settings import load
from tilewatch.telemetry.build_progress import BuildProgress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tilewatch.engines.options import EngineOptions
    from tilewatch.parity import Parity

ORIN = SimpleNamespace(name="Orin", capability="8.7", runtime="12.6")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is kept goes to the test's own folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(engine_builder, "CHECK_TILES", 4)
    monkeypatch.setattr(engine_builder, "CALIBRATION_TILES", 2)
    return tmp_path / "cache"


@pytest.fixture
def trt() -> PlayedTensorRt:
    """The builder."""
    return PlayedTensorRt()


@pytest.fixture
def order(tmp_path: Path) -> Order:
    """A build of a real model in a folder of its own."""
    model = tmp_path / "models" / "yolox.onnx"
    model.parent.mkdir()
    model.write_bytes(data_path("models/yolox_nano.onnx").read_bytes())
    return Order(model=model, precision="fp32", videos=(data_path("clips/vtest.avi"),))


def running(content: bytes) -> Callable[[EngineOptions], Any]:
    """Return what runs an engine file here: OpenVINO with the model it is said to hold."""

    def made(options: EngineOptions) -> OpenVinoEngine:
        assert options.model.read_bytes() == b"a plan"
        card = read_card(options.model)
        assert card is not None and card.batch == options.batch  # noqa: PT018 -- the second needs the first
        stand_in = options.model.parents[2] / "stand_in.onnx"
        stand_in.write_bytes(content)
        return OpenVinoEngine(replace(options, model=stand_in, precision="f32"))

    return made


def done(order: Order, trt: PlayedTensorRt, content: bytes | None = None, *, progress: Any = None) -> Built:
    """Build, at 320 pixels."""
    tools = Tools(trt, ORIN, running(content or order.model.read_bytes()))
    seen: list[Parity] = []
    built = build(order, load(overrides={"TILE_SIZE": "320"}), tools, progress or BuildProgress(), _noting(seen))
    assert built.reused or seen[0].total.f1 > 0.9
    return built


def _noting(seen: list[Parity]) -> Callable[[Parity, tuple[str, ...]], None]:
    return lambda parity, _: seen.append(parity)


def names_in(folder: Path) -> list[str]:
    """Return what lies there."""
    return sorted(path.name for path in folder.iterdir())


def test_an_engine_lies_beside_its_model_with_its_card(order: Order, trt: PlayedTensorRt) -> None:
    """Everything the daemon wants to know of it is in the card, and nothing else is left."""
    built = done(order, trt)
    assert built == Built(order.model.with_suffix(".engine"), reused=False, batch=8)
    assert names_in(order.model.parent) == ["yolox.engine", "yolox.engine.json", "yolox.onnx"]
    card = read_card(built.path)
    assert card is not None
    assert (card.model_sha256, card.engine_sha256) == (file_sha256(order.model), file_sha256(built.path))
    assert (card.head, card.normalisation, card.input_size, card.batch) == ("yolox", "bgr255", 320, 8)
    assert (card.precision, card.tensorrt_version, card.compute_capability) == ("f32", "10.7.0.23", "8.7")
    assert trt.told["profile"][2] == (8, 3, 320, 320)


def test_the_same_build_is_not_done_twice(order: Order, trt: PlayedTensorRt) -> None:
    """Unless it is asked for, or anything of the key is another."""
    done(order, trt)
    assert done(order, trt).reused
    assert trt.builds == 1
    assert not done(replace(order, force=True), trt).reused
    assert not done(replace(order, batch=4), trt).reused
    trt.__version__ = "11.4.0.1"
    assert not done(replace(order, batch=4), trt).reused
    assert trt.builds == 4


def test_float16_and_int8_are_in_the_graph_that_tensorrt_gets(order: Order, trt: PlayedTensorRt) -> None:
    """Its input and outputs stay float32."""
    done(replace(order, precision="fp16"), trt)
    half = onnx.load_model_from_string(trt.told["network"])
    kinds = [tensor.data_type for tensor in half.graph.initializer if len(tensor.dims) == 4]
    assert set(kinds) == {onnx.TensorProto.FLOAT16}
    done(replace(order, precision="int8", calibrate=True), trt)
    quantised = onnx.load_model_from_string(trt.told["network"])
    assert any(node.op_type == "QuantizeLinear" for node in quantised.graph.node)
    for network in (half, quantised):
        values = [*network.graph.input, *network.graph.output]
        assert {value.type.tensor_type.elem_type for value in values} == {onnx.TensorProto.FLOAT}


def blind(content: bytes) -> bytes:
    """Return the model with all its weights 0."""
    model = onnx.load_model_from_string(content)
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 4:
            tensor.raw_data = bytes(len(tensor.raw_data))
    whole: bytes = model.SerializeToString()
    return whole


def test_an_engine_that_finds_nothing_is_refused_and_what_was_there_stays(order: Order, trt: PlayedTensorRt) -> None:
    """A miscompiled engine must not take the place of one that works."""
    kept = done(order, trt).path
    before = file_sha256(kept)
    with pytest.raises(EngineError, match="finds nothing") as caught:
        done(replace(order, force=True), trt, blind(order.model.read_bytes()))
    assert caught.value.exit_code == 70
    assert file_sha256(kept) == before
    assert names_in(order.model.parent) == ["yolox.engine", "yolox.engine.json", "yolox.onnx"]


def test_a_stop_leaves_nothing(order: Order, trt: PlayedTensorRt) -> None:
    """Neither a half engine nor a hidden folder."""
    progress = BuildProgress()
    progress.stop()
    with pytest.raises(StoppedError) as caught:
        done(order, trt, progress=progress)
    assert caught.value.exit_code == 75
    assert names_in(order.model.parent) == ["yolox.onnx"]


def test_timings_serve_the_next_build(order: Order, trt: PlayedTensorRt, cache: Path) -> None:
    """Of the same device and version."""
    done(order, trt)
    (file,) = (cache / "tilewatch" / "tensorrt").iterdir()
    assert file.read_bytes() == b" and more"
    done(replace(order, force=True), trt)
    assert file.read_bytes() == b" and more and more"


def test_what_cannot_be_meant_is_refused_before_any_work(order: Order, trt: PlayedTensorRt, tmp_path: Path) -> None:
    """The remedy is in the message."""
    with pytest.raises(UsageError, match="--calibrate VIDEO"):
        done(replace(order, precision="int8"), trt)
    with pytest.raises(UsageError, match=r"ends in \.engine"):
        done(replace(order, output=tmp_path / "model.plan"), trt)
    with pytest.raises(ConfigError, match="No such file"):
        done(replace(order, model=tmp_path / "absent.onnx"), trt, b"nothing")
    assert trt.builds == 0


def test_a_build_runs_beside_the_main_thread() -> None:
    """Or Ctrl-C would not be heard while TensorRT works."""
    work = model._interruptible(threading.current_thread, BuildProgress(), "building")  # noqa: SLF001 -- the seam of the signal
    assert asyncio.run(work) is not threading.main_thread()


@pytest.mark.parametrize(
    ("output", "path", "word"),
    [
        (None, "models/m.engine", ""),
        (None, "cache/engines/m-0.engine", "in the cache"),
        ("elsewhere/m.engine", "elsewhere/m.engine", "set MODEL_PATH="),
    ],
)
def test_where_the_engine_lies_is_said(
    tmp_path: Path, output: str | None, path: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what to do about it: nothing, where the daemon finds it by itself."""
    order = Order(model=tmp_path / "models" / "m.onnx", output=tmp_path / output if output else None)
    model._tell(Built(tmp_path / path, reused=False, batch=8), order)  # noqa: SLF001 -- what a person reads
    said = capsys.readouterr()
    assert said.out.strip() == str(tmp_path / path)
    assert word in said.err
    assert bool(word) == bool(said.err)
