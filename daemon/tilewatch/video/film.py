"""One MP4 on its way to completion: encoded pictures, and the source's sound beside them."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.error import FFmpegError

from tilewatch.errors import InputError
from tilewatch.video.encoder import Traits
from tilewatch.video.faults import cause, is_full, writing
from tilewatch.video.muxer import Muxer
from tilewatch.video.opening import open_video
from tilewatch.video.sound import Sound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from typing import Any

    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from tilewatch.records import StreamInfo

OWN_CLOCKS = frozenset({"mpegts", "mpeg"})
"""Containers whose times begin anywhere (the recorder's clock): the output begins at 0 instead."""
END_SLACK_FRAMES = 2
"""A video that came this close to its promised end was not stopped early."""


class Film:
    """One output file. Blocking; not thread-safe.

    Args:
        path: the file; made or overwritten by `open`, and removed again by `abort`.
        info: of the source, whose sound is copied from its file.
        first_pts: of the first picture, the source's ticks.
    """

    def __init__(self, path: Path, info: StreamInfo, first_pts: int) -> None:
        self.path = path
        self.warnings: list[str] = []
        """What a person must know of the result, one line each; complete once it is closed."""
        self._info = info
        self._source = self._open_source()
        self.origin = self._origin_pts(first_pts)
        """The source's time that is 0 in the output, ticks."""
        self._muxer: Muxer | None = None
        self._sound: Sound | None = None
        self._last_pts: int | None = None
        self._closed = False

    @property
    def traits(self) -> Traits:
        """What of the source goes into the tags of the pictures."""
        return Traits.of(self._source, self._info.rotation) if self._source else Traits()

    def open(self, add_pictures: Callable[[OutputContainer], VideoStream]) -> VideoStream:
        """Make the file with a stream of pictures, and with the sound as far as it can be had; write its header.

        Raises:
            SinkError: what `add_pictures` raised, or the file system refused; DiskFullError when the volume is full.
        """
        with writing(self.path):
            return self._open(add_pictures, with_sound=bool(self._source and self._source.streams.audio))

    def pictures(self, packets: Iterable[Packet[Any]], *, reached: int) -> None:
        """Add encoded pictures, and the sound up to the time `reached`, the output's ticks.

        Raises:
            SinkError: the file system refused; DiskFullError when the volume is full.
        """
        assert self._muxer is not None
        self._muxer.pictures(packets)
        self._last_pts = reached
        self._carry_sound(reached * self._info.time_base)

    def close(self, packets: Iterable[Packet[Any]], frames: int) -> None:
        """Add the last pictures and complete the file, which then holds that many.

        Raises:
            SinkError: it holds another number of frames, or as `pictures`.
        """
        assert self._muxer is not None
        self._muxer.pictures(packets)
        self._carry_sound(self._sound_end())
        self._muxer.close(frames)
        self._closed = True
        damaged = self._muxer.damaged + (self._sound.damaged if self._sound else 0)
        self._muxer = None
        if damaged:
            self.warnings.append(f"{damaged} damaged pieces of sound were left out")
        self.release()

    def abort(self) -> None:
        """Let go of the file and remove it unless it is complete; never raises. Idempotent."""
        if not self._closed and self._muxer is not None:
            self._muxer.abort()
        self._closed = True
        self.release()

    def release(self) -> None:
        """Let go of the source. Idempotent."""
        self._sound = None
        if self._source is not None:
            self._source.close()
            self._source = None

    def _open_source(self) -> InputContainer | None:
        if self._info.live:
            return None
        try:
            return open_video(self._info.path, max_pixels=self._info.width * self._info.height)
        except InputError as error:
            self.warnings.append(f"there is no sound: {error}")
            return None

    def _open(self, add_pictures: Callable[[OutputContainer], VideoStream], *, with_sound: bool) -> VideoStream:
        self._muxer = muxer = Muxer(self.path, self._info.time_base)
        try:
            stream = add_pictures(muxer.container)
            self._sound = self._add_sound(muxer) if with_sound else None
            muxer.start()
        except (FFmpegError, ValueError) as error:
            if not with_sound or (isinstance(error, FFmpegError) and is_full(error)):
                raise
            self._lose_sound(error)
            return self._open(add_pictures, with_sound=False)
        return stream

    def _add_sound(self, muxer: Muxer) -> Sound:
        assert self._source is not None
        return Sound(self._source, muxer.container, origin=self.origin * self._info.time_base)

    def _origin_pts(self, first_pts: int) -> int:
        """Return the source's time that is 0 in the output: 0, unless times begin anywhere or below 0."""
        if self._info.live:
            return first_pts
        if self._info.container not in OWN_CLOCKS:
            return min(0, first_pts)
        start = self._source.start_time if self._source is not None else None
        if start is None:
            return first_pts
        return min(first_pts, int(Fraction(start, av.time_base) / self._info.time_base))

    def _carry_sound(self, limit: Fraction | None) -> None:
        """Copy the sound up to a time of the output; broken sound is given up, never the pictures."""
        if self._sound is None or self._muxer is None:
            return
        try:
            self._muxer.sound(self._sound.until(limit))
        except FFmpegError as error:
            self._lose_sound(error)

    def _sound_end(self) -> Fraction | None:
        """Return the end of the last picture when the source was stopped early, None when it was taken whole."""
        end = (self._last_pts or 0) * self._info.time_base + 1 / self._info.average_rate
        promised = self._info.duration_seconds
        start = (self._info.start_pts - self.origin) * self._info.time_base
        slack = END_SLACK_FRAMES / self._info.average_rate
        return None if promised is not None and end >= start + Fraction(promised) - slack else end

    def _lose_sound(self, error: Exception) -> None:
        at = "" if self._last_pts is None else f" from {float(self._last_pts * self._info.time_base):.1f} s on"
        codec = f" ({self._info.audio_codec})" if self._info.audio_codec else ""
        self.warnings.append(f"the sound{codec} is missing{at}: {cause(error)}")
        self._sound = None
