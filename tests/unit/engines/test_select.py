"""Which engine BACKEND means on which machine."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from tests.support.fake_cuda import FakeCuda, cudaError_t
from tests.support.nvidia import machine
from tilewatch.engines.select import ENGINES, choose
from tilewatch.engines.tensorrt import TensorRtEngine
from tilewatch.engines.tensorrt.plan import runtime_module
from tilewatch.errors import ConfigError

ONNX, ENGINE = Path("model.onnx"), Path("model.engine")


@pytest.fixture(params=["no cuda-python", "no driver", "no device", "no tensorrt", "stubs"])
def bare(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Machines that lack something of the NVIDIA path."""
    played = machine(monkeypatch)
    match request.param:
        case "no cuda-python":
            monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
        case "no driver":
            played.cuda.failures["cudaGetDeviceCount"] = cudaError_t.cudaErrorInsufficientDriver
        case "no device":
            played.cuda.devices = 0
        case "no tensorrt":
            monkeypatch.setattr(
                "tilewatch.engines.select.find_spec", lambda name: None if name == "tensorrt" else object()
            )
        case _:
            monkeypatch.setattr(sys.modules["tensorrt"], "__spec__", ModuleSpec("tensorrt", None, is_package=True))
    return str(request.param)


def test_nvidia_machine_takes_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless another one is named."""
    machine(monkeypatch)
    for backend in ("auto", "tensorrt"):
        assert choose(backend, ONNX) is choose(backend, ENGINE) is TensorRtEngine
    assert choose("openvino", ONNX) is ENGINES["openvino"]


def test_machine_without_it_takes_the_processor(bare: str) -> None:
    """Whatever is missing; 'auto' asks nobody to install anything."""
    assert bare
    assert choose("auto", ONNX) is ENGINES["openvino"]


def test_named_tensorrt_that_cannot_be_had_is_an_error(bare: str) -> None:
    """It says what is missing; so does an engine file, which only TensorRT can run."""
    missing = {
        "no cuda-python": "needs the package cuda-python",
        "no driver": "no NVIDIA driver in reach",
        "no device": "CUDA sees none",
        "no tensorrt": "needs the package tensorrt",
        "stubs": "needs the package tensorrt",
    }[bare]
    for backend, model in (("tensorrt", ONNX), ("tensorrt", ENGINE), ("auto", ENGINE)):
        with pytest.raises(ConfigError, match=missing):
            choose(backend, model)


def test_engine_file_is_nothing_for_the_processor() -> None:
    """OpenVINO cannot read it, and would say so less clearly."""
    with pytest.raises(ConfigError, match=r"BACKEND=openvino cannot run the TensorRT engine model\.engine"):
        choose("openvino", ENGINE)


def test_device_is_asked_before_tensorrt_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which does not survive its absence."""
    FakeCuda(devices=0).install(monkeypatch)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setattr("tilewatch.engines.select.find_spec", lambda name: ModuleSpec(name, None, origin="here"))
    with pytest.raises(ConfigError, match="CUDA sees none"):
        choose("tensorrt", ENGINE)


def test_tensorrt_without_its_libraries_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bindings are there, libnvinfer is not."""
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(ConfigError, match=r"TensorRT 10 or 11 \(.*\): pip install 'tilewatch\[nvidia\]'"):
        runtime_module()
