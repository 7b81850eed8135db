"""What an engine is opened with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MODEL_FOLDER = Path("/models")
"""Where a model is looked for when none is named."""


def mounted_model() -> Path | None:
    """Return the model that lies in the usual place, an engine before what it was made of; None where there is none."""
    places = (MODEL_FOLDER / "model.engine", MODEL_FOLDER / "model.onnx")
    return next((path for path in places if path.is_file()), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """One model and how to run it; the values are those of ModelSettings, BatchSettings and TileSettings."""

    model: Path
    size: int = 640
    """Side of the tiles and of the model's input, pixels."""
    precision: str = "auto"
    threads: int = 0
    """CPU threads; 0: every core this process may use."""
    batch: int = 8
    """Most tiles in one call, for engines that gain by it."""
    head: str = "auto"
    names: tuple[str, ...] | None = None
    """Class names that stand in for the model's own; None: the model's."""
