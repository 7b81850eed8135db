"""An ONNX file as the engines take it: checked against the settings, head recognised, preparation baked in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # onnx itself has no stubs either

from tilewatch.engines import graft, metadata
from tilewatch.engines.recognise import recognise
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from tilewatch.engines.heads import Head
    from tilewatch.engines.options import EngineOptions
    from tilewatch.engines.recognise import Shape

CHANNELS, IMAGE_RANK = 3, 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """A model whose only input is `tiles` (N, S, S, 3) uint8 RGB and whose outputs are float32."""

    content: bytes
    """Serialised ModelProto."""
    dynamic: bool
    """True: N is free; False: N is 1."""
    head: Head
    """Not settled yet: needs the outputs of a first batch."""
    names: tuple[str, ...]
    input: str
    """The input convention that was baked in (see graft.INPUTS)."""
    sha256: str
    """Hash of the file."""
    quantised: bool
    """Whether some of it computes in eight bits."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detector:
    """A model as its author made it, found to be a detector that fits the settings."""

    model: onnx.ModelProto
    """Its batch is free where the graph allows."""
    image: onnx.ValueInfoProto
    """Its only input: (N, 3, S, S) float32 or float16."""
    dynamic: bool
    """True: N is free; False: N is 1."""
    head: Head
    """Not settled yet: needs the outputs of a first batch."""
    names: tuple[str, ...]
    input: str
    """The input convention (see graft.INPUTS)."""
    sha256: str
    """Hash of the file."""

    @property
    def half(self) -> bool:
        """Whether it takes its picture in float16."""
        kind: int = self.image.type.tensor_type.elem_type
        return kind == onnx.TensorProto.FLOAT16

    @property
    def quantised(self) -> bool:
        """Whether some of it computes in eight bits."""
        return any(node.op_type == "QuantizeLinear" for node in self.model.graph.node)


def load(options: EngineOptions, *, unsigned: bool = False) -> Graph:
    """Read, check and prepare a model.

    Args:
        options: which, and what it has to fit.
        unsigned: quantised activations are to be uint8 (see graft.unsigned).

    Raises:
        ConfigError: not a readable ONNX detector, or one that does not fit TILE_SIZE, HEAD or the labels.
    """
    detector = read(options)
    graft.bake(detector.model, detector.image, options.size, detector.input, dynamic=detector.dynamic)
    if unsigned:
        graft.unsigned(detector.model)
    return Graph(
        content=detector.model.SerializeToString(),
        dynamic=detector.dynamic,
        head=detector.head,
        names=detector.names,
        input=detector.input,
        sha256=detector.sha256,
        quantised=detector.quantised,
    )


def read(options: EngineOptions) -> Detector:
    """Read and check a model.

    Raises:
        ConfigError: as `load`.
    """
    model, sha256 = load_file(options.model)
    try:
        return _check(model, sha256, options)
    except ConfigError as error:
        raise ConfigError(f"model {options.model}: {error}") from error


def load_file(path: Path) -> tuple[onnx.ModelProto, str]:
    """Return the model with its external data, and the file's hash."""
    try:
        content = path.read_bytes()
        model = onnx.load_model_from_string(content)
    except OSError as error:
        raise ConfigError(f"model {path}: {error.strerror}") from error
    except DecodeError as error:
        raise ConfigError(f"model {path} is not an ONNX file, or is cut short: export or fetch it again") from error
    _load_external(model, path)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ConfigError(f"model {path} is damaged or not an ONNX file: {_first_line(error)}") from error
    return model, hashlib.sha256(content).hexdigest()


def _load_external(model: onnx.ModelProto, path: Path) -> None:
    """Bring in weights that lie in files of their own beside the model."""
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ConfigError(
            f"model {path} keeps its weights in another file that cannot be read ({_first_line(error)}): "
            "put it beside the model"
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _check(model: onnx.ModelProto, sha256: str, options: EngineOptions) -> Detector:
    """Check the model against the settings and free its batch."""
    facts = metadata.read({entry.key: entry.value for entry in model.metadata_props})
    image = _image_input(model)
    _check_size(image, facts.stride, options.size)
    head = recognise(output_shapes(model, image, options.size), facts, options.size, options.head)
    convention = graft.convention(head, facts)
    dynamic = graft.free_batch(model, image, options.size)
    return Detector(
        model=model,
        image=_image_input(model),
        dynamic=dynamic,
        head=head,
        names=class_names(options.names, facts.names, head.classes),
        input=convention,
        sha256=sha256,
    )


def _image_input(model: onnx.ModelProto) -> onnx.ValueInfoProto:
    """Return the only input, an image of three planes."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise ConfigError(f"has {len(inputs)} inputs ({names}): a detector with one image input is needed")
    tensor = inputs[0].type.tensor_type
    dims = [dim.dim_value for dim in tensor.shape.dim]
    if len(dims) != IMAGE_RANK or dims[1] not in {0, CHANNELS}:
        raise ConfigError(f"input {inputs[0].name} has shape {_dims(inputs[0])}: (N, 3, S, S) is needed")
    if tensor.elem_type not in {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}:
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type)
        raise ConfigError(f"input {inputs[0].name} is of type {kind}: float or float16 is needed")
    image: onnx.ValueInfoProto = inputs[0]
    return image


def _dims(value: onnx.ValueInfoProto) -> str:
    dims = [str(dim.dim_value) if dim.dim_value else dim.dim_param or "?" for dim in value.type.tensor_type.shape.dim]
    return f"({', '.join(dims)})"


def _check_size(image: onnx.ValueInfoProto, stride: int, size: int) -> None:
    """Refuse a model made for another size than TILE_SIZE."""
    height, width = (dim.dim_value for dim in image.type.tensor_type.shape.dim[2:])
    if height and width and height != width:
        raise ConfigError(f"its input is {width}x{height}: a square one is needed, export it so")
    if fixed := next((side for side in (height, width) if side not in {0, size}), None):
        raise ConfigError(f"its input is {fixed}x{fixed}, but TILE_SIZE={size}: set TILE_SIZE={fixed}")
    if size % stride:
        raise ConfigError(f"TILE_SIZE={size} is no multiple of its stride {stride}: set TILE_SIZE to one")


def output_shapes(model: onnx.ModelProto, image: onnx.ValueInfoProto, size: int) -> dict[str, Shape]:
    """Return the shape of every output for one tile of `size`, as far as it can be inferred."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    graft.set_input_shape(fixed, image.name, (1, CHANNELS, size, size))
    inferred = graft.inferred(fixed)
    given = {value.name: value for value in model.graph.output}
    return {value.name: _shape(value) or _shape(given[value.name]) for value in inferred.graph.output}


def _shape(value: onnx.ValueInfoProto) -> list[int | None]:
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]


def class_names(given: tuple[str, ...] | None, own: tuple[str, ...], classes: int | None) -> tuple[str, ...]:
    """Return the operator's names if given, else the model's."""
    if given is not None and classes is not None and len(given) > classes:
        raise ConfigError(f"has {classes} classes, but LABELS_PATH holds {len(given)} names: give the model's own list")
    return own if given is None else given
