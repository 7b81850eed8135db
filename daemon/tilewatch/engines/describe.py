"""What a model file is: an ONNX model, a Darknet pair, or a TensorRT engine with its card."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeAlias

import onnx

from tilewatch.engines import graph
from tilewatch.engines.builder import quantise
from tilewatch.engines.cuda import device as devices
from tilewatch.engines.darknet_file import read_cfg
from tilewatch.engines.engine_card import file_sha256, read_card
from tilewatch.engines.options import EngineOptions
from tilewatch.engines.tensorrt.plan import SUFFIXES, runtime_module
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tilewatch.engines.engine_card import EngineCard

Facts: TypeAlias = dict[str, Any]
"""Ready for JSON. Always there: `kind`, `file`, `bytes`, `sha256`, and `problems`, what keeps it from being used."""


def describe(path: Path, size: int) -> Facts:
    """Return what a file is.

    Args:
        path: an .onnx, .cfg, .weights, .engine or .plan file.
        size: TILE_SIZE, for models whose input is not fixed.

    Raises:
        ConfigError: there is no such file, or it is none of these.
    """
    kinds: dict[str, Callable[[], Facts]] = {
        ".onnx": lambda: _onnx(path, size),
        ".cfg": lambda: _darknet(path),
        ".weights": lambda: _darknet(path),
        **dict.fromkeys(SUFFIXES, lambda: _engine(path)),
    }
    if path.suffix.lower() not in kinds:
        raise ConfigError(f"{path} is no model: {', '.join(kinds)} are known")
    common = {"file": str(path), "sha256": file_sha256(path), "bytes": path.stat().st_size, "problems": []}
    return {**common, **kinds[path.suffix.lower()]()}


def _onnx(path: Path, size: int) -> Facts:
    model, _ = graph.load_file(path)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    weights = {tensor.name for tensor in model.graph.initializer}
    facts: Facts = {
        "kind": "onnx",
        "opset": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        "ir_version": model.ir_version,
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "precision": _precision(model),
        "inputs": [_tensor(value) for value in model.graph.input if value.name not in weights],
        "outputs": [_tensor(value) for value in model.graph.output],
        "nodes": len(model.graph.node),
        "parameters": sum(_count(tensor) for tensor in model.graph.initializer),
    }
    if quantise.KEY in entries:
        facts["calibration"] = entries[quantise.KEY]
    try:
        detector = graph.read(EngineOptions(model=path, size=_side(model) or size))
    except ConfigError as error:
        return {**facts, "problems": [str(error).removeprefix(f"model {path}: ")]}
    return {
        **facts,
        "head": detector.head.name,
        "normalisation": detector.input,
        "batch": "free" if detector.dynamic else "fixed to 1",
        "classes": detector.head.classes or len(detector.names),
        "names": list(detector.names),
    }


def _side(model: onnx.ModelProto) -> int | None:
    """Return the side of a fixed square input, None where it is free or something else."""
    dims = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim] if model.graph.input else []
    return dims[-1] or None if len(dims) == graph.IMAGE_RANK else None


def _tensor(value: onnx.ValueInfoProto) -> Facts:
    tensor = value.type.tensor_type
    dims = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in tensor.shape.dim]
    return {
        "name": value.name,
        "type": onnx.TensorProto.DataType.Name(tensor.elem_type).lower(),
        "shape": dims,
    }


def _precision(model: onnx.ModelProto) -> str:
    """Return 'int8' for a model with Q/DQ, else the type of most weights."""
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        return "int8"
    floats = {"FLOAT": "f32", "FLOAT16": "f16", "BFLOAT16": "bf16"}
    kinds: Counter[str] = Counter()
    for tensor in model.graph.initializer:
        kinds[onnx.TensorProto.DataType.Name(tensor.data_type)] += _count(tensor)
    return next((floats[kind] for kind, _ in kinds.most_common() if kind in floats), "f32")


def _count(tensor: onnx.TensorProto) -> int:
    count = 1
    for dim in tensor.dims:
        count *= dim
    return count


def _darknet(path: Path) -> Facts:
    cfg, weights = path.with_suffix(".cfg"), path.with_suffix(".weights")
    facts: Facts = {"kind": "darknet", "cfg": str(cfg), "weights": str(weights)}
    missing = [str(file) for file in (cfg, weights) if not file.is_file()]
    if missing:
        return {**facts, "problems": [f"{missing[0]} is missing: put both files side by side under one name"]}
    sections = read_cfg(cfg)
    heads = [section for section in sections if section.kind == "yolo"]
    network = sections[0]
    return {
        **facts,
        "input_size": [network.integer("width", 0), network.integer("height", 0)],
        "layers": len(sections) - 1,
        "heads": len(heads),
        "classes": heads[0].integer("classes", 20) if heads else 0,
        "weights_bytes": weights.stat().st_size,
        "weights_sha256": file_sha256(weights),
        "problems": [] if heads else [f"{cfg} has no [yolo] layer: not a detector"],
        "advice": f"tilewatch model import {cfg} {weights}",
    }


def _engine(path: Path) -> Facts:
    card = read_card(path)
    if card is None:
        return {
            "kind": "engine",
            "problems": ["it has no card beside it that says what it is: build it with tilewatch model build"],
        }
    facts = {key: value for key, value in asdict(card).items() if key != "engine_sha256"}
    return {"kind": "engine", **facts, "names": list(card.names), "problems": _mismatches(path, card)}


def _mismatches(path: Path, card: EngineCard) -> list[str]:
    """Return what of an engine does not fit its card or this machine."""
    found = [] if file_sha256(path) == card.engine_sha256 else ["the file is not the one its card describes (sha256)"]
    try:
        device = devices.probe()
        version = runtime_module().__version__
    except ConfigError as error:
        return [*found, f"this machine cannot run it: {error}"]
    if card.compute_capability != device.capability:
        found.append(
            f"built for compute capability {card.compute_capability} ({card.device_name}), "
            f"this device has {device.capability} ({device.name})"
        )
    if not card.is_of(version):
        found.append(f"built by TensorRT {card.tensorrt_version}, TensorRT {version} is installed")
    return found
