"""The annotated video in stretches that survive a crash, and their joining without a second encoding."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import av
from av.error import FFmpegError

from tilewatch.errors import SinkError
from tilewatch.video.easel import Easel
from tilewatch.video.encoder import Encoding
from tilewatch.video.encoders import add_encoder
from tilewatch.video.faults import writing
from tilewatch.video.film import Film
from tilewatch.video.muxer import Muxer
from tilewatch.video.opening import packets_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from tilewatch.records import Frame, StreamInfo
    from tilewatch.video.canvas import Look, Planes
    from tilewatch.video.encoder import Traits


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One finished stretch: a file of pictures without sound, whose times begin at 0."""

    name: str
    """Of the file in its folder."""
    frames: int
    first_pts: int
    """Time of its first picture, the source's ticks."""


class SegmentedWriter:
    """Encodes pictures into one file after the other. Blocking; not thread-safe.

    For every frame: paint on what `canvas` returns, then `write` it; `cut` completes a segment, `join` makes one video
    of all. Every segment is encoded by itself, so what was cut does not depend on what came before.

    Args:
        folder: where the segments grow; it exists.
        info: of the source, whose sound goes into the joined video.
        codec: FFmpeg's name of the encoder.
        quality: constant rate factor, 0 to 51, lower is better.
        preset: of a software encoder.
        fallback: encoder to take, with a warning, when `codec` cannot be opened for the first segment; None: that is
            an error. Later segments have to be like the first.
    """

    def __init__(  # noqa: PLR0913 what a video is made with
        self, folder: Path, info: StreamInfo, *, codec: str, quality: int, preset: str, fallback: str | None = None
    ) -> None:
        self.segments: list[Segment] = []
        """Those that are complete."""
        self._warnings: list[str] = []
        self._folder = folder
        self._info = info
        self._encoding = Encoding.of(info, codec=codec, quality=quality, preset=preset)
        self._fallback = fallback
        self._easel = Easel(info)
        self._traits: Traits | None = None
        self._open: _OpenSegment | None = None
        self._mark = secrets.token_hex(4)
        """In its segments' names: a writer that was given up for dead may still have one open in the same folder."""

    @property
    def codec(self) -> str:
        """The encoder in use."""
        return self._encoding.codec

    @property
    def warnings(self) -> Sequence[str]:
        """What a person must know of the result, one line each; complete once it is joined."""
        return [*self._warnings, *self._easel.warnings()]

    def resume(self, first: Frame, segments: Iterable[Segment], codec: str) -> None:
        """Go on behind segments that an earlier writer cut, whose first frame was `first`."""
        self.segments = list(segments)
        self._easel.see(first)
        self._encoding = replace(self._encoding, codec=codec)
        self._fallback = None

    def canvas(self, frame: Frame) -> Planes:
        """Return a writable copy of a frame's planes y, u, v, to be painted on before `write`."""
        return self._easel.canvas(frame)

    def write(self, frame: Frame) -> None:
        """Encode what is on the canvas at the frame's time.

        Raises:
            SinkError: the encoder or the file system refused; DiskFullError when the volume is full.
        """
        picture = self._easel.picture()
        if self._open is None:
            self._open = self._begin(frame.pts)
        self._open.write(picture, frame.pts)

    def cut(self) -> None:
        """Complete the segment that is open, if any.

        Raises:
            SinkError: the file system refused; DiskFullError when the volume is full.
        """
        if self._open is not None:
            self.segments.append(self._open.close())
            self._open = None
            self._fallback = None

    def join(self, path: Path) -> None:
        """Cut, and write all segments with the source's sound into one video.

        Raises:
            SinkError: there is none, one of them does not fit or is damaged, or the file system refused; DiskFullError
                when the volume is full.
        """
        self.cut()
        if not self.segments:
            raise SinkError(f"{path}: no frame was written")
        self._warnings += join(self._folder, self._info, self.segments, path)

    def abort(self) -> None:
        """Remove the segment that is open; never raises. Idempotent."""
        if self._open is not None:
            self._open.abort()
            self._open = None

    def _begin(self, first_pts: int) -> _OpenSegment:
        try:
            return self._open_segment(first_pts)
        except SinkError as error:
            if self._fallback in {None, self._encoding.codec}:
                raise
            assert self._fallback is not None
            self._warnings.append(f"{error}; {self._fallback} was taken instead")
            self._encoding = replace(self._encoding, codec=self._fallback)
            return self._open_segment(first_pts)

    def _open_segment(self, first_pts: int) -> _OpenSegment:
        path = self._folder / f"segment-{len(self.segments):06d}-{self._mark}.mp4"
        if self._traits is None:
            source = Film(path, self._info, first_pts)
            self._traits = source.traits
            source.release()
        return _OpenSegment(path, self._encoding, self._easel.look, self._traits, first_pts)


