"""Whether the model's file is still the one that the engine was opened with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model's file as it was when it was looked at; made by `seen`."""

    path: Path
    _mark: tuple[int, int] | None

    @classmethod
    def seen(cls, path: Path) -> ModelFile:
        """Return what tells the file that is there now from another one; blocking."""
        return cls(path, _mark(path))

    def is_outdated(self) -> bool:
        """Tell whether another file is there by now, or none; blocking."""
        return _mark(self.path) != self._mark


def _mark(path: Path) -> tuple[int, int] | None:
    """Return size and time of change; None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
