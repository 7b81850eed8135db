"""Writes the annotated video: MP4 that browsers play, with the source's timestamps, colours and sound."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tilewatch.errors import SinkError
from tilewatch.video.easel import Easel
from tilewatch.video.encoder import Encoding
from tilewatch.video.encoders import add_encoder
from tilewatch.video.faults import writing
from tilewatch.video.film import Film

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import av
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from tilewatch.records import Frame, StreamInfo
    from tilewatch.video.canvas import Planes
    from tilewatch.video.encoders import Encoder


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
        self._info = info
        self._encoding = Encoding.of(info, codec=codec, quality=quality, preset=preset)
        self._fallback = fallback
        self._easel = Easel(info)
        self._film: Film | None = None
        self._encoder: Encoder | None = None
        self._closed = False

    @property
    def codec(self) -> str:
        """The encoder in use."""
        return self._encoding.codec

    @property
    def warnings(self) -> Sequence[str]:
        """What a person must know of the result, one line each; complete once it is closed."""
        return [*(self._film.warnings if self._film else ()), *self._easel.warnings()]

    def canvas(self, frame: Frame) -> Planes:
        """Return a writable copy of a frame's planes y, u, v, to be painted on before `write`."""
        return self._easel.canvas(frame)

    def write(self, frame: Frame) -> None:
        """Encode what is on the canvas at the frame's time.

        Raises:
            SinkError: the encoder or the file system refused; DiskFullError when the volume is full.
        """
        film = self._film or self._start(frame)
        picture = self._easel.picture()
        picture.pts, picture.time_base = frame.pts - film.origin, self._info.time_base
        film.pictures(self._encode(picture), reached=picture.pts)
        self.frames += 1

    def close(self) -> None:
        """Complete the file. Idempotent.

        Raises:
            SinkError: no frame was written, or as `write`.
        """
        if self._closed:
            return
        if self._film is None or not self.frames:
            raise SinkError(f"{self.path}: no frame was written")
        self._film.close(self._encode(None), self.frames)
        self._let_go()
        self._closed = True

    def abort(self) -> None:
        """Let go of the file and remove it unless it is complete; never raises. Idempotent."""
        self._let_go()
        if self._film is not None:
            self._film.abort()
        self._closed = True

    def _start(self, frame: Frame) -> Film:
        """Open the source's sound, the encoder and the file, and write the header."""
        self._film = film = Film(self.path, self._info, frame.pts)
        try:
            film.open(self._add_pictures)
        except SinkError as error:
            if self._fallback in {None, self._encoding.codec}:
                raise
            self._fall_back(film, error)
            film.open(self._add_pictures)
        return film

    def _add_pictures(self, container: OutputContainer) -> VideoStream:
        assert self._film is not None
        self._let_go()
        self._encoder = add_encoder(container, self._encoding, self._easel.look, self._film.traits)
        return self._encoder.stream

    def _let_go(self) -> None:
        if self._encoder is not None:
            self._encoder.close()
            self._encoder = None

    def _fall_back(self, film: Film, error: SinkError) -> None:
        assert self._fallback is not None
        film.warnings.append(f"{error}; {self._fallback} was taken instead")
        self._encoding = replace(self._encoding, codec=self._fallback)

    def _encode(self, picture: av.VideoFrame | None) -> Sequence[Packet[VideoStream]]:
        assert self._encoder is not None
        with writing(self.path):
            return self._encoder.encode(picture)
