"""Writes the annotated video: MP4 that browsers play, with the source's timestamps, colours and sound."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.error import FFmpegError

from tilewatch.errors import InputError, SinkError
from tilewatch.video.canvas import Canvas, Look, fitted
from tilewatch.video.encoder import Encoding, Traits, add_encoder
from tilewatch.video.faults import cause, is_full, writing
from tilewatch.video.opening import open_video
from tilewatch.video.sound import Sound

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from tilewatch.records import Frame, StreamInfo
    from tilewatch.video.canvas import Planes

OWN_CLOCKS = frozenset({"mpegts", "mpeg"})
"""Containers whose times begin anywhere (the recorder's clock): the output begins at 0 instead."""
LEAST_TIMESCALE = 10_000
"""Ticks a second below which MP4 multiplies the time base."""
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
        self._container: OutputContainer | None = None
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
        if not self.frames:
            raise SinkError(f"{self.path}: no frame was written")
        self._encode(None)
        self._carry_sound(self._sound_end())
        with writing(self.path):
            self._container.close()  # type: ignore[union-attr]  # open, since there are frames
        self._closed = True
        self._release_source()
        self._tell()

    def abort(self) -> None:
        """Let go of the file and remove it unless it is complete; never raises. Idempotent."""
        if not self._closed:
            self._closed = True
            with suppress(OSError):
                self.path.unlink(missing_ok=True)  # first: the muxer then has nothing to rewrite
            self._discard()
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
            self._open(with_sound=self._info.audio_codec is not None and self._source is not None)

    def _open(self, *, with_sound: bool) -> None:
        traits = Traits.of(self._source, self._info.rotation) if self._source else Traits()
        self._container = container = self._new_container()
        try:
            stream = add_encoder(container, self._encoding, self._look, traits)
        except SinkError as error:
            if self._fallback in {None, self._encoding.codec}:
                raise
            self._fall_back(error)
            self._open(with_sound=with_sound)
            return
        try:
            self._sound = self._add_sound(container) if with_sound else None
            container.start_encoding()
        except (FFmpegError, ValueError) as error:
            if not with_sound or (isinstance(error, FFmpegError) and is_full(error)):
                raise
            self._lose_sound(error)
            self._open(with_sound=False)
            return
        self._stream = stream

    def _new_container(self) -> OutputContainer:
        """Return an empty MP4 whose clocks tick finely enough for every time of the source."""
        ticks = self._info.time_base.denominator
        while ticks < LEAST_TIMESCALE:
            ticks *= 2
        options = {"movflags": "+faststart", "video_track_timescale": str(ticks), "movie_timescale": str(ticks)}
        return av.open(os.path.abspath(self.path), "w", format="mp4", container_options=options)  # noqa: PTH100 keeps links

    def _fall_back(self, error: SinkError) -> None:
        assert self._fallback is not None
        self.warnings.append(f"{error}; {self._fallback} was taken instead")
        self._encoding = replace(self._encoding, codec=self._fallback)

    def _add_sound(self, container: OutputContainer) -> Sound:
        assert self._source is not None
        return Sound(self._source, container, origin=self._origin * self._info.time_base)

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
        assert self._container is not None
        with writing(self.path):
            self._container.mux(self._stream.encode(picture))

    def _carry_sound(self, limit: Fraction | None) -> None:
        """Copy the sound up to a time of the output; broken sound is given up, never the pictures."""
        if self._sound is None:
            return
        try:
            self._mux_sound(self._sound.until(limit))
        except FFmpegError as error:
            if is_full(error):
                with writing(self.path):
                    raise
            self._lose_sound(error)

    def _mux_sound(self, packets: Iterable[Packet[Any]]) -> None:
        assert self._container is not None
        for packet in packets:
            self._container.mux(packet)

    def _sound_end(self) -> Fraction | None:
        """Return the end of the last picture when the source was stopped early, None when it was taken whole."""
        end = self._last_pts * self._info.time_base + 1 / self._info.average_rate
        promised = self._info.duration_seconds
        start = (self._info.start_pts - self._origin) * self._info.time_base
        slack = END_SLACK_FRAMES / self._info.average_rate
        return None if promised is not None and end >= start + Fraction(promised) - slack else end

    def _lose_sound(self, error: Exception) -> None:
        at = f" from {float(self._last_pts * self._info.time_base):.1f} s on" if self.frames else ""
        self.warnings.append(
            f"the sound is missing{at}: {self._info.audio_codec} cannot be carried over ({cause(error)})"
        )
        self._sound = None

    def _tell(self) -> None:
        """Add what is only known at the end to the warnings."""
        if self._refitted:
            self.warnings.append(
                f"{self._refitted} frames of another size or colour were fitted into "
                f"{self._look.width}x{self._look.height}"
            )
        if self._sound is not None and self._sound.damaged:
            self.warnings.append(f"{self._sound.damaged} damaged pieces of sound were left out")

    def _discard(self) -> None:
        if self._container is not None:
            with suppress(FFmpegError):
                self._container.close()

    def _release_source(self) -> None:
        self._sound = None
        if self._source is not None:
            self._source.close()
            self._source = None
