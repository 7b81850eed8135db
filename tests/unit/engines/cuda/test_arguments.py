"""The real functions of cuda-python take the arguments the engine gives: without a driver they fail after that."""

from __future__ import annotations

import importlib
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.support.engine_contract import COLOURS, NAMES, painted
from tests.support.fake_cuda import Call, Handle
from tests.support.models import SIDE
from tests.support.nvidia import machine, tiny_engine
from tilewatch.engines.options import EngineOptions
from tilewatch.engines.tensorrt import TensorRtEngine

if TYPE_CHECKING:
    from pathlib import Path

HANDLES = {
    "cudaEventRecord": {0: "cudaEvent_t"},
    "cudaEventSynchronize": {0: "cudaEvent_t"},
    "cudaEventDestroy": {0: "cudaEvent_t"},
    "cudaStreamWaitEvent": {1: "cudaEvent_t"},
    "cudaStreamDestroy": {0: "cudaStream_t"},
    "cudaGraphInstantiate": {0: "cudaGraph_t"},
    "cudaGraphDestroy": {0: "cudaGraph_t"},
    "cudaGraphLaunch": {0: "cudaGraphExec_t"},
    "cudaGraphExecDestroy": {0: "cudaGraphExec_t"},
    "cuModuleGetFunction": {0: "CUmodule"},
    "cuModuleUnload": {0: "CUmodule"},
    "cuLaunchKernel": {0: "CUfunction"},
}
"""Arguments that are the real package's own objects, by function and place; the played ones are numbers."""


@pytest.fixture
def calls(tmp_path: Path) -> list[Call]:
    """Return every call of an engine's life, one of each kind, on a card and on a Jetson."""
    found: dict[tuple[Any, ...], Call] = {}
    for integrated in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            played = machine(patch, integrated=integrated)
            engine = TensorRtEngine(EngineOptions(model=tiny_engine(tmp_path / "tiny.engine", NAMES), size=SIDE))
            engine.open()
            engine.warm_up()
            engine.release(painted(engine, COLOURS))
            slot = painted(engine, np.concatenate([COLOURS, COLOURS]))
            engine.submit([(slot, 0)])
            engine.collect()
            engine.close()
            for call in played.cuda.calls:
                kind = (call.name, *map(type, call.arguments))
                found[kind] = call
    return list(found.values())


def real_modules() -> tuple[Any, Any]:
    """Return cuda-python's runtime and driver; skip where they are not, or where a driver would act on the calls."""
    try:
        runtime, driver = (importlib.import_module(f"cuda.bindings.{name}") for name in ("runtime", "driver"))
    except ModuleNotFoundError:
        pytest.skip("cuda-python is not installed")
    try:
        status, _ = runtime.cudaGetDeviceCount()
    except RuntimeError:  # cuda-python 12.6 without a driver
        return runtime, driver
    if not status:
        pytest.skip("there is a driver, which would act on made-up addresses: see tests/gpu")
    return runtime, driver


def test_real_functions_take_what_they_are_given(calls: list[Call]) -> None:
    """No argument is of a wrong type or out of range; what comes back is a failure for want of a driver."""
    runtime, driver = real_modules()
    asked = [call for call in calls if call.name.startswith("cu")]
    assert len({call.name for call in asked}) > 25
    for call in asked:
        home = runtime if call.name.startswith("cuda") else driver
        arguments = [_real(home, call, place) for place in range(len(call.arguments))]
        with suppress(RuntimeError):  # the driver's library is not there
            getattr(home, call.name)(*arguments)  # TypeError, ValueError, OverflowError: what must not be


def _real(home: Any, call: Call, place: int) -> Any:
    """Return an argument as it would be with the real package."""
    given = call.arguments[place]
    if isinstance(given, Enum):
        return getattr(getattr(home, type(given).__name__), given.name)
    kind = HANDLES.get(call.name, {}).get(place)
    assert not isinstance(given, Handle) or kind, f"{call.name}: argument {place} is an object of the real package"
    return getattr(home, kind)() if kind else given
