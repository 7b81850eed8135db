"""One connection to a camera: RTSP over TCP, or a local device (V4L2). What ends it is told as an error, never raised.

What FFmpeg does: a connection that was closed is the end of the stream, without an error; one that is open but silent
ends in "immediate exit" after the time-out; its errors quote the address, so that none of its texts is handed on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.error import ExitError, FFmpegError, HTTPForbiddenError, HTTPUnauthorizedError

from tilewatch.errors import (
    DecoderError,
    FrameError,
    InputError,
    LoginRefusedError,
    StreamEndedError,
    StreamStalledError,
    UnreachableError,
)
from tilewatch.records import Frame, StreamInfo
from tilewatch.video.decoder import SoftwareDecoder
from tilewatch.video.decoders import Decoders
from tilewatch.video.opening import packets_of
from tilewatch.video.planes import Turn, frame_of, picture_of
from tilewatch.video.source import DECODER_THREADS, DEFAULT_RATE, HIGHEST_RATE, SLICE_THREADS_ONLY
from tilewatch.video.v4l2 import V4l2Device
from tilewatch.video.wallclock import TIME_BASE, WallClock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from fractions import Fraction

    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from tilewatch.errors import StreamError
    from tilewatch.settings import Camera
    from tilewatch.video.decoder import Decoder, Item

MICROSECONDS = 1_000_000
HARDWARE_SECONDS = 20.0
"""A hardware decoder may take so much longer to its first picture."""
RTSP = {
    "rtsp_transport": "tcp",
    "protocol_whitelist": "rtsp,rtp,tcp,udp,tls",
    "allowed_media_types": "video",
    # take the stream as it is announced: looking into it first would hold back seconds of it
    "probesize": "32",
    "analyzeduration": "0",
}


@dataclass(slots=True, eq=False)
class Timeline:
    """What goes on over a camera's connections: the count of its pictures, and their clock."""

    clock: WallClock = field(default_factory=WallClock)
    decoded: int = 0
    """Pictures given out."""


