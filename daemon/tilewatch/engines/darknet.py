"""Darknet's YOLO (cfg and weights) to ONNX: one input `images` (N, 3, S, S) RGB 0-1, one output (N, A, 5+C).

The output is what HEAD=yolov5 means: centre, width and height in input pixels, objectness, class probabilities; all
[yolo] layers of the network one after another. Layers: convolutional, maxpool, route, shortcut, upsample, yolo; options
that would change their arithmetic and are not known here are refused. Source of the arithmetic: AlexeyAB/darknet,
src/{convolutional,maxpool,route,shortcut,upsample,yolo,batchnorm}_layer.c.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tilewatch.engines import files, metadata, names
from tilewatch.engines.darknet_file import Section, Weights, read_cfg
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OPSET = 13
IR_VERSION = 8
BATCHNORM_EPSILON = 1e-5
LEAKY_SLOPE = 0.1
IMAGES, OUTPUT = "images", "output"
PLANES = 3

KNOWN_OPTIONS = {
    "convolutional": {"batch_normalize", "filters", "size", "stride", "pad", "padding", "groups", "activation"},
    "maxpool": {"size", "stride", "padding"},
    "route": {"layers", "groups", "group_id"},
    "shortcut": {"from", "activation"},
    "upsample": {"stride"},
    "yolo": {"mask", "anchors", "classes", "num", "scale_x_y", "new_coords"},
}
TRAINING_OPTIONS = {
    "yolo": {
        "jitter", "cls_normalizer", "iou_normalizer", "obj_normalizer", "delta_normalizer", "iou_loss", "ignore_thresh",
        "truth_thresh", "iou_thresh", "iou_thresh_kind", "random", "resize", "nms_kind", "beta_nms", "max_delta", "max",
        "label_smooth_eps", "objectness_smooth", "map", "counters_per_class", "focal_loss",
    },
    "convolutional": {"learning_rate", "burnin_update", "train_only_bn"},
}  # fmt: skip
"""Options that only training reads."""


@dataclass(frozen=True, slots=True)
class _Blob:
    """The output of a layer."""

    name: str
    channels: int
    side: int


@dataclass(slots=True)
class _Network:
    """The ONNX graph as it grows."""

    size: int
    weights: Weights
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    tensors: list[onnx.TensorProto] = field(default_factory=list)
    blobs: list[_Blob] = field(default_factory=list)
    """Output of every layer so far; a [yolo] layer passes its input on."""
    heads: list[str] = field(default_factory=list)
    classes: int = 0

    @property
    def last(self) -> _Blob:
        """Output of the layer before, or the picture."""
        return self.blobs[-1] if self.blobs else _Blob(IMAGES, PLANES, self.size)

    def add(self, kind: str, inputs: list[str], **attributes: Any) -> str:  # noqa: ANN401 -- ONNX attributes
        """Append a node with one output and return the output's name."""
        name = f"layer{len(self.blobs)}_{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, value: object, dtype: type[np.generic] = np.float32) -> str:
        """Store numbers and return their name."""
        name = f"constant{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def back(self, section: Section, index: int) -> _Blob:
        """Return the output of a layer by Darknet's number: from 0, or negative from here."""
        place = index if index >= 0 else len(self.blobs) + index
        if not 0 <= place < len(self.blobs):
            raise section.error(f"names layer {index}, of which there is none before it")
        return self.blobs[place]


def convert(cfg: Path, weights: Path, labels: Path | None, out: Path, size: int = 640) -> Path:
    """Write a Darknet network as ONNX and return the path.

    Args:
        cfg: network description.
        weights: its numbers.
        labels: class names, one a line; None: none.
        out: file to write; it is there whole or not at all.
        size: side of the square input, pixels, a multiple of 32.

    Raises:
        ConfigError: a file is unusable, a layer unknown, or the files do not belong together; says which and where.
    """
    if size < metadata.STRIDE or size % metadata.STRIDE:
        raise ConfigError(f"an input of {size} pixels cannot be: give a multiple of {metadata.STRIDE}")
    sections = read_cfg(cfg)
    network = _Network(size, Weights(weights))
    for section in sections[1:]:
        _check_options(section)
        network.blobs.append(LAYERS[section.kind](network, section))
    network.weights.check_all_taken()
    if not network.heads:
        raise ConfigError(f"{cfg} has no [yolo] layer: not a detector")
    class_names = () if labels is None else names.from_file(labels)
    if class_names and len(class_names) != network.classes:
        raise ConfigError(f"{labels} holds {len(class_names)} names, but {cfg} has classes={network.classes}")
    files.write_whole(out, _model(network, class_names).SerializeToString())
    return out


