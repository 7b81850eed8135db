"""Writes the annotated video: MP4 that browsers play, with the source's timestamps, colours and sound."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.error import FFmpegError

from tilewatch.errors import InputError, SinkError
from tilewatch.video.canvas import Canvas, Look, fitted
from tilewatch.video.encoder import Encoding, Traits, add_encoder
from tilewatch.video.faults import cause, is_full, writing
from tilewatch.video.muxer import Muxer
from tilewatch.video.opening import open_video
from tilewatch.video.sound import Sound

if TYPE_CHECKING:
    from pathlib import Path

    from av.container import InputContainer
    from av.video.stream import VideoStream

    from tilewatch.records import Frame, StreamInfo
    from tilewatch.video.canvas import Planes

OWN_CLOCKS = frozenset({"mpegts", "mpeg"})
"""Containers whose times begin anywhere (the recorder's clock): the output begins at 0 instead."""
END_SLACK_FRAMES = 2
"""A video that came this close to its promised end was not stopped early."""


class VideoWriter:
    """One output file. Blocking; not thread-safe.

    For every frame: paint on what `canvas` returns, then `write` it. The encoder and the file are opened by the first
    one, whose colours they take; later frames of another size or colour are fitted in.

    Args:
        path: the file; made or overwritten, and removed again by `abort`.
        info: of the source, whose sound is copied from its file.
        codec: FFmpeg's name of the encoder.
        quality: constant rate factor, 0 to 51, lower is better.
        preset: of a software encoder.
        fallback: encoder to take, with a warning, when `codec` cannot be opened; None: that is an error.
    """

    def __init__(  # noqa: PLR0913 what a video is made with
        self, path: Path, info: StreamInfo, *, codec: str, quality: int, preset: str, fallback: str | None = None
    ) -> None:
        self.path = path
        self.frames = 0
        """Frames written."""
        self.warnings: list[str] = []
        """What a person must know of the result, one line each; complete once it is closed."""
        self._info = info
        self._encoding = Encoding(
            codec=codec, quality=quality, preset=preset, rate=info.average_rate, time_base=info.time_base
        )
        self._fallback = fallback
        self._canvas: Canvas | None = None
        self._source: InputContainer | None = None
        self._muxer: Muxer | None = None
        self._stream: VideoStream | None = None
        self._sound: Sound | None = None
        self._last_pts = 0
        self._refitted = 0
        self._closed = False

    @property
    def codec(self) -> str:
        """The encoder in use."""
        return self._encoding.codec

    def canvas(self, frame: Frame) -> Planes:
        """Return a writable copy of a frame's planes y, u, v, to be painted on before `write`."""
        look = Look.of(frame)
        if self._canvas is None or self._canvas.look != look:
            self._canvas = Canvas(look)
        return self._canvas.fill(frame)

    def write(self, frame: Frame) -> None:
        """Encode what is on the canvas at the frame's time.

        Raises:
            SinkError: the encoder or the file system refused; DiskFullError when the volume is full.
        """
        assert self._canvas is not None
        if self._stream is None:
            self._start(frame)
        picture = self._canvas.finish()
        if self._canvas.look != self._look:
            picture = fitted(picture, self._canvas.look, self._look)
            self._refitted += 1
        picture.pts, picture.time_base = frame.pts - self._origin, self._info.time_base
        self._last_pts = picture.pts
        self._encode(picture)
        self.frames += 1
        self._carry_sound(picture.pts * self._info.time_base)

    def close(self) -> None:
        """Complete the file. Idempotent.

        Raises:
            SinkError: no frame was written, or as `write`.
        """
        if self._closed:
            return
        if self._muxer is None or not self.frames:
            raise SinkError(f"{self.path}: no frame was written")
        self._encode(None)
        self._carry_sound(self._sound_end())
        self._muxer.close(self.frames)
        self._closed = True
        self._tell()
        self._release_source()

    def abort(self) -> None:
        """Let go of the file and remove it unless it is complete; never raises. Idempotent."""
        if not self._closed and self._muxer is not None:
            self._muxer.abort()
        self._closed = True
        self._release_source()

    def _start(self, frame: Frame) -> None:
        """Open the source's sound, the encoder and the file, and write the header."""
        self._look = replace(Look.of(frame), width=self._info.width, height=self._info.height)
        try:
            self._source = open_video(self._info.path, max_pixels=self._info.width * self._info.height)
        except InputError as error:
            self.warnings.append(f"there is no sound: {error}")
        self._origin = self._origin_pts(frame)
        with writing(self.path):
            self._open(with_sound=bool(self._source and self._source.streams.audio))

    def _open(self, *, with_sound: bool) -> None:
        """Make the file; without the encoder or the sound that was wished for, if need be."""
        self._muxer = muxer = Muxer(self.path, self._info.time_base)
        try:
            stream = self._add_pictures(muxer)
            self._sound = self._add_sound(muxer) if with_sound else None
            muxer.start()
        except SinkError as error:
            if self._fallback in {None, self._encoding.codec}:
                raise
            self._fall_back(error)
            self._open(with_sound=with_sound)
        except (FFmpegError, ValueError) as error:
            if not with_sound or (isinstance(error, FFmpegError) and is_full(error)):
                raise
            self._lose_sound(error)
            self._open(with_sound=False)
        else:
            self._stream = stream

    def _add_pictures(self, muxer: Muxer) -> VideoStream:
        traits = Traits.of(self._source, self._info.rotation) if self._source else Traits()
        return add_encoder(muxer.container, self._encoding, self._look, traits)

    def _add_sound(self, muxer: Muxer) -> Sound:
        assert self._source is not None
        return Sound(self._source, muxer.container, origin=self._origin * self._info.time_base)

    def _fall_back(self, error: SinkError) -> None:
        assert self._fallback is not None
        self.warnings.append(f"{error}; {self._fallback} was taken instead")
        self._encoding = replace(self._encoding, codec=self._fallback)

    def _origin_pts(self, frame: Frame) -> int:
        """Return the source's time that is 0 in the output: 0, unless times begin anywhere or below 0."""
        if self._info.container not in OWN_CLOCKS:
            return min(0, frame.pts)
        start = self._source.start_time if self._source is not None else None
        if start is None:
            return frame.pts
        return min(frame.pts, int(Fraction(start, av.time_base) / self._info.time_base))

    def _encode(self, picture: av.VideoFrame | None) -> None:
        assert self._stream is not None
        assert self._muxer is not None
        with writing(self.path):
            packets = self._stream.encode(picture)
        self._muxer.pictures(packets)

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
        end = self._last_pts * self._info.time_base + 1 / self._info.average_rate
        promised = self._info.duration_seconds
        start = (self._info.start_pts - self._origin) * self._info.time_base
        slack = END_SLACK_FRAMES / self._info.average_rate
        return None if promised is not None and end >= start + Fraction(promised) - slack else end

    def _lose_sound(self, error: Exception) -> None:
        at = f" from {float(self._last_pts * self._info.time_base):.1f} s on" if self.frames else ""
        codec = f" ({self._info.audio_codec})" if self._info.audio_codec else ""
        self.warnings.append(f"the sound{codec} is missing{at}: {cause(error)}")
        self._sound = None

    def _tell(self) -> None:
        """Add what is only known at the end to the warnings."""
        if self._refitted:
            self.warnings.append(
                f"{self._refitted} frames of another size or colour were fitted into "
                f"{self._look.width}x{self._look.height}"
            )
        damaged = (self._muxer.damaged if self._muxer else 0) + (self._sound.damaged if self._sound else 0)
        if damaged:
            self.warnings.append(f"{damaged} damaged pieces of sound were left out")

    def _release_source(self) -> None:
        self._sound = None
        if self._source is not None:
            self._source.close()
            self._source = None
