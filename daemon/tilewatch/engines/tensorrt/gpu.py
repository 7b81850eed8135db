"""The device with all that is needed to work on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tilewatch.engines.cuda.binding import Cuda
    from tilewatch.engines.cuda.device import Device
    from tilewatch.engines.cuda.kernels import Kernels


class Gpu(NamedTuple):
    """What every part of the engine works with."""

    cuda: Cuda
    device: Device
    kernels: Kernels