class LiveSource:
    """One connection. Blocking; not thread-safe.

    Args:
        camera: name and address.
        timeline: of the camera.
        max_pixels: largest picture that is decoded.
        timeout_seconds: longest wait for an answer or a picture.
        decoders: hands out a hardware decoder, where there is one; None: software.
    """

    def __init__(
        self,
        camera: Camera,
        timeline: Timeline,
        *,
        max_pixels: int,
        timeout_seconds: float,
        decoders: Decoders | None = None,
    ) -> None:
        self.name = f"camera {camera.name}"
        """What to call it in errors: never its address."""
        self.lost: StreamError | None = None
        """Why there is nothing more; known once `read` has returned None."""
        self._camera = camera
        self._timeline = timeline
        self._max_pixels = max_pixels
        self._timeout = timeout_seconds
        self._decoders = decoders or Decoders()
        self._decoder: Decoder | None = None
        self._next: Item | None = None
        self._packets: Iterator[Packet[VideoStream]] = iter(())
        self._scouted: list[Packet[VideoStream]] | None = []
        self._container: InputContainer | None = None
        self._device = self._local(camera) if camera.is_local else None

    def open(self) -> StreamInfo:
        """Connect and decode the first picture, which `read` will return.

        Raises:
            UnreachableError: no connection, or no answer in time.
            LoginRefusedError: user and password are wrong.
            InputError: what the camera sends is no video, or too large.
            StreamEndedError, StreamStalledError: it sends no picture.
        """
        self._timeline.clock.connected()
        self._container = self._connect()
        self._stream = self._prepare(self._container)
        self._decoder = SoftwareDecoder(self._stream.codec_context)
        packets = packets_of if self._device is None else self._device.packets
        self._packets = packets(self._container, self._stream)
        self._pictures = self._decode(self._decoder)
        first = self._first()
        info = self._describe(self._container, first)
        return replace(info, decoder=self._take_hardware(first))

    def read(self) -> Frame | None:
        """Return the next picture, or None once the connection is lost (see `lost`).

        Raises:
            FrameError: a picture is damaged; the next call goes on behind it.
        """
        item, self._next = self._next or next(self._pictures, None), None
        if isinstance(item, FrameError):
            raise item
        return None if item is None else self._frame(item)

    def close(self) -> None:
        """Disconnect. Idempotent; pictures given out stay valid."""
        if self._decoder is not None:
            self._decoder.close()
        if self._container is not None:
            self._container.close()
            self._container = None

    def _first(self) -> av.VideoFrame:
        """Decode the first whole picture, which is then the next; before it nothing is a picture of ours."""
        self._next = next(self._pictures, None)
        while isinstance(self._next, FrameError):
            self._next = next(self._pictures, None)
        if self._next is None:
            raise self.lost or StreamEndedError(f"{self.name}: ended before its first picture")
        return self._next

    def _take_hardware(self, first: av.VideoFrame) -> str:
        """Go on with a hardware decoder, if there is one for this stream, which decodes the first packets again.

        Returns:
            Name of the decoder in use.
        """
        decoder = self._decoders.hardware(self._stream, first, Turn(), live=True)
        scouted, self._scouted = self._scouted or [], None
        if decoder is not None:
            self._decoder = decoder
            self._packets = chain(scouted, self._packets)
            self._pictures = self._decode(decoder)
            self._first()
        assert self._decoder is not None
        return self._decoder.name

    def _local(self, camera: Camera) -> V4l2Device:
        return V4l2Device(self.name, camera.address.get_secret_value(), timeout_seconds=self._timeout)

    def _connect(self) -> InputContainer:
        guards = {"max_pixels": str(self._max_pixels)}
        if self._device is not None:
            return self._device.open(guards)
        silence = {"timeout": str(round(self._timeout * MICROSECONDS))}
        try:
            container: Any = av.open(
                self._camera.address.get_secret_value(),
                "r",
                format="rtsp",
                options={**RTSP, **silence, **guards},
                timeout=(self._timeout, self._timeout),
            )
        except FFmpegError as error:
            raise self._refusal(error) from None
        opened: InputContainer = container
        return opened

    def _refusal(self, error: FFmpegError) -> StreamError:
        """Return why there is no connection, without FFmpeg's text, which quotes the address."""
        if isinstance(error, (HTTPUnauthorizedError, HTTPForbiddenError)):
            return LoginRefusedError(f"{self.name}: refuses user and password: correct them in SOURCES")
        if isinstance(error, ExitError):
            return UnreachableError(f"{self.name}: no answer within {self._timeout:g} s: check address and network")
        return UnreachableError(f"{self.name}: cannot be reached ({error.strerror}): check address and network")

    def _prepare(self, container: InputContainer) -> VideoStream:
        """Check what the camera announces, and set up decoding."""
        stream = next(iter(container.streams.video), None)
        if stream is None:
            raise InputError(f"{self.name}: sends no video: check the path in SOURCES")
        if stream.codec_context is None:
            raise InputError(f"{self.name}: no decoder for its video codec: set it to H.264 or H.265")
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > self._max_pixels:
            raise InputError(
                f"{self.name}: its pictures of {width}x{height} are larger than MAX_FRAME_PIXELS={self._max_pixels}: "
                "raise the setting or set the camera lower"
            )
        stream.codec_context.options = {"max_pixels": str(self._max_pixels)}
        stream.thread_type = "SLICE" if stream.codec_context.name in SLICE_THREADS_ONLY else "AUTO"
        stream.thread_count = DECODER_THREADS
        return stream

    def _describe(self, container: InputContainer, first: av.VideoFrame) -> StreamInfo:
        rates = (self._stream.codec_context.framerate, self._stream.average_rate, self._stream.guessed_rate)
        return StreamInfo(
            stream=self._camera.name,
            path=Path(self._camera.name),
            container=container.format.name,
            codec=self._stream.codec_context.name,
            pixel_format=first.format.name,
            width=first.width,
            height=first.height,
            rotation=0,
            time_base=TIME_BASE,
            average_rate=next((rate for rate in rates if rate and 1 <= rate <= HIGHEST_RATE), DEFAULT_RATE),
            start_pts=0,
            frame_count=None,
            duration_seconds=None,
            audio_codec=None,
            live=True,
        )

    def _decode(self, decoder: Decoder) -> Iterator[Item]:
        """Yield pictures and damage until the connection is lost; what the decoder still holds comes last."""
        try:
            yield from self._received(decoder)
        except DecoderError as error:
            self.lost = self._given_up(decoder, error)
            return
        except FFmpegError as error:
            self.lost = self._loss(error)
        except TimeoutError:
            self.lost = self._silence()
        try:
            yield from decoder.decode(None)
        except (EOFError, FFmpegError, DecoderError):
            return  # the pictures it held build on some that never came

    def _given_up(self, decoder: Decoder, error: DecoderError) -> StreamError:
        """Return why the connection has to be made again, with another decoder in the end."""
        try:
            self._decoders.give_up(decoder.name, error)
        except DecoderError as refusal:
            return DecoderError(f"{self.name}: {refusal}")
        return DecoderError(f"{self.name}: {error}")

    def _received(self, decoder: Decoder) -> Iterator[Item]:
        """Yield what is decoded of the packets that come, as long as pictures come of them; raises FFmpegError."""
        seen = time.monotonic() + (0 if decoder.name == "software" else HARDWARE_SECONDS)
        for packet in self._packets:
            if self._scouted is not None:
                self._scouted.append(packet)
            items: Sequence[Item] = []
            try:
                items = self._decoded(decoder, packet)
            except FFmpegError as error:
                yield FrameError(f"{self.name}: a picture is damaged ({error.strerror})")
            except FrameError as error:
                yield error
            for item in items:
                damaged = isinstance(item, FrameError) or item.is_corrupt
                yield FrameError(f"{self.name}: a picture is damaged") if damaged else item
                seen = time.monotonic()  # the time of whoever takes the pictures is not the camera's silence
            if time.monotonic() - seen > self._timeout:
                self.lost = StreamStalledError(f"{self.name}: sends nothing that can be decoded")
                return
        self.lost = StreamEndedError(f"{self.name}: the connection was closed")

    def _decoded(self, decoder: Decoder, packet: Packet[VideoStream]) -> Sequence[Item]:
        """Return the pictures that a packet completes; an empty one would tell the decoder that this was the last."""
        if not packet.size:
            raise FrameError(f"{self.name}: a picture came damaged")
        return decoder.decode(packet)

    def _loss(self, error: FFmpegError) -> StreamError:
        if isinstance(error, ExitError):
            return self._silence()
        return StreamEndedError(f"{self.name}: the connection broke ({error.strerror})")

    def _silence(self) -> StreamError:
        return StreamStalledError(f"{self.name}: no picture for {self._timeout:g} s")

    def _frame(self, raw: av.VideoFrame) -> Frame:
        try:
            picture = picture_of(raw, Turn())
        except FFmpegError as error:
            raise FrameError(f"{self.name}: pixel format {raw.format.name} is unusable ({error.strerror})") from None
        index, self._timeline.decoded = self._timeline.decoded, self._timeline.decoded + 1
        return frame_of(
            picture,
            stream=self._camera.name,
            index=index,
            pts=self._timeline.clock.stamp(_seconds(raw, self._stream.time_base)),
            time_base=TIME_BASE,
        )


def _seconds(raw: av.VideoFrame, time_base: Fraction | None) -> float | None:
    """Return the camera's own time of a picture."""
    return None if raw.pts is None or time_base is None else float(raw.pts * time_base)
