"""GStreamer's data protocol 1.0: how buffers with their times, and what they are, go through a pipe.

The elements gdppay and gdpdepay (gst-plugins-bad) speak it; a message is a header of 62 bytes and its content.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

HEADER = struct.Struct(">BBBBHIQQQQH8s6xHH")
"""Version (2), flags, padding, kind, length, pts, duration, offset, end, buffer flags, dts, two checksums."""
VERSION = (1, 0)
BUFFER, CAPS, STREAM_START, SEGMENT = 1, 2, 10318, 17998
"""Kinds of message; those of events are 64 + the event's number."""
NONE = (1 << 64) - 1
NO_TIME = b"\xff" * 8
MOST_SPARE = 3
"""Buffers whose memory is kept for the next ones."""
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

    content: memoryview
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


def header_of(length: int, pts: int) -> bytes:
    """Return what has to come before the content of a buffer, of so many bytes; `pts` in nanoseconds."""
    return _header(BUFFER, length, pts)


class Reader:
    """Makes buffers of the bytes that come through a pipe, which are read straight to where they stay."""

    def __init__(self) -> None:
        self._part = memoryview(bytearray(HEADER.size))
        self._have = 0
        self._spare: list[memoryview] = []
        self._about: tuple[int, int, int] | None = None
        """Kind, time and flags of the message whose content is being read; None while its header is."""
        self._caps = ""

    def room(self) -> memoryview:
        """Return where the next bytes have to be put, at most so many."""
        return self._part[self._have :]

    def filled(self, count: int) -> Buffer | None:
        """Take note that so many bytes were put there, and return the buffer that is complete by it, if one is.

        Raises:
            ValueError: this is another protocol.
        """
        self._have += count
        if self._have < len(self._part):
            return None
        part = self._part
        if self._about is None:
            length = self._begin(part)
            self._next(length or HEADER.size)
            return self._end(memoryview(b"")) if not length else None
        self._next(HEADER.size)
        return self._end(part)

    def give_back(self, buffer: Buffer) -> None:
        """Let the memory of a buffer that nobody looks at any more be used again: new memory costs more than a copy."""
        self._spare = [*self._spare[1 - MOST_SPARE :], buffer.content]

    def _next(self, length: int) -> None:
        spare = self._spare.pop() if self._spare and len(self._spare[-1]) == length else None
        self._part, self._have = memoryview(bytearray(length)) if spare is None else spare, 0

    def _begin(self, header: memoryview) -> int:
        """Take a header and return how long its content is."""
        major, minor, _, _, kind, length, pts, *_, flags, _, _, _ = HEADER.unpack_from(header)
        if (major, minor) != VERSION:
            raise ValueError("what came out of GStreamer is not its data protocol 1.0")
        self._about = kind, pts, flags
        return int(length)

    def _end(self, content: memoryview) -> Buffer | None:
        """Take the content of a message."""
        assert self._about is not None
        (kind, pts, flags), self._about = self._about, None
        if kind == CAPS:
            self._caps = bytes(content).rstrip(b"\0").decode()
        if kind != BUFFER:
            return None
        return Buffer(
            content=content,
            pts=None if pts == NONE else pts,
            caps=self._caps,
            corrupted=bool(flags & CORRUPTED),
            key=not flags & DELTA,
        )


def _text(kind: int, text: str) -> bytes:
    content = text.encode() + b"\0"
    return _header(kind, len(content), 0) + content


def _header(kind: int, length: int, pts: int) -> bytes:
    return HEADER.pack(*VERSION, 0, 0, kind, length, pts, NONE, NONE, NONE, 0, NO_TIME, 0, 0)
