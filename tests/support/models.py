"""Small ONNX detectors made on the spot, whose answers can be worked out by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tilewatch.engines.heads import grid_of

if TYPE_CHECKING:
    from pathlib import Path

    from tilewatch.records import F32

SIDE = 64
STRIDES = (8, 16, 32)
ANCHORS = 84
BOX = 16.0


def boxes(side: int = SIDE) -> F32:
    """Return (4, A) cx, cy, w, h in pixels: every anchor's box lies around its cell's centre."""
    anchors = sum((side // stride) ** 2 for stride in STRIDES)
    grid = grid_of(side, anchors)
    assert grid is not None
    centres = (grid[:, :2] + 0.5) * grid[:, 2:]
    rows: F32 = np.concatenate([centres, np.full_like(centres, BOX)], axis=1)
    return np.ascontiguousarray(rows.T)


def tiny_detector(
    path: Path,
    *,
    side: int = SIDE,
    batch: int | str = "n",
    kind: int = TensorProto.FLOAT,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a YOLOv8-like detector: class c's score of an anchor is the mean of input plane c over its cell.

    With a picture of 0-255 RGB prepared as 0-1, classes 0, 1, 2 are red, green and blue.
    """
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    nodes, pooled, tensors = [], [], []
    for stride in STRIDES:
        count = (side // stride) ** 2
        tensors.append(numpy_helper.from_array(np.array([1 if batch == 1 else 0, 3, count], np.int64), f"flat{stride}"))
        nodes += [
            helper.make_node(
                "AveragePool", ["images"], [f"p{stride}"], kernel_shape=[stride] * 2, strides=[stride] * 2
            ),
            helper.make_node("Reshape", [f"p{stride}", f"flat{stride}"], [f"r{stride}"]),
        ]
        pooled.append(f"r{stride}")
    tensors += [
        numpy_helper.from_array(boxes(side)[None].astype(dtype), "boxes"),
        numpy_helper.from_array(np.zeros(1, dtype), "zero"),
    ]
    nodes += [
        helper.make_node("Concat", pooled, ["scores"], axis=2),
        helper.make_node("ReduceMax", ["scores"], ["most"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["most", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "boxes"], ["placed"]),
        helper.make_node("Concat", ["placed", "scores"], ["output0"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", kind, (batch, 3, side, side))],
        [helper.make_tensor_value_info("output0", kind, (batch, 7, None))],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.save_model(model, str(path))
    return path


def tiny_grid_detector(path: Path) -> Path:
    """Write a raw YOLOX-like detector: the boxes and colours of `tiny_detector`, as offsets and logarithms of cells."""
    strides = np.concatenate([np.full((SIDE // stride) ** 2, stride) for stride in STRIDES])
    raw = np.full((1, ANCHORS, 5), 0.5, np.float32)
    raw[0, :, 2:4] = np.log(BOX / strides)[:, None]
    raw[0, :, 4] = np.linspace(0.999, 1, ANCHORS, dtype=np.float32)
    model = onnx.load(str(tiny_detector(path)))
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(raw, "raw"))
    del graph.node[-2:], graph.output[:]
    graph.node.extend(
        [
            helper.make_node("Transpose", ["scores"], ["by_anchor"], perm=[0, 2, 1]),
            helper.make_node("Transpose", ["nothing"], ["none_by_anchor"], perm=[0, 2, 1]),
            helper.make_node("Add", ["none_by_anchor", "raw"], ["placed"]),
            helper.make_node("Concat", ["placed", "by_anchor"], ["output"], axis=2),
        ]
    )
    graph.output.append(helper.make_tensor_value_info("output", TensorProto.FLOAT, ("n", ANCHORS, 8)))
    onnx.save_model(model, str(path))
    return path
