"""A real NVIDIA device, where there is one: what the tests in tests/gpu run on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.nvidia import card_of
from tilewatch.engines import metadata
from tilewatch.engines.cuda import device as devices
from tilewatch.engines.cuda.binding import call, load
from tilewatch.engines.engine_card import file_sha256, write_card
from tilewatch.engines.tensorrt.plan import runtime_module
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from tilewatch.engines.cuda.binding import Cuda
    from tilewatch.engines.cuda.device import Device


class Gpu(NamedTuple):
    """The device with its software."""

    cuda: Cuda
    device: Device
    trt: ModuleType

    def free_bytes(self) -> int:
        """Return how much of its memory is free."""
        free, _ = call(self.cuda.runtime.cudaMemGetInfo)
        return int(free)


def found() -> Gpu | str:
    """Return the device, or why there is none."""
    try:
        device = devices.probe()
        cuda, trt = load(), runtime_module()
        devices.use(cuda)
    except ConfigError as error:
        return str(error)
    return Gpu(cuda, device, trt)


def gpu_or_skip() -> Gpu:
    """Return the device; skip where there is none."""
    gpu = found()
    if isinstance(gpu, str):
        pytest.skip(gpu)
    return gpu


def build(gpu: Gpu, onnx_file: Path, engine: Path, properties: dict[str, str], *, size: int, most: int = 8) -> Path:
    """Build an engine for 1 to `most` tiles on this device, as the ONNX file says, and write it with its card."""
    trt = gpu.trt
    logger = trt.Logger(trt.Logger.Severity.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(onnx_file.read_bytes()), [parser.get_error(index) for index in range(parser.num_errors)]
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    image = network.get_input(0)
    shapes = [(count, 3, size, size) for count in (1, most, most)]
    profile.set_shape(image.name, *shapes)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    assert plan is not None
    engine.write_bytes(bytes(plan))
    facts = metadata.read(properties)
    described = {
        "names": facts.names or ("red", "green", "blue"), "normalisation": facts.input or "rgb01", "input_size": size,
        "model_sha256": file_sha256(onnx_file), "model_name": onnx_file.name, "batch": most,
        "tensorrt_version": trt.__version__, "cuda_version": gpu.device.runtime, "device_name": gpu.device.name,
        "compute_capability": gpu.device.capability,
    }  # fmt: skip
    write_card(engine, card_of(engine, **described))
    return engine
