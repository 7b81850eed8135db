"""An engine file: read, held against its card, the device and the settings, and given to TensorRT."""

from __future__ import annotations

import glob
import hashlib
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tilewatch.engines import cache
from tilewatch.engines.cuda.binding import DeviceMemoryError, NotInstalledError
from tilewatch.engines.engine_card import EngineCard, file_sha256, read_card
from tilewatch.engines.tensorrt.journal import Journal
from tilewatch.errors import ConfigError, TilewatchError

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from tilewatch.engines.cuda.device import Device
    from tilewatch.engines.options import EngineOptions

SUFFIXES = (".engine", ".plan", ".trt")
"""What engine files are called."""
PLANES, RANK = 3, 4
UNKNOWN_PRECISION = "as built"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """An input or output of an engine."""

    name: str
    type: str
    """'FLOAT', 'HALF', ... : TensorRT's own name."""
    shape: tuple[int, ...]
    """The batch first; -1 where it is free."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """An engine in the device's memory."""

    trt: ModuleType
    engine: Any
    """tensorrt.ICudaEngine"""
    runtime: Any
    """tensorrt.Runtime, which must outlive the engine."""
    journal: Journal
    """Must outlive both."""
    input: Tensor
    outputs: tuple[Tensor, ...]
    least: int
    """Fewest tiles of a call: 1, or the batch of an engine that was built for one only."""
    most: int
    card: EngineCard | None
    path: Path
    sha256: str

    @property
    def half(self) -> bool:
        """Whether the input is float16."""
        return self.input.type == "HALF"


def runtime_module() -> ModuleType:
    """Return the tensorrt package; only after a device was found (see cuda.device.probe).

    Raises:
        NotInstalledError: it is not there, or its libraries are not.
    """
    try:
        return importlib.import_module("tensorrt")
    except (ImportError, OSError, RuntimeError) as error:
        raise NotInstalledError(
            f"BACKEND=tensorrt needs TensorRT 10 or 11 ({str(error).splitlines()[0]}): "
            "pip install 'tilewatch[nvidia]'; on a Jetson it comes with JetPack (python3-libnvinfer)"
        ) from error


def engine_file(model: Path, device: Device) -> Path:
    """Return the engine of a model: the file itself, or what was built from an ONNX file.

    That lies beside it, or, where its folder cannot be written to, in the user's cache.

    Raises:
        ConfigError: there is none, or it was built from another model.
    """
    if model.suffix in SUFFIXES:
        return model
    sha256, beside = file_sha256(model), model.with_suffix(SUFFIXES[0])
    cached = sorted((cache.folder() / "engines").glob(f"{glob.escape(model.stem)}-*{SUFFIXES[0]}"))
    cards = {path: read_card(path) for path in (beside, *cached) if path.is_file()}
    fitting = [path for path, card in cards.items() if card is not None and card.model_sha256 == sha256]
    if fitting:
        return next((path for path in fitting if _is_for(cards[path], device)), fitting[0])
    if beside not in cards:
        raise ConfigError(f"there is no TensorRT engine of {model}: {rebuild(model)}, or set BACKEND=onnxruntime")
    card = cards[beside]
    if card is None:
        raise ConfigError(f"{beside} has no card that says it was built from {model}: name it in MODEL_PATH itself")
    raise ConfigError(f"{beside} was built from another {card.model_name} than {model}: {rebuild(model)}")


def _is_for(card: EngineCard | None, device: Device) -> bool:
    return card is not None and (card.compute_capability, card.device_name) == (device.capability, device.name)


def rebuild(model: Path | str) -> str:
    """Return the remedy for an engine that does not fit."""
    return f"build it on this machine: tilewatch model build {model}"


def read_plan(path: Path, options: EngineOptions, device: Device) -> Plan:
    """Load an engine file onto the device.

    Raises:
        ConfigError: not an engine of this TensorRT, this device and these settings; names both sides and the remedy.
        DeviceMemoryError: the device has no room for it.
        EngineError: TensorRT failed otherwise.
    """
    card, content = read_card(path), _content(path)
    sha256 = hashlib.sha256(content).hexdigest()
    trt = runtime_module()
    if card is not None:
        _check_card(path, card, sha256, trt.__version__, device)
        _check_precision(path, card, options)
    journal = Journal(trt)
    runtime, engine = _deserialize(trt, journal, content)
    if engine is None:
        failure = journal.failure(f"loading {path}")
        if isinstance(failure, DeviceMemoryError):
            raise failure
        raise _refusal(trt, path, card, device, failure) from failure
    journal.take()  # what TensorRT got over is no reason of what fails later
    tensors = [_tensor(trt, engine, index) for index in range(engine.num_io_tensors)]
    _check_formats(trt, path, engine, [tensor.name for tensor, _ in tensors])
    image, outputs = _divided(path, [tensor for tensor, _ in tensors], [given for _, given in tensors])
    least, most = _batches(path, engine, image, options.size)
    return Plan(
        trt=trt,
        engine=engine,
        runtime=runtime,
        journal=journal,
        input=image,
        outputs=outputs,
        least=least,
        most=most,
        card=card,
        path=path,
        sha256=sha256,
    )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"engine {path}: {error.strerror}") from error


