"""An NVIDIA machine that is played: device, TensorRT, and engine files with their cards."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, NamedTuple

from tests.support.fake_cuda import FakeCuda
from tests.support.fake_tensorrt import FakeTensorRt
from tests.support.models import tiny_detector
from tilewatch.engines import metadata
from tilewatch.engines.engine_card import EngineCard, file_sha256, write_card

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    import onnx
    import pytest


class Machine(NamedTuple):
    """What is played."""

    cuda: FakeCuda
    trt: FakeTensorRt


def machine(monkeypatch: pytest.MonkeyPatch, *, integrated: bool = False, memory: int = 1 << 30, **trt: Any) -> Machine:
    """Stand in for cuda-python and tensorrt."""
    cuda = FakeCuda(integrated=integrated, memory=memory)
    cuda.install(monkeypatch)
    package = FakeTensorRt(cuda, **trt)
    package.install(monkeypatch)
    return Machine(cuda, package)


def card_of(engine: Path, **changed: Any) -> EngineCard:
    """Return the card of an engine of the tiny model, built on the played machine."""
    facts: dict[str, Any] = {
        "model_sha256": "a" * 64, "model_name": "tiny.onnx", "names": ("red", "green", "blue"), "head": "yolov8",
        "input_size": 64, "normalisation": "rgb01", "precision": "f32", "batch": 8, "tensorrt_version": "10.7.0.23",
        "cuda_version": "12.6", "device_name": "Fake Orin", "compute_capability": "8.7",
        "engine_sha256": file_sha256(engine), "built_at": "2026-01-02T03:04:05+00:00", "tilewatch_version": "0.1.0",
    }  # fmt: skip
    return EngineCard(**facts | changed)


def tiny_engine(path: Path, properties: dict[str, str], **how: Any) -> Path:
    """Write an engine of the tiny model with its card, and the ONNX file it was built from beside it."""
    onnx_file = tiny_detector(path.with_suffix(".onnx"), metadata=properties, **how)
    shutil.copyfile(onnx_file, path)
    facts = metadata.read(properties)
    names, convention = facts.names or ("red", "green", "blue"), facts.input or "rgb01"
    write_card(path, card_of(path, names=names, normalisation=convention, model_sha256=file_sha256(onnx_file)))
    return path


def save_engine(path: Path, model: onnx.ModelProto) -> Path:
    """Write a model as an engine without a card, as trtexec leaves one."""
    path.write_bytes(model.SerializeToString())
    return path
