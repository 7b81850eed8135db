"""The end of a detector's graph."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from tilewatch.engines.builder.tail import name_nodes, tail


def model(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    """Return a model of some nodes from `in` to `out`."""
    given = helper.make_tensor_value_info("in", TensorProto.FLOAT, None)
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    return helper.make_model(helper.make_graph(nodes, "g", [given], [out]))


def test_the_tail_reaches_to_the_last_convolutions_and_through_the_expectation_of_a_softmax() -> None:
    """YOLOv8's box branch: convolution, softmax, and a convolution that only sums up."""
    graph = model(
        helper.make_node("Conv", ["in", "w"], ["a"], name="backbone"),
        helper.make_node("Conv", ["a", "w"], ["b"], name="boxes"),
        helper.make_node("Softmax", ["b"], ["c"], name="softmax"),
        helper.make_node("Conv", ["c", "w"], ["d"], name="expectation"),
        helper.make_node("Conv", ["a", "w"], ["e"], name="classes"),
        helper.make_node("Sigmoid", ["e"], ["f"], name="sigmoid"),
        helper.make_node("Concat", ["d", "f"], ["out"], name="concat", axis=1),
    )
    arithmetic, layers = tail(graph)
    assert set(arithmetic) == {"softmax", "expectation", "sigmoid", "concat"}
    assert set(layers) == {"boxes", "classes"}


def test_every_node_gets_a_name_of_its_own() -> None:
    """Exporters leave them out, or give one twice; names that are right stay."""
    graph = model(
        helper.make_node("Relu", ["in"], ["a"], name="same"),
        helper.make_node("Relu", ["a"], ["b"], name="same"),
        helper.make_node("Relu", ["b"], ["out"]),
    )
    name_nodes(graph)
    names = [node.name for node in graph.graph.node]
    assert names[0] == "same"
    assert len(set(names)) == 3
    assert all(names)
