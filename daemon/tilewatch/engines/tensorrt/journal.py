"""What TensorRT says: it returns None or False, and tells the reason to a logger and an error recorder."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from tilewatch.engines.cuda.binding import DeviceMemoryError
from tilewatch.errors import EngineError
from tilewatch.telemetry import log

if TYPE_CHECKING:
    from types import ModuleType

    from tilewatch.errors import TilewatchError

KEPT = 8
"""Messages; the first ones name the cause."""
MEMORY_WORDS = ("outofmemory", "out of memory", "out_of_memory", "memoryallocation")

logger = log.logger("tensorrt")
_LOGGERS: list[object] = []
"""All that TensorRT was ever given: it keeps the first one for the whole process, and may call it to the end."""


class Journal:
    """The errors of one engine since they were last asked for."""

    def __init__(self, trt: ModuleType) -> None:
        self._said: deque[str] = deque()
        self.logger = _logger(trt, self)
        """For trt.Runtime."""
        _LOGGERS.append(self.logger)
        self.recorder = _recorder(trt, self)

    def note(self, text: str) -> None:
        """Keep a message, from any thread; the first ones count."""
        if len(self._said) < KEPT:
            self._said.append(" ".join(text.split()))

    def take(self) -> str:
        """Return what was said, in one line, and forget it."""
        said = dict.fromkeys(self._said)
        self._said.clear()
        return "; ".join(said) or "TensorRT gives no reason"

    def failure(self, doing: str) -> TilewatchError:
        """Return the error for a call that did not do what it should."""
        said = self.take()
        if any(word in said.lower() for word in MEMORY_WORDS):
            return DeviceMemoryError(doing, "cudaErrorMemoryAllocation", said)
        return EngineError(f"TensorRT: {doing} failed: {said}")


def _logger(trt: ModuleType, journal: Journal) -> Any:  # noqa: ANN401 -- the class exists only with TensorRT
    """Return a logger that keeps errors in the journal and passes warnings on."""
    severe = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)

    class Logger(trt.ILogger):  # type: ignore[name-defined,misc]  # as above
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: object, msg: str) -> None:
            if severity in severe:
                journal.note(msg)
            elif severity == trt.ILogger.Severity.WARNING:
                logger.warning("tensorrt_warned", message=msg)

    return Logger()


def _recorder(trt: ModuleType, journal: Journal) -> Any:  # noqa: ANN401 -- as _logger
    """Return an error recorder that keeps everything in the journal."""

    class Recorder(trt.IErrorRecorder):  # type: ignore[name-defined,misc]  # as _logger
        def __init__(self) -> None:
            trt.IErrorRecorder.__init__(self)
            self.errors: list[tuple[object, str]] = []

        def report_error(self, code: object, desc: str) -> bool:
            self.errors.append((code, desc))
            journal.note(desc)
            return False

        def get_num_errors(self) -> int:
            return len(self.errors)

        num_errors = get_num_errors

        def get_error_code(self, index: int) -> object:
            return self.errors[index][0]

        def get_error_desc(self, index: int) -> str:
            return self.errors[index][1]

        def has_overflowed(self) -> bool:
            return False

        def clear(self) -> None:
            self.errors.clear()

    return Recorder()