def join(
    folder: Path, info: StreamInfo, segments: Sequence[Segment], path: Path, go_on: Callable[[], None] = lambda: None
) -> Sequence[str]:
    """Write segments with the source's sound into one video, and return what a person must know of it. Blocking.

    Args:
        folder: of the segments.
        info: of the source.
        segments: at least one.
        path: of the video.
        go_on: is called before every picture; what it raises ends the joining, and nothing of the video stays.

    Raises:
        SinkError: one of them does not fit or is damaged, or the file system refused; DiskFullError when the volume is
            full.
    """
    film = Film(path, info, segments[0].first_pts)
    try:
        _join(film, folder, info, segments, go_on)
    finally:
        film.abort()  # nothing any more once it is closed
    return film.warnings


def _join(film: Film, folder: Path, info: StreamInfo, segments: Sequence[Segment], go_on: Callable[[], None]) -> None:
    with _opened(folder, segments[0]) as container:
        template = container.streams.video[0]
        header = template.codec_context.extradata
        stream = film.open(lambda output: output.add_stream_from_template(template))
    last_dts: int | None = None
    for segment in segments:
        for packet in _packets(folder, info, segment, header, film.origin):
            go_on()
            # with a variable rate the first pictures of a segment may be decoded before the last one's end
            packet.dts = packet.dts if last_dts is None else max(packet.dts or 0, last_dts + 1)
            last_dts = packet.dts
            packet.stream = stream
            film.pictures([packet], reached=packet.pts or 0)
    film.close([], sum(segment.frames for segment in segments))


def _packets(
    folder: Path, info: StreamInfo, segment: Segment, header: bytes | None, origin: int
) -> Iterator[Packet[VideoStream]]:
    """Yield a segment's packets in ticks of the source, shifted to their place in the output."""
    with _opened(folder, segment) as container:
        stream = container.streams.video[0]
        if stream.codec_context.extradata != header:
            raise SinkError(f"{segment.name}: is encoded in another way than the first segment: process it again")
        ticks = (stream.time_base or info.time_base) / info.time_base
        shift = segment.first_pts - origin
        for packet in packets_of(container, stream):
            packet.pts, packet.dts = (round((at or 0) * ticks) + shift for at in (packet.pts, packet.dts))
            packet.time_base = info.time_base
            yield packet


@contextmanager
def _opened(folder: Path, segment: Segment) -> Iterator[InputContainer]:
    path = folder / segment.name
    with writing(path), av.open(os.path.abspath(path)) as container:  # noqa: PTH100 keeps links
        yield container


class _OpenSegment:
    """A segment under construction."""

    def __init__(self, path: Path, encoding: Encoding, look: Look, traits: Traits, first_pts: int) -> None:
        self._path = path
        self._time_base = encoding.time_base
        self._first_pts = first_pts
        self._frames = 0
        self._muxer = Muxer(path, encoding.time_base)
        with writing(path):
            self._encoder = add_encoder(self._muxer.container, encoding, look, traits)
            try:
                self._muxer.start()
            except FFmpegError:
                self._encoder.close()
                raise

    def write(self, picture: av.VideoFrame, pts: int) -> None:
        picture.pts, picture.time_base = pts - self._first_pts, self._time_base
        with writing(self._path):
            packets = self._encoder.encode(picture)
        self._muxer.pictures(packets)
        self._frames += 1

    def close(self) -> Segment:
        with writing(self._path):
            packets = self._encoder.encode(None)
        self._muxer.pictures(packets)
        self._muxer.close(self._frames)
        return Segment(name=self._path.name, frames=self._frames, first_pts=self._first_pts)

    def abort(self) -> None:
        self._encoder.close()
        self._muxer.abort()
