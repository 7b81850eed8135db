"""structlog, set up once: JSON lines, or readable text on a terminal; always on stderr, stdout is for results."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, cast

import structlog

if TYPE_CHECKING:
    from typing import TextIO

    from tilewatch.settings import LogSettings


class CurrentStderr:
    """Writes to what sys.stderr is at that moment, so that a progress bar can put itself below what is logged."""

    def write(self, text: str) -> int:
        """Write some text."""
        return sys.stderr.write(text)

    def flush(self) -> None:
        """Flush what was written."""
        sys.stderr.flush()

    def isatty(self) -> bool:
        """Tell whether a person reads it."""
        return sys.stderr.isatty()


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Set up logging for the process; `stream` is stderr when None."""
    target = stream or cast("TextIO", CurrentStderr())
    readable = settings.format == "console" or (settings.format == "auto" and target.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=target.isatty()) if readable else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if readable else [structlog.processors.dict_tracebacks]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.level.upper())),
        logger_factory=structlog.PrintLoggerFactory(target),
        cache_logger_on_first_use=False,
    )


def logger(room: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of a room; events are constant snake_case past tense, facts are keys."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(room=room))
