"""GStreamer's data protocol 1.0: how buffers with their times, and what they are, go through a pipe.

The elements gdppay and gdpdepay (gst-plugins-bad) speak it; a message is a header of 62 bytes and its content.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = struct.Struct(">BBBBHIQQQQH8s6xHH")
"""Version (2), flags, padding, kind, length, pts, duration, offset, end, buffer flags, dts, two checksums."""
VERSION = (1, 0)
BUFFER, CAPS, STREAM_START, SEGMENT = 1, 2, 10318, 17998
"""Kinds of message; those of events are 64 + the event's number."""
NONE = (1 << 64) - 1
NO_TIME = b"\xff" * 8
CORRUPTED, DELTA = 1 << 8, 1 << 13
"""Flags of a buffer: it is damaged; it builds on others."""

STREAM = (
    "GstEventStreamStart, stream-id=(string)tilewatch, flags=(GstStreamFlags)GST_STREAM_FLAG_NONE, group-id=(uint)1;"
)
TIMES = (
    'GstEventSegment, segment=(GstSegment)"segment, flags=(GstSegmentFlags)GST_SEGMENT_FLAG_NONE, rate=(double)1, '
    "applied-rate=(double)1, format=(GstFormat)time, base=(guint64)0, offset=(guint64)0, start=(guint64)0, "
    f'stop=(guint64){NONE}, time=(guint64)0, position=(guint64)0, duration=(guint64){NONE};";'
)


@dataclass(frozen=True, slots=True)
class Buffer:
    """What one buffer holds."""

    content: bytes
    pts: int | None
    """Nanoseconds."""
    caps: str
    """What it is, in GStreamer's words."""
    corrupted: bool
    key: bool
    """It builds on no other."""


def opening(caps: str) -> bytes:
    """Return what has to come before the first buffer: a stream of what `caps` says, in time."""
    return _text(STREAM_START, STREAM) + _text(CAPS, caps) + _text(SEGMENT, TIMES)


def buffer(content: bytes, pts: int) -> bytes:
    """Return the message of a buffer; `pts` in nanoseconds."""
    return _header(BUFFER, len(content), pts) + content


class Reader:
    """Makes buffers of the bytes that come through a pipe."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._caps = ""

    def take(self, data: bytes) -> Iterator[Buffer]:
        """Yield the buffers that are complete now.

        Raises:
            ValueError: this is another protocol.
        """
        self._bytes += data
        while len(self._bytes) >= HEADER.size:
            major, minor, _, _, kind, length, pts, *_, flags, _, _, _ = HEADER.unpack_from(self._bytes)
            if (major, minor) != VERSION:
                raise ValueError("what came out of GStreamer is not its data protocol 1.0")
            end = HEADER.size + length
            if len(self._bytes) < end:
                return
            content = bytes(memoryview(self._bytes)[HEADER.size : end])
            del self._bytes[:end]
            if kind == CAPS:
                self._caps = content.rstrip(b"\0").decode()
            if kind == BUFFER:
                yield Buffer(
                    content, None if pts == NONE else pts, self._caps, bool(flags & CORRUPTED), not flags & DELTA
                )


def _text(kind: int, text: str) -> bytes:
    content = text.encode() + b"\0"
    return _header(kind, len(content), 0) + content


def _header(kind: int, length: int, pts: int) -> bytes:
    return HEADER.pack(*VERSION, 0, 0, kind, length, pts, NONE, NONE, NONE, 0, NO_TIME, 0, 0)
