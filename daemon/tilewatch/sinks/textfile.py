"""A text file that grows by whole records: buffered, UTF-8, failing in words."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from tilewatch.sinks.disk import writing

if TYPE_CHECKING:
    from pathlib import Path

BUFFER_BYTES = 256 * 1024


class TextFile:
    """One output file, open from the start; line ends are the caller's.

    A name that is no valid Unicode (a file name with stray bytes) is written with backslash escapes, which JSON
    strings allow, rather than refused.

    Raises:
        SinkError: the file cannot be made; DiskFullError when the volume is full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with writing(path):
            self._file = path.open("w", encoding="utf-8", errors="backslashreplace", newline="", buffering=BUFFER_BYTES)

    def write(self, text: str) -> int:
        """Append text; returns its length.

        Raises:
            SinkError: the file system refused; DiskFullError when the volume is full.
        """
        with writing(self.path):
            return self._file.write(text)

    def close(self) -> None:
        """Write out what is buffered and close. Idempotent.

        Raises:
            SinkError: as in `write`.
        """
        with writing(self.path):
            self._file.close()

    def abort(self) -> None:
        """Let go of the file, complete or not; never raises. Idempotent."""
        with suppress(OSError):
            self._file.close()
