"""A model with its weights and arithmetic in 16 bits, inputs and outputs in 32.

The boxes' own arithmetic at the end stays in 32 bits: 16 resolve no more than half a pixel at 640.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import onnx

from tilewatch.engines.builder.tail import name_nodes, tail
from tilewatch.errors import ConfigError


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model in float16; one that already takes float16 comes back as it is.

    Raises:
        ConfigError: it cannot be converted.
    """
    if any(value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT16 for value in model.graph.input):
        return model
    float16 = _converter()
    name_nodes(model)
    arithmetic, _ = tail(model)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of every weight that is too small for 16 bits
            converted: onnx.ModelProto = float16.convert_float_to_float16(
                model, keep_io_types=True, node_block_list=arithmetic
            )
    except (ValueError, TypeError, RuntimeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(f"cannot be converted to float16 ({reason}): build it with --precision fp32") from error
    return converted


def _converter() -> Any:  # noqa: ANN401 -- a module without types
    """Return ONNX Runtime's converter.

    Raises:
        ConfigError: it is not installed, or without this part.
    """
    try:
        return importlib.import_module("onnxruntime.transformers.float16")
    except ImportError as error:
        raise ConfigError(f"fp16 needs the package onnxruntime, whole ({error}): pip install onnxruntime") from error
