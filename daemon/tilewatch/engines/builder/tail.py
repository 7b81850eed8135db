"""The end of a detector's graph, where boxes and scores are worked out of the feature maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

RESHAPING = frozenset({"Softmax", "Reshape", "Transpose"})
"""A convolution behind one of these sums up probabilities (the DFL of YOLOv8): it is no layer of the network."""


def name_nodes(model: onnx.ModelProto) -> None:
    """Give every node a name of its own, in place: the converters address nodes by it."""
    taken: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.name or node.op_type}_{index}_named"
        taken.add(node.name)


def tail(model: onnx.ModelProto) -> tuple[list[str], list[str]]:
    """Return the names of the nodes between the last convolutions and the outputs, and of those convolutions.

    Every node must have a name of its own.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    arithmetic: dict[str, None] = {}
    layers: dict[str, None] = {}
    open_names = [output.name for output in model.graph.output]
    while open_names:
        node = producers.get(open_names.pop())
        if node is None or node.name in arithmetic or node.name in layers:
            continue
        if node.op_type == "Conv" and _is_layer(node, producers):
            layers[node.name] = None
            continue
        arithmetic[node.name] = None
        open_names.extend(node.input)
    return list(arithmetic), list(layers)


def _is_layer(conv: onnx.NodeProto, producers: dict[str, onnx.NodeProto]) -> bool:
    before = producers.get(conv.input[0])
    return before is None or before.op_type not in RESHAPING
