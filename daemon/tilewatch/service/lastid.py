"""The highest id that an object of a camera was given, over all starts of the service: no id is given twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tilewatch.jobs.ledger import ledger_path
from tilewatch.sinks.disk import replace_whole, writing
from tilewatch.telemetry import log

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

    from tilewatch.records import I64

SUFFIX = ".json"

logger = log.logger("camera")


class LastId:
    """The number and its file. Blocking; used from one lane at a time.

    Args:
        path: the file, made by the first `save`.
        value: the highest id so far; 0: none was given.
    """

    def __init__(self, path: Path, value: int = 0) -> None:
        self.value = value
        self._path = path
        self._saved = -1

    @classmethod
    def of(cls, output: Path, camera: str) -> Self:
        """Return what an output folder knows of a camera; what cannot be read is told in the log."""
        path = _folder(output) / f"{camera}{SUFFIX}"
        try:
            return cls(path, _read(path))
        except (OSError, ValueError, TypeError) as error:
            logger.warning("last_id_unreadable", stream=camera, path=str(path), error=str(error))
            return cls(path)

    def see(self, ids: I64) -> None:
        """Take the (N,) ids of a frame."""
        self.value = max(self.value, int(ids.max(initial=0)))

    def save(self) -> None:
        """Keep the number for good, before what shows it is; costs nothing while it stands.

        Raises:
            SinkError: the file system refused; DiskFullError when the volume is full.
        """
        if self.value == self._saved:
            return
        with writing(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_whole(self._path, json.dumps({"last_id": self.value}).encode())
        self._saved = self.value


def cameras(output: Path) -> list[str]:
    """Return the names of all cameras that were ever recorded into a folder; blocking."""
    return sorted(path.name[: -len(SUFFIX)] for path in _folder(output).glob(f"*{SUFFIX}"))


def _folder(output: Path) -> Path:
    return ledger_path(output).with_name("cameras")


def _read(path: Path) -> int:
    try:
        return int(json.loads(path.read_bytes())["last_id"])
    except FileNotFoundError:
        return 0
    except KeyError as error:
        raise ValueError(f"it has no {error}") from error