def _check_options(section: Section) -> None:
    """Refuse what is not known to be done right."""
    if section.kind not in LAYERS:
        raise section.error(f"is not a layer this importer knows: {', '.join(sorted(LAYERS))}")
    known = KNOWN_OPTIONS[section.kind] | TRAINING_OPTIONS.get(section.kind, set())
    if unknown := sorted(set(section.options) - known):
        raise section.error(f"has the option {unknown[0]}={section.options[unknown[0]]}, which this importer cannot do")


def _model(network: _Network, class_names: tuple[str, ...]) -> onnx.ModelProto:
    """Return the finished model with what the engines want to know of it."""
    output = network.heads[0]
    if len(network.heads) > 1:
        output = network.add("Concat", network.heads, axis=1)
    network.nodes.append(helper.make_node("Identity", [output], [OUTPUT], name=OUTPUT))
    graph = helper.make_graph(
        network.nodes,
        "darknet",
        [helper.make_tensor_value_info(IMAGES, TensorProto.FLOAT, ("batch", PLANES, network.size, network.size))],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ("batch", None, 5 + network.classes))],
        network.tensors,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="tilewatch", ir_version=IR_VERSION
    )
    helper.set_model_props(
        model,
        {
            metadata.KEY: json.dumps({"head": "yolov5", "input": "rgb01"}),
            "names": json.dumps(class_names),
        },
    )
    onnx.checker.check_model(model)
    return model


