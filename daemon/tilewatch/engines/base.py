"""What every inference engine offers, and how the rest of the program may use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.records import F32, Frame, Tiles


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What is really in use; goes to the log, the metrics and the manifest as it stands."""

    backend: str
    """'openvino', 'onnxruntime' or 'tensorrt'."""
    backend_version: str
    device: str
    """Full name of the device as its runtime reports it."""
    precision: str
    """Arithmetic of inference: 'f32', 'bf16', 'f16' or 'int8'; 'as built' for an engine file that does not tell."""
    precision_reason: str
    """Why that precision was taken, in a few words."""
    model_path: str
    model_sha256: str
    """Hash of the model file as the user gave it."""
    names: tuple[str, ...]
    """Class names by index; empty when the model does not tell."""
    input_size: int
    """S: side of the square input, pixels."""
    head: str
    """Name of the recognised output layout (see engines.heads)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeding:
    """How an engine likes to be fed."""

    batch: int
    """Most tiles in one `submit`: 1 for OpenVINO on a CPU, 8 for a GPU."""
    in_flight: int
    """Submits it should have before the oldest is collected."""


class Slot(Protocol):
    """A place for the pixels of one frame's tiles, owned by the engine's pool."""

    @property
    def count(self) -> int:
        """Number of tiles it holds."""


class Engine(Protocol):
    """One model on one device.

    `cut` and `release` may be called from any thread; everything else only from the engine's own lane.
    """

    @property
    def info(self) -> EngineInfo:
        """What is in use; valid after `open`."""

    @property
    def feeding(self) -> Feeding:
        """How to feed it; valid after `open`."""

    def open(self) -> None:
        """Load the model onto the device.

        Raises:
            ConfigError: the model file is unusable, or does not fit the settings.
            EngineError: the runtime or the device failed.
        """

    def warm_up(self) -> None:
        """Run one full batch through, so that the first frame pays for no compilation; checks the head's layout."""

    def cut(self, frame: Frame, tiles: Tiles) -> Slot:
        """Cut the tiles' pixels out of a frame into a slot of the pool; releases the GIL."""

    def submit(self, parts: Sequence[tuple[Slot, int]]) -> None:
        """Start inference of up to `feeding.batch` tiles, each named by slot and row. Does not wait.

        Raises:
            EngineError: the device refused.
        """

    def collect(self) -> tuple[F32, ...]:
        """Wait for the oldest `submit` and return its outputs, each (n, ...) float32.

        The arrays are valid until the next call of `submit` or `collect`: copy what must stay.

        Raises:
            EngineError: the device failed.
        """

    def release(self, slot: Slot) -> None:
        """Give a slot back to the pool once its tiles are inferred."""

    def close(self) -> None:
        """Free the device. Idempotent; whatever is in flight is waited for."""
