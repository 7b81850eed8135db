"""What can fail, and who pays for it: one frame, one stream, or the process.

Every class carries a `reason` (one word for metrics, logs and the manifest) and the exit code that ends a `run`
because of it (sysexits: 64 usage, 65 bad input, 70 engine or device, 75 stopped before the end, 78 configuration).
"""

from __future__ import annotations

from typing import ClassVar


class TilewatchError(Exception):
    """Base of all expected failures; its text is one line that names the thing and the remedy."""

    reason: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 70


class FrameError(TilewatchError):
    """One frame cannot be used: it is counted and skipped, the stream goes on."""

    reason = "frame_damaged"
    exit_code = 65


class StreamError(TilewatchError):
    """One stream (its source or its sinks) has failed; other streams go on."""

    reason = "stream_failed"
    exit_code = 65


class InputError(StreamError):
    """The source cannot be opened, is not a video, or holds no decodable frame."""

    reason = "bad_input"
    exit_code = 65


class DecoderError(StreamError):
    """A hardware decoder hangs, died, or gives up."""

    reason = "decoder_failed"
    exit_code = 70


class UnreachableError(StreamError):
    """A camera does not answer, or not with a stream."""

    reason = "unreachable"


class LoginRefusedError(StreamError):
    """A camera does not accept user and password."""

    reason = "login_refused"


class StreamEndedError(StreamError):
    """A camera's connection ended."""

    reason = "ended"


class StreamStalledError(StreamError):
    """A camera is connected but sends no pictures."""

    reason = "stalled"


class SinkError(StreamError):
    """A result cannot be written: the encoder or the file system refused."""

    reason = "sink_failed"
    exit_code = 70


class DiskFullError(SinkError):
    """The output volume has no space left: nothing is wrong with the input, so a later try can succeed."""

    reason = "disk_full"
    exit_code = 75


class ProcessError(TilewatchError):
    """The whole process cannot go on; an orchestrator restarts it."""

    reason = "process_failed"
    exit_code = 70


class UsageError(ProcessError):
    """The command line asks for something that cannot be meant."""

    reason = "usage"
    exit_code = 64


class ConfigError(ProcessError):
    """A setting, the model or a folder given by the operator cannot be used as it is."""

    reason = "configuration"
    exit_code = 78


class EngineError(ProcessError):
    """The inference engine or its device failed."""

    reason = "engine_failed"
    exit_code = 70


class StoppedError(ProcessError):
    """The operator stopped the work before its end; nothing of it is left."""

    reason = "stopped"
    exit_code = 75
