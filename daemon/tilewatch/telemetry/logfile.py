"""The copy of the log in `LOG_DIR`: JSON lines in files of bounded size and number."""

from __future__ import annotations

import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from tilewatch.settings import LogSettings

NAME = "tilewatch.log"


class LogFile(RotatingFileHandler):
    """Takes rendered lines; one process to a folder.

    A full disk or a lost volume must not stop the service: a line that cannot be written is dropped, which is said once
    in the log proper, and the next one is tried again. A file that somebody removed is begun anew.

    Raises:
        ConfigError: the folder cannot be made or written at the start.
    """

    def __init__(self, folder: Path, settings: LogSettings) -> None:
        self._failing = self._told = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            super().__init__(
                folder / NAME,
                maxBytes=settings.max_bytes,
                backupCount=settings.keep,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            raise ConfigError(
                f"LOG_DIR={folder}: the log cannot be written there ({error.strerror}): "
                "give tilewatch's user the right to, or unset it"
            ) from error

    def write(self, line: str) -> None:
        """Append one line."""
        self.handle(logging.LogRecord("tilewatch", logging.INFO, "", 0, line, None, None))

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, into a new file where the old one is gone."""
        self._failing = False
        if self.stream is not None and not Path(self.baseFilename).exists():
            self.stream.close()
            self.stream = None
        super().emit(record)
        if not self._failing:
            self._told = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 the name is the library's
        """Drop the line and say so, once for every time it begins to fail."""
        self._failing = True
        if not self._told:
            self._told = True
            structlog.get_logger(room="log").error(
                "log_file_failed", file=self.baseFilename, error=str(sys.exc_info()[1])
            )