def _convolutional(network: _Network, section: Section) -> _Blob:
    """Weights in the file: biases, then scales, means and variances if normalised, then filters."""
    source, filters = network.last, section.integer("filters", 1)
    size, stride, groups = section.integer("size", 1), section.integer("stride", 1), section.integer("groups", 1)
    padding = size // 2 if section.integer("pad", 0) else section.integer("padding", 0)
    if min(size, stride, groups, filters) < 1 or source.channels % groups or filters % groups:
        raise section.error("has a size, stride, filters or groups that cannot be")
    bias = network.weights.take(filters)
    factor = np.ones(filters, np.float32)
    if section.integer("batch_normalize", 0):
        scale, mean, variance = network.weights.take(3, filters)
        factor = scale / np.sqrt(variance + np.float32(BATCHNORM_EPSILON))
        bias = bias - mean * factor
    kernel = network.weights.take(filters, source.channels // groups, size, size) * factor[:, None, None, None]
    name = network.add(
        "Conv",
        [source.name, network.constant(kernel), network.constant(bias)],
        kernel_shape=[size, size],
        strides=[stride, stride],
        pads=[padding] * 4,
        group=groups,
    )
    side = (source.side + 2 * padding - size) // stride + 1
    return _Blob(_activate(network, section, name, "logistic"), filters, side)


def _activate(network: _Network, section: Section, name: str, default: str) -> str:
    """Append a layer's activation."""
    kind = section.options.get("activation", default)
    if kind == "linear":
        return name
    if kind == "leaky":
        return network.add("LeakyRelu", [name], alpha=LEAKY_SLOPE)
    if kind in {"relu", "logistic"}:
        return network.add({"relu": "Relu", "logistic": "Sigmoid"}[kind], [name])
    if kind == "mish":
        return network.add("Mul", [name, network.add("Tanh", [network.add("Softplus", [name])])])
    if kind == "swish":
        return network.add("Mul", [name, network.add("Sigmoid", [name])])
    raise section.error(f"has activation={kind}, which this importer cannot do")


def _maxpool(network: _Network, section: Section) -> _Blob:
    """Darknet pads size - 1 in all, the smaller half in front."""
    source, stride = network.last, section.integer("stride", 1)
    size = section.integer("size", stride)
    padding = section.integer("padding", size - 1)
    if min(size, stride) < 1 or padding >= 2 * size:
        raise section.error("has a size, stride or padding that cannot be")
    before = padding // 2
    name = network.add(
        "MaxPool",
        [source.name],
        kernel_shape=[size, size],
        strides=[stride, stride],
        pads=[before, before, padding - before, padding - before],
    )
    return _Blob(name, source.channels, (source.side + padding - size) // stride + 1)


def _route(network: _Network, section: Section) -> _Blob:
    """Earlier outputs side by side, of each the given one of equal parts."""
    groups, group = section.integer("groups", 1), section.integer("group_id", 0)
    sources = [network.back(section, index) for index in section.integers("layers")]
    if not sources or len({source.side for source in sources}) > 1:
        raise section.error("joins layers of different sizes, or none")
    if not 0 <= group < groups or any(source.channels % groups for source in sources):
        raise section.error(f"groups={groups} group_id={group}: cannot split its layers so")
    parts = [_part(network, source, groups, group) for source in sources]
    name = parts[0] if len(parts) == 1 else network.add("Concat", parts, axis=1)
    return _Blob(name, sum(source.channels for source in sources) // groups, sources[0].side)


def _part(network: _Network, source: _Blob, groups: int, group: int) -> str:
    """Return one of `groups` equal parts of a layer's channels."""
    if groups == 1:
        return source.name
    width = source.channels // groups
    return _slice(network, source.name, group * width, (group + 1) * width, axis=1)


def _slice(network: _Network, name: str, start: int, end: int, axis: int) -> str:
    bounds = [network.constant([value], np.int64) for value in (start, end, axis)]
    return network.add("Slice", [name, *bounds])


def _shortcut(network: _Network, section: Section) -> _Blob:
    """Sum of the layer before and earlier ones of the same shape."""
    total = network.last
    name = total.name
    for index in section.integers("from"):
        source = network.back(section, index)
        if (source.channels, source.side) != (total.channels, total.side):
            raise section.error(f"adds layer {index} of another shape")
        name = network.add("Add", [name, source.name])
    return _Blob(_activate(network, section, name, "linear"), total.channels, total.side)


def _upsample(network: _Network, section: Section) -> _Blob:
    """Every value repeated stride x stride times."""
    source, stride = network.last, section.integer("stride", 2)
    if stride < 1:
        raise section.error(f"has stride={stride}")
    name = network.add(
        "Resize",
        [source.name, "", network.constant([1, 1, stride, stride])],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    return _Blob(name, source.channels, source.side * stride)


def _yolo(network: _Network, section: Section) -> _Blob:
    """Decode one map to rows of pixels; the map itself is what the next layer sees."""
    source, classes = network.last, section.integer("classes", 20)
    pairs = np.reshape(_pairs(section), (-1, 2))
    mask = section.integers("mask", list(range(len(pairs))))
    if not all(0 <= index < len(pairs) for index in mask) or len(pairs) != section.integer("num", len(pairs)):
        raise section.error("has a mask or num that does not fit its anchors")
    if source.channels != len(mask) * (5 + classes):
        raise section.error(f"needs {len(mask) * (5 + classes)} channels, the layer before has {source.channels}")
    if network.heads and classes != network.classes:
        raise section.error(f"has classes={classes}, another one has {network.classes}")
    if network.size % source.side:
        raise section.error(f"has a map of {source.side}, which does not divide the input of {network.size}")
    network.classes = classes
    network.heads.append(_decode(network, section, source, pairs[mask]))
    return source


def _pairs(section: Section) -> list[float]:
    anchors = section.numbers("anchors")
    if not anchors or len(anchors) % 2:
        raise section.error("has no pairs of anchors")
    return anchors


def _decode(network: _Network, section: Section, source: _Blob, anchors: Any) -> str:  # noqa: ANN401 -- (M, 2) array
    """Append the nodes from (N, M * (5+C), H, H) to (N, M * H * H, 5+C).

    Darknet: x = (s * sigmoid(x) - (s - 1) / 2 + column) * stride and w = exp(w) * anchor; with new_coords the values
    come out of a sigmoid already and w = (2 * w)^2 * anchor.
    """
    side, stride, depth = source.side, network.size // source.side, 5 + network.classes
    (scale,) = section.numbers("scale_x_y", [1.0])
    new = bool(section.integer("new_coords", 0))
    rows, columns = np.divmod(np.arange(side * side), side)
    cells = np.stack([columns, rows])[None, None].astype(np.float32) - np.float32((scale - 1) / 2)
    shape = network.constant([0, len(anchors), depth, side * side], np.int64)
    maps = network.add("Reshape", [source.name, shape])
    centre = _sigmoid(network, _slice(network, maps, 0, 2, axis=2), skip=new)
    centre = network.add("Mul", [centre, network.constant(scale * stride)])
    centre = network.add("Add", [centre, network.constant(cells * stride)])
    extent = _slice(network, maps, 2, 4, axis=2)
    extent = network.add("Mul", [extent, extent]) if new else network.add("Exp", [extent])
    factors = np.reshape(anchors, (1, -1, 2, 1)) * (4 if new else 1)
    extent = network.add("Mul", [extent, network.constant(factors)])
    scores = _sigmoid(network, _slice(network, maps, 4, depth, axis=2), skip=new)
    decoded = network.add("Concat", [centre, extent, scores], axis=2)
    turned = network.add("Transpose", [decoded], perm=[0, 1, 3, 2])
    return network.add("Reshape", [turned, network.constant([0, len(anchors) * side * side, depth], np.int64)])


def _sigmoid(network: _Network, name: str, *, skip: bool) -> str:
    return name if skip else network.add("Sigmoid", [name])


LAYERS: dict[str, Callable[[_Network, Section], _Blob]] = {
    "convolutional": _convolutional,
    "maxpool": _maxpool,
    "route": _route,
    "shortcut": _shortcut,
    "upsample": _upsample,
    "yolo": _yolo,
}
