"""Surgery on an ONNX graph: uint8 RGB tiles in, float32 heads out, a free batch where the graph allows.

The pixels stay (N, S, S, 3) uint8 until they are inside the engine, which folds the conversion into its first layers:
four times fewer bytes move, and no code of ours touches a float image.

How a model wants its picture, in order of precedence: the `input` of its `tilewatch` metadata; 'bgr255' for YOLOX
(its own exporter's convention, raw or decoded); 'rgb01' for everything else (ultralytics, YOLOv5/6/7, Darknet, DETR).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from tilewatch.engines.heads import Grid
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.engines.heads import Head
    from tilewatch.engines.metadata import Metadata


class Convention(NamedTuple):
    """How a model wants its picture."""

    bgr: bool
    """True: blue first."""
    scale: float
    """Factor on 0-255."""


INPUTS = {"rgb01": Convention(bgr=False, scale=1 / 255), "bgr255": Convention(bgr=True, scale=1.0)}
"""The input conventions by name."""
TILES = "tiles"
BATCH = "tile_count"
TRIAL = 7
"""A batch that no other dimension of a detector is likely to be equal to."""
PREFIX = "tilewatch_"
SIGNED_RANGE = 128
"""From int8 to uint8."""


def convention(head: Head, facts: Metadata) -> str:
    """Return the name of the input convention.

    Raises:
        ConfigError: the metadata names one that does not exist.
    """
    chosen = facts.input or ("bgr255" if isinstance(head, Grid) else "rgb01")
    if chosen not in INPUTS:
        raise ConfigError(f"its metadata asks for the input '{chosen}': known are {', '.join(INPUTS)}")
    return chosen


def bake(model: onnx.ModelProto, image: onnx.ValueInfoProto, size: int, name: str, *, dynamic: bool) -> None:
    """Put the preparation in front of the graph and make every output float32, in place."""
    kind = image.type.tensor_type.elem_type
    nodes = _preparation(image.name, INPUTS[name], kind)
    count: int | str = BATCH if dynamic else 1
    tiles = helper.make_tensor_value_info(TILES, TensorProto.UINT8, (count, size, size, 3))
    weights = {tensor.name for tensor in model.graph.initializer}
    kept = [value for value in model.graph.input if value.name in weights]
    existing = list(model.graph.node)
    del model.graph.node[:], model.graph.input[:], model.graph.value_info[:]
    model.graph.input.extend([tiles, *kept])
    model.graph.node.extend([*nodes, *existing])
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    float_outputs(model)


def float_outputs(model: onnx.ModelProto) -> None:
    """Make every output float32, in place."""
    for output in model.graph.output:
        _make_float(model, output)


def _preparation(image: str, wanted: Convention, kind: int) -> list[onnx.NodeProto]:
    """Return the nodes from `tiles` to the model's own input; weights as Constant nodes, which every IR version has."""
    planes = _name("planes" if wanted.bgr else "rgb")
    nodes = [helper.make_node("Transpose", [TILES], [planes], name=planes, perm=[0, 3, 1, 2])]
    if wanted.bgr:
        nodes += [
            _constant("order", np.array([2, 1, 0], np.int64)),
            helper.make_node("Gather", [planes, _name("order")], [_name("bgr")], name=_name("bgr"), axis=1),
        ]
        planes = _name("bgr")
    unscaled = image if wanted.scale == 1 else _name("float")
    nodes.append(helper.make_node("Cast", [planes], [unscaled], name=_name("cast"), to=kind))
    if wanted.scale != 1:
        nodes += [
            _constant("scale", np.array(wanted.scale, helper.tensor_dtype_to_np_dtype(kind))),
            helper.make_node("Mul", [unscaled, _name("scale")], [image], name=_name("scaled")),
        ]
    return nodes


def _constant(name: str, value: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [_name(name)], name=_name(name), value=numpy_helper.from_array(value))


def _name(part: str) -> str:
    return PREFIX + part


def _make_float(model: onnx.ModelProto, output: onnx.ValueInfoProto) -> None:
    """Cast an output that is not float32."""
    if output.type.tensor_type.elem_type == TensorProto.FLOAT:
        return
    renamed = _name(output.name)
    for node in model.graph.node:
        node.output[:] = [renamed if name == output.name else name for name in node.output]
        node.input[:] = [renamed if name == output.name else name for name in node.input]
    model.graph.node.append(helper.make_node("Cast", [renamed], [output.name], to=TensorProto.FLOAT))
    output.type.tensor_type.elem_type = TensorProto.FLOAT


