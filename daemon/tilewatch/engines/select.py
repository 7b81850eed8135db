"""BACKEND to an engine class. A named one that cannot be had is an error, never a fall-back."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from tilewatch.engines.onnxruntime import OnnxRuntimeEngine
from tilewatch.engines.openvino import OpenVinoEngine
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from tilewatch.engines.host import HostEngine

ENGINES: dict[str, type[HostEngine]] = {"openvino": OpenVinoEngine, "onnxruntime": OnnxRuntimeEngine}
"""Backends of this build, the preferred one first; each is also the name of the package it needs."""


def choose(backend: str) -> type[HostEngine]:
    """Return the engine of a BACKEND; 'auto' takes the first whose package is installed.

    Raises:
        ConfigError: it is not part of this build, or its package is not installed.
    """
    if backend == "tensorrt":
        raise ConfigError("BACKEND=tensorrt is not available in this build yet: set BACKEND=auto to run on the CPU")
    wanted = list(ENGINES) if backend == "auto" else [backend]
    found = next((name for name in wanted if find_spec(name) is not None), None)
    if found is None:
        raise ConfigError(f"BACKEND={backend} needs the package {wanted[0]}: pip install {wanted[0]}")
    return ENGINES[found]


def installed() -> list[str]:
    """Return the CPU backends whose packages are here, the preferred one first."""
    return [name for name in ENGINES if find_spec(name) is not None]
