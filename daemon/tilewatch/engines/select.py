"""BACKEND to an engine class. A named one that cannot be had is an error, never a fall-back."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from tilewatch.engines.cuda import device as devices
from tilewatch.engines.onnxruntime import OnnxRuntimeEngine
from tilewatch.engines.openvino import OpenVinoEngine
from tilewatch.engines.tensorrt import TensorRtEngine
from tilewatch.engines.tensorrt.plan import SUFFIXES
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from tilewatch.engines.host import HostEngine
    from tilewatch.engines.model_engine import ModelEngine

ENGINES: dict[str, type[HostEngine]] = {"openvino": OpenVinoEngine, "onnxruntime": OnnxRuntimeEngine}
"""Backends of the CPU, the preferred one first; each is also the name of the package it needs."""
TENSORRT = "tensorrt"


def choose(backend: str, model: Path) -> type[ModelEngine]:
    """Return the engine of a BACKEND.

    'auto' takes TensorRT if an NVIDIA device and its runtime are there, or the model is an engine file, which nothing
    else can run; else the first whose package is installed.

    Raises:
        ConfigError: its package is not installed, or its device is not there; or it cannot run such a model.
    """
    compiled = model.suffix in SUFFIXES
    if backend == TENSORRT or (backend == "auto" and (compiled or _nvidia())):
        return _tensorrt(backend, model)
    if compiled:
        raise ConfigError(
            f"BACKEND={backend} cannot run the TensorRT engine {model}: give the ONNX model it was made of"
        )
    wanted = list(ENGINES) if backend == "auto" else [backend]
    found = next((name for name in wanted if find_spec(name) is not None), None)
    if found is None:
        raise ConfigError(f"BACKEND={backend} needs the package {wanted[0]}: pip install {wanted[0]}")
    return ENGINES[found]


def _installed() -> bool:
    """Return whether the package tensorrt is there: a folder of nothing but stubs is not it."""
    found = find_spec(TENSORRT)
    return found is not None and found.origin is not None


def _nvidia() -> bool:
    """Return whether an NVIDIA device and its runtime are there; the runtime itself is not touched."""
    if not _installed():
        return False
    try:
        devices.probe()
    except ConfigError:
        return False
    return True


def _tensorrt(backend: str, model: Path) -> type[ModelEngine]:
    """Return TensorRT's engine if it can be had."""
    if not _installed():
        raise ConfigError(
            f"BACKEND={backend} with the model {model} needs the package tensorrt: pip install 'tilewatch[nvidia]'; "
            "on a Jetson it comes with JetPack (python3-libnvinfer)"
        )
    devices.probe()
    return TensorRtEngine


def installed() -> list[str]:
    """Return the CPU backends whose packages are here, the preferred one first."""
    return [name for name in ENGINES if find_spec(name) is not None]