def _check_card(path: Path, card: EngineCard, sha256: str, version: str, device: Device) -> None:
    """Refuse what TensorRT would refuse, with both sides named; and a file that is not the card's."""
    remedy = rebuild(card.model_name)
    if card.engine_sha256 != sha256:
        raise ConfigError(f"engine {path} is not the file its card describes (sha256): {remedy}, or remove the card")
    if card.compute_capability != device.capability:
        raise ConfigError(
            f"engine {path} was built for compute capability {card.compute_capability} ({card.device_name}), "
            f"but this device has {device.capability} ({device.name}): {remedy}"
        )
    if not card.is_of(version):
        raise ConfigError(
            f"engine {path} was built by TensorRT {card.tensorrt_version}, but TensorRT {version} is installed: "
            f"{remedy}"
        )


def _check_precision(path: Path, card: EngineCard, options: EngineOptions) -> None:
    if options.precision not in {"auto", card.precision}:
        raise ConfigError(
            f"PRECISION={options.precision}, but engine {path} computes in {card.precision}: "
            f"set PRECISION={card.precision} or auto, or {rebuild(card.model_name)}"
        )


def _deserialize(trt: ModuleType, journal: Journal, content: bytes) -> tuple[Any, Any]:
    """Return the runtime and the engine; None for one that TensorRT does not take."""
    trt.init_libnvinfer_plugins(journal.logger, "")
    try:
        runtime = trt.Runtime(journal.logger)
    except TypeError as error:  # of a factory that gave nothing
        raise journal.failure("making a runtime") from error
    runtime.error_recorder = journal.recorder
    return runtime, runtime.deserialize_cuda_engine(content)


def _refusal(
    trt: ModuleType, path: Path, card: EngineCard | None, device: Device, failure: TilewatchError
) -> ConfigError:
    """Return the error for an engine that TensorRT does not take."""
    origin = f"TensorRT {card.tensorrt_version} on {card.device_name}" if card else "an unknown TensorRT and device"
    return ConfigError(
        f"engine {path}, built by {origin}, is not one for TensorRT {trt.__version__} on {device.name} "
        f"(compute capability {device.capability}): {rebuild(card.model_name if card else 'MODEL.onnx')} ({failure})"
    )


def _tensor(trt: ModuleType, engine: Any, index: int) -> tuple[Tensor, bool]:  # noqa: ANN401 -- ICudaEngine
    """Return a tensor, and whether it is an input."""
    name = engine.get_tensor_name(index)
    kind = str(engine.get_tensor_dtype(name).name)
    tensor = Tensor(name=name, type=kind, shape=tuple(engine.get_tensor_shape(name)))
    return tensor, engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT


def _check_formats(trt: ModuleType, path: Path, engine: Any, names: list[str]) -> None:  # noqa: ANN401 -- ICudaEngine
    """Refuse tensors that do not lie plane after plane, row after row: they would be read as something else."""
    for name in names:
        layout = engine.get_tensor_format(name)
        if layout != trt.TensorFormat.LINEAR:
            raise ConfigError(
                f"engine {path}: {name} lies in memory as {layout.name}, LINEAR is needed: build it without formats of "
                "inputs and outputs (trtexec: --inputIOFormats, --outputIOFormats)"
            )


def _divided(path: Path, tensors: list[Tensor], given: list[bool]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return the only input, an image, and the outputs."""
    inputs = [tensor for tensor, is_input in zip(tensors, given, strict=True) if is_input]
    outputs = [tensor for tensor, is_input in zip(tensors, given, strict=True) if not is_input]
    if len(inputs) != 1:
        names = ", ".join(tensor.name for tensor in inputs)
        raise ConfigError(f"engine {path} has {len(inputs)} inputs ({names}): a detector with one image is needed")
    image = inputs[0]
    if len(image.shape) != RANK or image.shape[1] != PLANES or image.type not in {"FLOAT", "HALF"}:
        raise ConfigError(
            f"engine {path}: input {image.name} is {image.type} {list(image.shape)}: "
            "(N, 3, S, S) of float or half is needed: build it from an ONNX file as it was exported"
        )
    return image, tuple(outputs)


def _batches(path: Path, engine: Any, image: Tensor, size: int) -> tuple[int, int]:  # noqa: ANN401 -- ICudaEngine
    """Return the fewest and the most tiles of a call; refuse an engine for another size than TILE_SIZE."""
    least = most = image.shape
    if -1 in image.shape:
        least, _, most = (tuple(shape) for shape in engine.get_tensor_profile_shape(image.name, 0))
    if not all(low <= size <= high for low, high in zip(least[2:], most[2:], strict=True)):
        sides = f"{most[3]}x{most[2]}" if least[2:] == most[2:] else f"{least[3]}x{least[2]} to {most[3]}x{most[2]}"
        raise ConfigError(f"engine {path}: its input is {sides}, but TILE_SIZE={size}: set TILE_SIZE={most[2]}")
    return least[0], most[0]
