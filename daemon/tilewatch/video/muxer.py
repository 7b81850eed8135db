"""The MP4 file under construction: index in front, times to the tick, damaged sound forgiven."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import av
from av.error import ArgumentError, FFmpegError, InvalidDataError, PatchWelcomeError

from tilewatch.errors import SinkError
from tilewatch.video.faults import writing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from fractions import Fraction
    from pathlib import Path

    from av.packet import Packet

LEAST_TIMESCALE = 10_000
"""Ticks a second below which MP4 multiplies the time base."""
MOST_TIMESCALE = 10_000_000
"""Ticks a second at most: FFmpeg takes no picture that is decoded 2^31 ticks before it is shown, of nanoseconds 2 s."""
UNFIT = (ArgumentError, InvalidDataError, PatchWelcomeError)
"""What the muxer says of a packet that it cannot take; a volume that fails says something else."""


class Muxer:
    """One output file, made when its header is written. Blocking; not thread-safe.

    Args:
        path: the file.
        time_base: of the pictures; the file's clocks tick finely enough for every time in it, or every 100 ns.
    """

    def __init__(self, path: Path, time_base: Fraction) -> None:
        ticks = min(time_base.denominator, MOST_TIMESCALE)
        while ticks < LEAST_TIMESCALE:
            ticks *= 2
        options = {"movflags": "+faststart", "video_track_timescale": str(ticks), "movie_timescale": str(ticks)}
        self.damaged = 0
        """Pieces of sound that the file could not take."""
        self._path = path
        self._pieces = 0
        self.container = av.open(os.path.abspath(path), "w", format="mp4", container_options=options)  # noqa: PTH100 keeps links
        """To add streams to, before `start`."""

    def start(self) -> None:
        """Make the file and write its header.

        Raises:
            FFmpegError: a stream does not fit, or the file system refused.
        """
        self.container.start_encoding()

    def pictures(self, packets: Iterable[Packet[Any]]) -> None:
        """Add encoded pictures.

        Raises:
            SinkError: the file system refused; DiskFullError when the volume is full.
        """
        self._mux(packets, pieces_each=0)

    def sound(self, packets: Iterable[Packet[Any]]) -> None:
        """Add encoded sound; raises as `pictures`, and whatever the packets' own source raises."""
        self._mux(packets, pieces_each=1)

    def close(self, frames: int) -> None:
        """Complete the file and hold it against what was written, since a muxer may fail without a word.

        Raises:
            SinkError: it holds another number of frames, or as `pictures`.
        """
        with writing(self._path), self._forgiving():
            self.container.close()
        with writing(self._path), av.open(os.path.abspath(self._path)) as finished:  # noqa: PTH100 keeps links
            held = sum(stream.frames for stream in finished.streams.video)
        if held != frames:
            raise SinkError(f"{self._path}: holds {held} of {frames} frames: run again or name another VIDEO_CODEC")

    def abort(self) -> None:
        """Let go of the file and remove it; never raises."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)  # first: the muxer then finds nothing to rewrite and is quick
        with suppress(FFmpegError):
            self.container.close()

    def _mux(self, packets: Iterable[Packet[Any]], *, pieces_each: int) -> None:
        for packet in packets:
            self._pieces += pieces_each
            with writing(self._path), self._forgiving():
                self.container.mux(packet)

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        """Count a piece of sound that the muxer refuses instead of failing.

        The muxer sorts sound and pictures by time, so a refusal may come to light while a picture is handed over, which
        it keeps nevertheless; every refusal uses up one piece of sound.
        """
        try:
            yield
        except UNFIT:
            if self.damaged >= self._pieces:
                raise
            self.damaged += 1
