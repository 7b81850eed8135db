"""Opens a file to see whether it is finished, and remembers which one was open should that end the process."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from tilewatch.telemetry import log
from tilewatch.video.opening import can_open

if TYPE_CHECKING:
    from pathlib import Path

logger = log.logger("service")


class Trial:
    """Tells whether a file opens. Blocking.

    A file that was being opened when an earlier process died is not opened again here: it is taken as it is, so that
    it becomes a job, whose crashes are counted and have an end.

    Args:
        note: file in which the name of the file under trial stands meanwhile.
        max_pixels: largest picture that is decoded.
    """

    def __init__(self, note: Path, max_pixels: int) -> None:
        self._note = note
        self._max_pixels = max_pixels
        self._suspects = self._left_behind()

    def __call__(self, path: Path) -> bool:
        """Return whether a file is a container that opens."""
        name = os.fsencode(path)
        if name in self._suspects:
            return True
        with suppress(OSError):  # without room for the note the file is opened all the same
            self._note.write_bytes(name)
        try:
            return can_open(path, max_pixels=self._max_pixels)
        finally:
            self._note.unlink(missing_ok=True)

    def _left_behind(self) -> set[bytes]:
        try:
            name = self._note.read_bytes()
        except OSError:
            return set()
        logger.warning("file_under_suspicion", path=os.fsdecode(name), cause="the process ended while it was opened")
        return {name}
