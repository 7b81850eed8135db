"""Where engines lie, and under which key one that exists is used again.

The key: hash of the model, shapes, precision, TensorRT's version, the GPU's name and architecture. It is read off the
card beside the engine, so an engine and its key cannot be parted.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from tilewatch.engines import cache
from tilewatch.engines.engine_card import file_sha256, read_card
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from tilewatch.engines.engine_card import EngineCard

SUFFIX = ".engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What makes two builds the same."""

    model_sha256: str
    input_size: int
    batch: int
    precision: str
    tensorrt_version: str
    device_name: str
    compute_capability: str

    @classmethod
    def of(cls, card: EngineCard) -> Key:
        """Return the key of an engine that exists."""
        return cls(**{name: getattr(card, name) for name in cls.__dataclass_fields__})

    @property
    def digest(self) -> str:
        """Hash of the whole, 64 hexadecimal digits."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def place(model: Path, key: Key) -> Path:
    """Return where an engine goes that the operator gave no place for.

    Beside the model under its name where that folder can be written to (a mounted /models most often cannot), else in
    the user's cache under a name that tells engines of different keys apart.

    Raises:
        ConfigError: neither can be written to.
    """
    if os.access(model.parent, os.W_OK):
        return model.with_suffix(SUFFIX)
    folder = cache.writable("engines")
    if folder is None:
        raise ConfigError(
            f"neither {model.parent} nor the cache {cache.folder()} can be written to: say where with --output FILE"
        )
    return folder / f"{model.stem}-{key.digest[:12]}{SUFFIX}"


def holds(engine: Path, key: Key) -> bool:
    """Tell whether an engine of this key lies there, whole."""
    if not engine.is_file():
        return False
    card = read_card(engine)
    return card is not None and Key.of(card) == key and file_sha256(engine) == card.engine_sha256


def timing_file(key: Key) -> Path | None:
    """Return where the timing cache of a device and version is kept; None where no cache can be written."""
    folder = cache.writable("tensorrt")
    device = hashlib.sha256(f"{key.device_name} {key.compute_capability}".encode()).hexdigest()[:12]
    return None if folder is None else folder / f"timings-{key.tensorrt_version}-{device}.cache"