def free_batch(model: onnx.ModelProto, image: onnx.ValueInfoProto, size: int) -> bool:
    """Make the batch free where it is fixed, in place, and return whether it is free in the end.

    A fixed batch of 1 also sits in the targets of Reshape nodes; there it becomes 0, "as in the input". Whether that
    was all is told by inferring the output shapes of another batch: if it does not come through, the model stays as
    it was.
    """
    if not image.type.tensor_type.shape.dim[0].HasField("dim_value"):
        return True
    freed = onnx.ModelProto()
    freed.CopyFrom(model)
    _free_reshapes(freed)
    set_input_shape(freed, image.name, (TRIAL, 3, size, size))
    try:
        dims = [value.type.tensor_type.shape.dim for value in inferred(freed).graph.output]
    except ConfigError:
        return False
    if not all(dim and dim[0].dim_value == TRIAL for dim in dims):
        return False
    set_input_shape(freed, image.name, (BATCH, 3, size, size))
    model.CopyFrom(freed)
    return True


def _free_reshapes(model: onnx.ModelProto) -> None:
    """Let every Reshape whose constant target starts with 1 keep its input's first dimension."""
    targets = {node.input[1] for node in model.graph.node if node.op_type == "Reshape" and not _allows_zero(node)}
    tensors = [tensor for tensor in model.graph.initializer if tensor.name in targets]
    tensors += [
        attribute.t
        for node in model.graph.node
        if node.op_type == "Constant" and node.output[0] in targets
        for attribute in node.attribute
        if attribute.name == "value"
    ]
    for tensor in tensors:
        shape = numpy_helper.to_array(tensor).copy()
        if len(shape) > 1 and shape[0] == 1:
            shape[0] = 0
            tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))


def _allows_zero(node: onnx.NodeProto) -> bool:
    return any(attribute.name == "allowzero" and attribute.i for attribute in node.attribute)


def set_input_shape(model: onnx.ModelProto, name: str, dims: Sequence[int | str]) -> None:
    """Set an input's dimensions (a word is a free one) and forget all shapes that follow from the old ones."""
    shape = next(value for value in model.graph.input if value.name == name).type.tensor_type.shape
    del shape.dim[:], model.graph.value_info[:]
    for dim in dims:
        shape.dim.add(**{"dim_param" if isinstance(dim, str) else "dim_value": dim})
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")


def inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with every shape that can be inferred."""
    try:
        return shape_inference.infer_shapes(model, data_prop=True)
    except shape_inference.InferenceError as error:
        reason = next(iter(str(error).strip().splitlines()), "")
        raise ConfigError(f"its shapes contradict each other at this TILE_SIZE: {reason}") from error


def unsigned(model: onnx.ModelProto) -> None:
    """Let quantised activations be uint8 around 128 instead of int8 around 0, in place: the same numbers.

    OpenVINO 2026.4 computes a convolution of signed ones wrongly where a Concat lies before it.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    shifted: dict[str, onnx.TensorProto] = {}
    for node in model.graph.node:
        if not _is_of_activations(node, producers) or len(node.input) < 3:  # noqa: PLR2004 -- with a zero point
            continue
        zero = tensors.get(node.input[2])
        if zero is None or zero.data_type != TensorProto.INT8:
            continue
        name = _name(f"{zero.name}_unsigned")
        values = numpy_helper.to_array(zero).astype(np.int16) + SIGNED_RANGE
        shifted[name] = numpy_helper.from_array(values.astype(np.uint8), name)
        node.input[2] = name
    model.graph.initializer.extend(shifted.values())


def _is_of_activations(node: onnx.NodeProto, producers: dict[str, onnx.NodeProto]) -> bool:
    """Tell Q, and the DQ behind one, from the DQ of weights."""
    if node.op_type == "DequantizeLinear":
        before = producers.get(node.input[0])
        return before is not None and before.op_type == "QuantizeLinear"
    return node.op_type == "QuantizeLinear"
