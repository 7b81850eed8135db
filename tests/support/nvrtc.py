"""The real compiler of the kernels, where it is installed: it needs no device."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import pytest

from tilewatch.engines.cuda.binding import CudaError, call, load
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from tilewatch.engines.cuda.binding import Cuda

ARCHITECTURES = (72, 87, 89, 90)
"""Xavier, Orin, Ada, Hopper."""


def nvrtc_or_skip() -> tuple[Cuda, list[int]]:
    """Return cuda-python's modules and the architectures its NVRTC knows; skip where there is none."""
    try:
        importlib.import_module("cuda.bindings.nvrtc")
        cuda = load()
        return cuda, list(call(cuda.nvrtc.nvrtcGetSupportedArchs))
    except (ImportError, ConfigError, CudaError) as error:
        pytest.skip(f"no NVRTC: {error}")
