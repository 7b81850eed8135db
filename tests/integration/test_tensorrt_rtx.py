"""The build route on TensorRT-RTX, whose builder needs neither device nor driver: the real parser and optimiser.

It is a sibling of TensorRT with the same interface; what it builds cannot be run here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.support.data import data_path
from tilewatch.engines import graft, graph
from tilewatch.engines.builder import halve, quantise
from tilewatch.engines.builder.compiler import Limits, compile_plan
from tilewatch.engines.options import EngineOptions
from tilewatch.errors import ConfigError, StoppedError
from tilewatch.sampling import samples
from tilewatch.settings import load
from tilewatch.telemetry.build_progress import BuildProgress

if TYPE_CHECKING:
    from types import ModuleType

pytestmark = pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")

LIMITS = Limits(batch=8, size=640, workspace_mib=512)


@pytest.fixture(scope="module")
def rtx() -> ModuleType:
    """TensorRT-RTX."""
    module: ModuleType = pytest.importorskip(
        "tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install tensorrt-rtx-cu13"
    )
    return module


class Onlooker(BuildProgress):
    """Counts what it is shown."""

    def __init__(self, *, stop_after: int | None = None) -> None:
        super().__init__()
        self.phases: list[str] = []
        self.open: set[str] = set()
        self.steps = 0
        self._stop_after = stop_after

    def begin(self, phase: str, parent: str | None, steps: int) -> None:
        """Note a phase."""
        super().begin(phase, parent, steps)
        self.phases.append(phase)
        self.open.add(phase)

    def step(self, phase: str, done: int) -> bool:
        """Note a step."""
        self.steps += 1
        if self.steps == self._stop_after:
            self.stop()
        return super().step(phase, done)

    def end(self, phase: str) -> None:
        """Note an end."""
        super().end(phase)
        self.open.discard(phase)


def network(name: str, precision: str) -> bytes:
    """Return a real model as a build would give it to TensorRT."""
    detector = graph.read(EngineOptions(model=data_path(f"models/{name}.onnx")))
    graft.set_input_shape(detector.model, detector.image.name, (graft.BATCH, 3, 640, 640))
    model = detector.model
    if precision == "fp16":
        model = halve.halved(model)
    if precision == "int8":
        tiles = (sample.pixels(640) for sample in samples([data_path("clips/vtest.avi")], load(), 2))
        model = quantise.quantised(detector, tiles)
    content: bytes = model.SerializeToString()
    return content


@pytest.mark.parametrize("name", ["yolox_nano", "yolov8n"])
def test_real_models_build_in_every_precision(rtx: ModuleType, name: str) -> None:
    """With a batch of 1 to 8, progress to the end, and 16 bits taking less room than 32."""
    sizes = {}
    for precision in ("fp32", "fp16", "int8"):
        onlooker = Onlooker()
        plan = compile_plan(rtx, network(name, precision), LIMITS, onlooker)
        sizes[precision] = len(plan.content)
        assert onlooker.phases[0] == "Building engine"
        assert not onlooker.open
        assert onlooker.steps > 100
    assert sizes["fp16"] < sizes["fp32"]


def test_a_build_ends_at_its_next_step_when_it_is_stopped(rtx: ModuleType) -> None:
    """TensorRT gives nothing, and that is no failure of it."""
    onlooker = Onlooker(stop_after=20)
    with pytest.raises(StoppedError):
        compile_plan(rtx, network("yolox_nano", "fp32"), LIMITS, onlooker)
    assert onlooker.steps < 2000


def unsupported() -> bytes:
    """Return a model with an operator nobody knows."""
    node = helper.make_node("Fathom", ["images"], ["out"], name="/neck/fathom", domain="com.example")
    value = helper.make_tensor_value_info("images", TensorProto.FLOAT, ("n", 3, 640, 640))
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("com.example", 1)]
    model = helper.make_model(helper.make_graph([node], "g", [value], [out]), opset_imports=opsets, ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def test_an_operator_that_is_not_supported_is_named_with_its_node(rtx: ModuleType) -> None:
    """As the parser itself tells it."""
    with pytest.raises(ConfigError, match=r"operator Fathom at node '/neck/fathom'"):
        compile_plan(rtx, unsupported(), LIMITS, Onlooker())


def test_a_network_that_cannot_be_built_says_why(rtx: ModuleType) -> None:
    """A model whose input is fixed to another size than the profile's."""
    detector = graph.read(EngineOptions(model=data_path("models/yolox_nano.onnx")))
    graft.set_input_shape(detector.model, detector.image.name, (graft.BATCH, 3, 640, 640))
    with pytest.raises(Exception, match=r"images|profile|[Dd]imension") as caught:
        compile_plan(rtx, detector.model.SerializeToString(), Limits(batch=8, size=320), Onlooker())
    assert "it gave no reason" not in str(caught.value)


def test_timings_come_back_and_are_taken_again(rtx: ModuleType) -> None:
    """Also when the file holds something else: then it begins anew. TensorRT-RTX itself measures nothing."""
    detector = network("yolox_nano", "fp32")
    first = compile_plan(rtx, detector, LIMITS, Onlooker())
    again = compile_plan(rtx, detector, LIMITS, Onlooker(), timings=first.timings)
    anew = compile_plan(rtx, detector, LIMITS, Onlooker(), timings=b"no timing cache")
    assert all(len(plan.content) == len(first.content) for plan in (again, anew))


def test_float16_keeps_inputs_and_outputs_and_the_boxes_arithmetic_in_32_bits() -> None:
    """What the program gives and reads stays float32, boxes stay within a fraction of a pixel."""
    runtime = pytest.importorskip("onnxruntime")
    detector = graph.read(EngineOptions(model=data_path("models/yolov8n.onnx")))
    tiles = next(iter(samples([data_path("clips/vtest.avi")], load(), 2))).pixels(640)[:1]
    planes = tiles.transpose(0, 3, 1, 2).astype(np.float32) / 255
    whole = onnx.ModelProto()
    whole.CopyFrom(detector.model)
    half = halve.halved(detector.model)
    expected, found = (
        runtime.InferenceSession(model.SerializeToString()).run(None, {"images": planes})[0] for model in (whole, half)
    )
    assert found.dtype == np.float32
    sure = expected[0, 4:].max(axis=0) > 0.25
    assert sure.sum() > 10
    np.testing.assert_allclose(found[0, :4, sure], expected[0, :4, sure], atol=1.0)
    np.testing.assert_allclose(found[0, 4:], expected[0, 4:], atol=0.02)
    assert len(half.SerializeToString()) < 0.6 * len(whole.SerializeToString())
