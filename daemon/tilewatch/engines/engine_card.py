"""What travels with a TensorRT engine: `NAME.engine.json` beside `NAME.engine`.

A serialised engine tells its tensors and nothing else: no class names, no hash of the model it was built from, no
device it was built on. The card does, and lets an engine be refused with both sides named before TensorRT sees it.

The engine's only input is the model's own: (N, 3, S, S), float32 or float16, N from 1 to `batch`; its outputs are the
model's. The card's `normalisation` says what those planes hold (see graft.INPUTS).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import TypeAdapter, ValidationError

from tilewatch.engines import files
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 1 << 20
VERSION_PARTS = 3
"""Of a version of TensorRT: an engine runs on the release that built it, whatever its build number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCard:
    """The facts of one engine file."""

    schema: Literal[1] = 1
    """Version of this record."""
    model_sha256: str
    """Hash of the ONNX file as the user gave it."""
    model_name: str
    """Name of that file, without its folder."""
    names: tuple[str, ...]
    """Class names by index; empty where the model does not tell."""
    head: str
    """Output layout, a `Head.name` (see engines.heads): its first word is a value of HEAD."""
    input_size: int
    """S: side of the square input, pixels."""
    normalisation: str
    """What the input planes hold: a key of graft.INPUTS."""
    precision: Literal["f32", "bf16", "f16", "int8"]
    """Arithmetic of inference."""
    batch: int
    """Most tiles in one call: the profile is 1 to this."""
    tensorrt_version: str
    """'10.7.0.23': an engine runs on the version that built it."""
    cuda_version: str
    """CUDA runtime of the build, '12.6'."""
    device_name: str
    compute_capability: str
    """'8.7': an engine runs on the architecture it was built for."""
    engine_sha256: str
    """Hash of the engine file this card belongs to."""
    built_at: str
    """Time of the build, ISO 8601 with its zone."""
    tilewatch_version: str

    def is_of(self, tensorrt: str) -> bool:
        """Tell whether an installed TensorRT is of the release that built it."""
        return self.tensorrt_version.split(".")[:VERSION_PARTS] == tensorrt.split(".")[:VERSION_PARTS]


_CARD = TypeAdapter(EngineCard)


def card_path(engine: Path) -> Path:
    """Return where the card of an engine file lies: its name with `.json` behind it."""
    return engine.with_name(f"{engine.name}.json")


def write_card(engine: Path, card: EngineCard) -> None:
    """Write the card beside its engine; it is there whole or not at all.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    files.write_whole(card_path(engine), _CARD.dump_json(card, indent=2) + b"\n")


def read_card(engine: Path) -> EngineCard | None:
    """Return the card of an engine; None where there is none, as beside an engine that trtexec made.

    Raises:
        ConfigError: the card cannot be read, or is not one.
    """
    path = card_path(engine)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"engine card {path}: {error.strerror}") from error
    try:
        return _CARD.validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(
            f"engine card {path}: {place}: {first['msg']}: build the engine again, or remove the card"
        ) from error


def file_sha256(path: Path) -> str:
    """Return a file's hash, read in pieces: engines are large.

    Raises:
        ConfigError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(CHUNK):
                digest.update(piece)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    return digest.hexdigest()
