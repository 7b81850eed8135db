"""What is asked of TensorRT's builder, and what is made of its answers."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from tests.support.played_tensorrt import PlayedTensorRt
from tilewatch.engines.builder.compiler import Limits, Plan, compile_plan
from tilewatch.errors import ConfigError, EngineError, StoppedError

LIMITS = Limits(batch=8, size=640, workspace_mib=512)


class Onlooker:
    """Notes what it is shown; ends the build when told to."""

    def __init__(self, *, patience: int = 100) -> None:
        self.seen: list[tuple[str, ...]] = []
        self._patience = patience

    def begin(self, phase: str, parent: str | None, steps: int) -> None:
        """See a phase."""
        self.seen.append(("begin", phase, str(parent), str(steps)))

    def step(self, phase: str, done: int) -> bool:
        """See steps."""
        self.seen.append(("step", phase, str(done)))
        self._patience -= 1
        return self._patience > 0

    def end(self, phase: str) -> None:
        """See its end."""
        self.seen.append(("end", phase))

    def check(self) -> None:
        """Have had enough."""
        if self._patience <= 0:
            raise StoppedError("enough")


def test_the_profile_goes_from_one_tile_to_a_full_batch_and_is_tuned_for_that() -> None:
    """Any batch is allowed; the full one is what a busy device gets."""
    trt = PlayedTensorRt()
    assert compile_plan(trt, b"onnx", LIMITS, Onlooker()) == Plan(b"a plan", b" and more")
    assert trt.told["profile"] == ("images", (1, 3, 640, 640), (8, 3, 640, 640), (8, 3, 640, 640))
    assert trt.told["workspace"] == 512 * 1024 * 1024
    assert trt.told["network"] == b"onnx"


@pytest.mark.parametrize(("strongly_typed", "flags"), [(True, 2), (False, 0)])
def test_the_network_is_strongly_typed_by_the_flags_name(strongly_typed: bool, flags: int) -> None:
    """TensorRT 10 has to be told, where the flag is gone there is nothing else."""
    trt = PlayedTensorRt(strongly_typed=strongly_typed)
    compile_plan(trt, b"onnx", LIMITS, Onlooker())
    assert trt.told["flags"] == flags


@pytest.mark.parametrize(("name", "kept"), [("tensorrt", False), ("tensorrt_rtx", True)])
def test_a_builder_and_its_memory_are_let_go_of_where_that_ends_no_process(name: str, kept: bool) -> None:
    """The logger stays: TensorRT keeps the first one for the whole process."""
    trt = PlayedTensorRt(name=name)
    compile_plan(trt, b"onnx", LIMITS, Onlooker())
    gc.collect()
    assert (trt.told["builder"]() is not None) == kept
    assert trt.told["logger"]() is not None


def test_progress_is_passed_on() -> None:
    """Phases with their parents, steps counted from 1."""
    onlooker = Onlooker()
    compile_plan(PlayedTensorRt(), b"onnx", LIMITS, onlooker)
    assert onlooker.seen == [
        ("begin", "Building engine", "None", "2"),
        ("begin", "Timing tactics", "Building engine", "1"),
        ("step", "Timing tactics", "1"),
        ("end", "Timing tactics"),
        ("step", "Building engine", "1"),
        ("end", "Building engine"),
    ]


def test_an_onlooker_ends_the_build() -> None:
    """A stop is a stop, not a failure of TensorRT."""
    with pytest.raises(StoppedError, match="enough"):
        compile_plan(PlayedTensorRt(), b"onnx", LIMITS, Onlooker(patience=1))


def test_an_operator_that_is_not_supported_is_named_with_its_node() -> None:
    """The person who exported the model can find it."""
    trt = PlayedTensorRt()
    trt.parse_errors = [("GridSample", "/neck/sample", "no importer\n registered")]
    with pytest.raises(ConfigError, match=r"10\.7\.0\.23.*GridSample at node '/neck/sample': no importer registered"):
        compile_plan(trt, b"onnx", LIMITS, Onlooker())


def test_a_build_that_fails_says_what_tensorrt_said_once() -> None:
    """Logger and recorder tell the same."""
    trt = PlayedTensorRt()
    trt.plan, trt.complaint = None, "Could not find any implementation for node Conv_7"
    with pytest.raises(EngineError) as caught:
        compile_plan(trt, b"onnx", LIMITS, Onlooker())
    assert str(caught.value).count("Conv_7") == 1


def test_a_refused_profile_is_an_error() -> None:
    """A batch the network cannot have."""
    trt = PlayedTensorRt()
    trt.profile_index = -1
    with pytest.raises(EngineError, match="--batch 1"):
        compile_plan(trt, b"onnx", LIMITS, Onlooker())


@pytest.mark.parametrize(("foreign", "kept"), [(b"", b"earlier and more"), (b"earlier", b" and more")])
def test_timings_of_another_device_are_not_used(foreign: bytes, kept: bytes) -> None:
    """They would choose kernels by wrong measurements."""
    trt = PlayedTensorRt()
    trt.foreign_timings = foreign
    assert compile_plan(trt, b"onnx", LIMITS, Onlooker(), timings=b"earlier").timings == kept


def test_a_device_that_tensorrt_cannot_use_is_an_engine_error() -> None:
    """Its factory then gives nothing, which the binding reports as a wrong type."""
    trt = PlayedTensorRt()

    def nothing(logger: Any) -> None:
        logger.log("error", "CUDA initialization failure with error: 35")
        raise TypeError("factory function returned nullptr")

    trt.Builder = nothing
    with pytest.raises(EngineError, match="gives no builder: CUDA initialization failure"):
        compile_plan(trt, b"onnx", LIMITS, Onlooker())
