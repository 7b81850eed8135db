"""structlog, set up once: JSON lines, or readable text on a terminal; on stderr unless told otherwise.

With `LOG_DIR` every event goes into a file as well. Whatever a library says through Python's own logging is an event
like ours. No credential of a URL gets out, whoever quoted it.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, cast

import structlog
from structlog.processors import ExceptionRenderer, JSONRenderer
from structlog.tracebacks import ExceptionDictTransformer

from tilewatch.telemetry.logfile import LogFile
from tilewatch.telemetry.redact import redact

if TYPE_CHECKING:
    from typing import TextIO

    from structlog.typing import EventDict, Processor, WrappedLogger

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
    """Set up logging for the process, again if need be; `stream` is stderr when None.

    Raises:
        ConfigError: `LOG_DIR` cannot be written.
    """
    target = stream or cast("TextIO", CurrentStderr())
    readable = settings.format == "console" or (settings.format == "auto" and target.isatty())
    _drop_libraries()
    file = LogFile(settings.dir, settings) if settings.dir else None
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([_Copy(file)] if file else []),
            _Redacted(_console(colours=target.isatty()) if readable else _json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.level.upper())),
        logger_factory=structlog.PrintLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    logging.getLogger().addHandler(_Libraries(file))


def logger(room: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of a room; events are constant snake_case past tense, facts are keys."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(room=room))


_structured = ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
"""Tracebacks as data; without the variables' values, among which passwords would be."""


def _json(log: WrappedLogger, method: str, event: EventDict) -> str:
    return cast("str", JSONRenderer()(log, method, _structured(log, method, event)))


def _console(*, colours: bool) -> Processor:
    return structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)


class _Redacted:
    """A renderer whose text holds no credentials."""

    def __init__(self, render: Processor) -> None:
        self._render = render

    def __call__(self, log: WrappedLogger, method: str, event: EventDict) -> str:
        return redact(cast("str", self._render(log, method, event)))


class _Copy:
    """A processor that writes every event into the log file and hands it on."""

    def __init__(self, file: LogFile) -> None:
        self._file = file

    def __call__(self, log: WrappedLogger, method: str, event: EventDict) -> EventDict:
        self._file.write(redact(_json(log, method, dict(event))))
        return event


class _Libraries(logging.Handler):
    """Makes events of what libraries log; owns the log file, so that there is one place to close it."""

    def __init__(self, file: LogFile | None) -> None:
        super().__init__(logging.WARNING)
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record of Python's logging."""
        said = {"text": record.getMessage(), "exc_info": record.exc_info}
        logger(record.name).log(record.levelno, "library_reported", **{key: said[key] for key in said if said[key]})

    def close(self) -> None:
        """Close the file as well."""
        if self._file:
            self._file.close()
        super().close()


def _drop_libraries() -> None:
    """Take away what an earlier `configure` has set up."""
    for handler in list(logging.getLogger().handlers):
        if isinstance(handler, _Libraries):
            logging.getLogger().removeHandler(handler)
            handler.close()
