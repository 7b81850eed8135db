"""A model in eight bits by explicit Q/DQ: one file for TensorRT, OpenVINO and ONNX Runtime alike.

Signed and symmetric, as TensorRT wants it; biases stay in 32 bits. What is quantised are the inputs and weights of the
convolutions, not their outputs: the SiLU behind them lives in a small part of their range; with YOLOv8n that would cost
ten points of F1. Three kinds of layers stay as they are: the last convolutions and what comes after them (boxes in
pixels and scores near 0 do not fit into 256 steps), the first one (three planes, little to gain), and depthwise ones
(bound by memory; with YOLOX-nano they alone made the difference between F1 0 and 0.83).
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import tempfile
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import version_converter

from tilewatch.engines import graft
from tilewatch.engines.builder.tail import name_nodes, tail
from tilewatch.errors import ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tilewatch.engines.graph import Detector
    from tilewatch.records import F32, U8

LEAST_OPSET = 13
"""From here on weights have a scale for each channel."""
SEVERITY_ERROR = 3
LAYERS = ["Conv", "MatMul"]
KEY = "tilewatch_calibration"
"""Metadata: what the model was made of and calibrated on."""


def quantised(detector: Detector, tiles: Iterable[U8]) -> onnx.ModelProto:
    """Return the model with Q/DQ; its input and outputs stay what they are.

    Args:
        detector: a model in float32.
        tiles: (T, S, S, 3) uint8 RGB blocks of the footage it will see; about 100 tiles are enough.

    Raises:
        ConfigError: it is quantised already, is not in float32, or cannot be converted.
        InputError: not one tile was given.
    """
    if detector.quantised:
        raise ConfigError("the model is quantised already: build it with --precision int8 as it is")
    if detector.half:
        raise ConfigError("the model computes in float16: quantise the float32 one it was made of")
    model = _converted(detector.model)
    name_nodes(model)
    each = iter(tiles)
    first = next(each, None)
    if first is None:
        raise InputError("the videos gave no tile to calibrate on: give longer ones")
    planes = Planes(detector, chain([first], each))
    result = _with_qdq(model, planes, _kept(model))
    note = result.metadata_props.add()
    note.key = KEY
    note.value = json.dumps({"model_sha256": detector.sha256, "tiles": planes.count, "tiles_sha256": planes.sha256})
    return result


class Planes:
    """Tiles as the model's own input, one after the other: what the calibrator reads."""

    def __init__(self, detector: Detector, tiles: Iterable[U8]) -> None:
        self.count = 0
        self._name = detector.image.name
        self._wanted = graft.INPUTS[detector.input]
        self._digest = hashlib.sha256()
        self._each = self._prepared(tiles)

    @property
    def sha256(self) -> str:
        """Hash of the tiles read so far."""
        return self._digest.hexdigest()

    def get_next(self) -> dict[str, F32] | None:
        """Return the next input by its name, None at the end."""
        return next(self._each, None)

    def _prepared(self, tiles: Iterable[U8]) -> Iterator[dict[str, F32]]:
        for block in tiles:
            for tile in block:
                self.count += 1
                self._digest.update(np.ascontiguousarray(tile).data)
                picture = tile[..., ::-1] if self._wanted.bgr else tile
                planes = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)
                yield {self._name: planes * np.float32(self._wanted.scale)}


def _converted(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model in an opset that has what is needed."""
    opset = next(entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"})
    if opset >= LEAST_OPSET:
        return model
    try:
        raised: onnx.ModelProto = version_converter.convert_version(model, LEAST_OPSET)
    except RuntimeError as error:
        reason = next(iter(str(error).splitlines()), "")
        raise ConfigError(
            f"opset {opset} cannot be raised to {LEAST_OPSET} ({reason}): export it with that one"
        ) from error
    raised.metadata_props.extend(entry for entry in model.metadata_props if not raised.metadata_props)
    return raised


def _kept(model: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes that stay in 32 bits."""
    arithmetic, last = tail(model)
    layers = [node for node in model.graph.node if node.op_type == "Conv"]
    depthwise = [node.name for node in layers if _groups(node) > 1]
    return [*arithmetic, *last, *depthwise, *(node.name for node in layers[:1])]


def _groups(node: onnx.NodeProto) -> int:
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == "group"), 1)


def _quantiser() -> Any:  # noqa: ANN401 -- a module without types
    """Return ONNX Runtime's quantiser, quiet about what does not matter here.

    Raises:
        ConfigError: it is not installed, or without this part.
    """
    try:
        runtime = importlib.import_module("onnxruntime")
        module = importlib.import_module("onnxruntime.quantization")
    except ImportError as error:
        raise ConfigError(f"int8 needs the package onnxruntime, whole ({error}): pip install onnxruntime") from error
    runtime.set_default_logger_severity(SEVERITY_ERROR)
    return module


def _with_qdq(model: onnx.ModelProto, planes: Planes, kept: list[str]) -> onnx.ModelProto:
    """Let ONNX Runtime's quantiser calibrate (smallest and largest value seen) and put Q/DQ in."""
    quantization = _quantiser()
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it advises a preparation that exporters have done already
    try:
        with tempfile.TemporaryDirectory(prefix="tilewatch-") as folder:
            out = Path(folder) / "quantised.onnx"
            quantization.quantize_static(
                model,
                out,
                planes,
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=LAYERS,
                nodes_to_exclude=kept,
                per_channel=True,
                activation_type=quantization.QuantType.QInt8,
                weight_type=quantization.QuantType.QInt8,
                calibrate_method=quantization.CalibrationMethod.MinMax,
                extra_options={
                    "ActivationSymmetric": True,
                    "WeightSymmetric": True,
                    "QuantizeBias": False,
                    "OpTypesToExcludeOutputQuantization": LAYERS,
                },
            )
            result: onnx.ModelProto = onnx.load_model(str(out))
    finally:
        logging.disable(before)
    return result
