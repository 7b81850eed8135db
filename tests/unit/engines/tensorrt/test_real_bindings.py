"""Real TensorRT objects, as far as they need no device: those of TensorRT-RTX, whose bindings are TensorRT's own."""

from __future__ import annotations

import inspect
import re
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support import fake_tensorrt
from tilewatch.engines.tensorrt import outputs
from tilewatch.engines.tensorrt.journal import Journal
from tilewatch.errors import EngineError

trt: Any = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install tensorrt-rtx-cu13")
PLAYED = (fake_tensorrt.Runtime, fake_tensorrt.ICudaEngine, fake_tensorrt.IExecutionContext)
OWN = {"package", "session", "recorder", "tensors", "error_recorder"}


def test_reasons_of_real_failures_are_kept() -> None:
    """By logger and error recorder, which the real classes call back."""
    journal = Journal(trt)
    builder = trt.Builder(journal.logger)
    builder.error_recorder = journal.recorder
    network = builder.create_network(0)
    source = network.add_input("x", trt.float32, (-1, 3, 8, 8))
    network.mark_output(network.add_identity(source).get_output(0))
    assert builder.build_serialized_network(network, builder.create_builder_config()) is None
    failure = journal.failure("building")
    assert isinstance(failure, EngineError)
    assert "TensorRT: building failed: " in str(failure)
    assert "no optimization profile has been defined" in str(failure)
    assert "\n" not in str(failure)
    assert journal.recorder.get_num_errors() >= 1


@pytest.mark.parametrize("played", PLAYED)
def test_played_methods_are_those_of_the_bindings(played: type) -> None:
    """Parameter by parameter, in one of the forms a method has."""
    theirs = getattr(trt, played.__name__)
    for name, value in vars(played).items():
        if name.startswith("_") or name in OWN:
            continue
        assert hasattr(theirs, name), name
        if inspect.isfunction(value):
            ours = list(inspect.signature(value).parameters)[1:]
            forms = re.findall(rf"{name}\(self: [^,)]+((?:, \w+: [^)]*?)?)\) ->", getattr(theirs, name).__doc__)
            named = [re.findall(r"(\w+): ", form) for form in forms]
            assert any(ours == form[: len(ours)] for form in named), (name, ours, named)


def test_output_allocator_is_one_of_theirs() -> None:
    """What TensorRT is given to call back."""
    shapes: list[tuple[int, ...]] = []
    plan, output = SimpleNamespace(trt=trt, journal=Journal(trt)), SimpleNamespace(became=shapes.append)
    made = outputs._allocator(None, plan, output)  # type: ignore[arg-type]  # noqa: SLF001 -- made inside an engine
    assert isinstance(made, trt.IOutputAllocator)
    made.notify_shape("output0", trt.Dims((2, 7, 84)))
    assert shapes == [(2, 7, 84)]


def test_names_of_enumerations_are_theirs() -> None:
    """Used by name only."""
    enums = (
        fake_tensorrt.TensorIOMode,
        fake_tensorrt.DataType,
        fake_tensorrt.TensorFormat,
        fake_tensorrt.ExecutionContextAllocationStrategy,
    )
    for enum in enums:
        for member in enum:
            assert getattr(getattr(trt, enum.__name__), member.name).name == member.name
    assert all(hasattr(trt.DataType, name) for name in outputs.DTYPES)
    assert all(hasattr(trt.ILogger.Severity, member.name) for member in fake_tensorrt.ILogger.Severity)
    assert trt.init_libnvinfer_plugins.__doc__.startswith("init_libnvinfer_plugins(logger")
