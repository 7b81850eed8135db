"""The decoders: FFmpeg's own, NVDEC through FFmpeg, and a Jetson's through GStreamer. All give the same pictures.

A hardware decoder is told what the first picture, decoded in software, has shown: colours and the turn upright.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import av
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.codec.hwaccel import HWAccel
from av.error import FFmpegError
from av.video.reformatter import ColorRange

from tilewatch.errors import DecoderError, FrameError
from tilewatch.video.gstreamer import PATIENCE_SECONDS, Child, PipelineError, rows_of
from tilewatch.video.planes import is_full_range, plane_view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

    from tilewatch.video.gdp import Buffer
    from tilewatch.video.planes import Turn

    Item: TypeAlias = av.VideoFrame | FrameError

MOST_REFUSALS = 16
"""Packets that a hardware decoder may refuse one after the other: beyond that it is the decoder, not the video."""
ANNEX_B = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb"}
CAPS = {"h264": "video/x-h264", "hevc": "video/x-h265"}
PARSERS = {"h264": "h264parse", "hevc": "h265parse"}
NVV4L2 = ("nvv4l2decoder", "!", "nvvidconv")
"""A Jetson's decoder, and what fetches its pictures out of the memory of its kind."""
SOFTWARE_ELEMENTS = {"h264": ("avdec_h264", "!", "videoconvert"), "hevc": ("avdec_h265", "!", "videoconvert")}
"""Of gstreamer1.0-libav: the same way through GStreamer on machines without such hardware."""
NO_BOUND = 1 << 31
TICK_NS = 1000
"""Of the times in the pipe: V4L2 keeps microseconds."""
JUMP_NS = 1_000_000_000
"""From the last time before a jump back to the first one behind it."""
ORIGIN_NS = 3_600_000_000_000
"""Times in the pipe begin here, since a video's own may begin below 0."""


class Decoder(Protocol):
    """Makes pictures of one stream's packets. Blocking; not thread-safe."""

    name: str
    """'software', 'nvdec' or 'nvv4l2'."""
    turn: Turn | None
    """How every picture is set upright; None: each tells by itself."""

    def decode(self, packet: Packet[VideoStream] | None) -> Sequence[Item]:
        """Take a packet, or None at the end, and return the pictures that are ready, in order of presentation.

        Raises:
            EOFError: there is nothing more.
            FFmpegError: the packet cannot be decoded; the next one may.
            DecoderError: the decoder itself has failed, and gives no more.
        """

    def close(self) -> None:
        """Let go of the device. Idempotent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What pictures decoded elsewhere are marked with, as those of the software decoder are."""

    full_range: bool
    colorspace: int
    turn: Turn

    @classmethod
    def of(cls, first: av.VideoFrame, turn: Turn) -> Looks:
        """Return what the first picture shows."""
        return cls(full_range=is_full_range(first), colorspace=int(first.colorspace), turn=turn)


class SoftwareDecoder:
    """FFmpeg's own.

    Args:
        context: of the stream, open.
    """

    name = "software"

    def __init__(self, context: VideoCodecContext) -> None:
        self.turn: Turn | None = None
        self._context = context

    def decode(self, packet: Packet[VideoStream] | None) -> Sequence[Item]:
        """Decode a packet; see `Decoder`."""
        return self._context.decode(packet)

    def close(self) -> None:
        """Nothing is held."""


def _nvdec_context(codec: str) -> VideoCodecContext:
    """Return a decoder of FFmpeg, not open yet, that leaves the pictures to the card.

    Raises:
        DecoderError: this build of FFmpeg has none for the codec.
        FFmpegError, RuntimeError: there is no card, or no driver.
    """
    context = av.CodecContext.create(codec, "r", hwaccel=HWAccel("cuda", allow_software_fallback=False))
    if not context.is_hwaccel:
        raise DecoderError(f"this build of FFmpeg has no NVDEC for {codec}")
    assert isinstance(context, av.VideoCodecContext)
    return context


class NvdecDecoder:
    """NVDEC on an NVIDIA card: FFmpeg reads the stream as ever, and leaves the pictures themselves to the card.

    Args:
        stream: what is decoded.
        looks: of its first picture.
        create: makes FFmpeg's decoder.

    Raises:
        DecoderError: this machine, or this build of FFmpeg, has none.
    """

    name = "nvdec"

    def __init__(
        self, stream: VideoStream, looks: Looks, *, create: Callable[[str], VideoCodecContext] = _nvdec_context
    ) -> None:
        self.turn: Turn | None = looks.turn
        self._refusals = 0
        own = stream.codec_context
        try:
            context = create(own.name)
            context.extradata = own.extradata
            context.options = dict(own.options)
            context.open()
        except (FFmpegError, RuntimeError, NotImplementedError, ValueError) as error:
            raise DecoderError(f"NVDEC cannot be opened ({error})") from None
        self._context = context

    def decode(self, packet: Packet[VideoStream] | None) -> Sequence[Item]:
        """Decode a packet; see `Decoder`."""
        try:
            frames = self._context.decode(packet)
        except FFmpegError as error:
            self._refusals += 1
            if self._refusals >= MOST_REFUSALS:
                raise DecoderError(f"NVDEC refuses one packet after the other ({error.strerror})") from None
            raise
        self._refusals = 0 if frames else self._refusals
        return frames

    def close(self) -> None:
        """The device goes with the context."""


class GstDecoder:
    """Elements of GStreamer in a process of their own.

    Every packet goes there with its time, and every picture comes back with it: one that does not is lost, and counted.

    Args:
        stream: of H.264 or HEVC.
        looks: what its pictures are marked with.
        elements: what decodes, by default a Jetson's hardware.
        patience: longest silence, seconds.

    Raises:
        DecoderError: GStreamer is not installed.
    """

    name = "nvv4l2"

    def __init__(
        self,
        stream: VideoStream,
        looks: Looks,
        *,
        elements: Sequence[str] = NVV4L2,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.turn: Turn | None = looks.turn
        self._looks = looks
        self._max_pixels = int(stream.codec_context.options.get("max_pixels", NO_BOUND))
        codec = stream.codec_context.name
        self._filter = BitStreamFilterContext(ANNEX_B[codec], stream)
        self._ticks_ns = (stream.time_base or av.time_base) * 1_000_000_000
        self._time_base = stream.time_base
        self._awaited: dict[int, _Sent] = {}
        self._latest_ns = 0
        self._shift_ns = ORIGIN_NS
        self._last_dts: int | None = None
        self._finished = False
        whole = [PARSERS[codec], "!", *elements, "!", "video/x-raw,format=I420"]
        caps = f"{CAPS[codec]}, stream-format=(string)byte-stream, alignment=(string)au"
        with _decoding():
            self._child = Child(whole, caps, patience=patience)

    def decode(self, packet: Packet[VideoStream] | None) -> Sequence[Item]:
        """Decode a packet; see `Decoder`."""
        if self._finished:
            raise EOFError
        with _decoding():
            if packet is None:
                self._finished = True
                items = list(self._items(self._child.finish()))
                return [*items, *self._lost(None)]
            self._send(packet)
            return list(self._items(self._child.take()))

    def close(self) -> None:
        """End the process. Idempotent."""
        self._child.close()

    def _send(self, packet: Packet[VideoStream]) -> None:
        time_ns = self._time_in_pipe(packet)
        at = packet.dts if packet.pts is None else packet.pts
        self._awaited[time_ns] = _Sent(at, key=packet.is_keyframe, hidden=packet.is_discard)
        for piece in self._filter.filter(packet):
            self._child.send([memoryview(piece)], time_ns)

    def _time_in_pipe(self, packet: Packet[VideoStream]) -> int:
        """Return a packet's time in the pipe, where times go on though the video's own jump back."""
        at, decoded_at = packet.dts if packet.pts is None else packet.pts, packet.dts
        if at is None:
            self._latest_ns += TICK_NS
            return self._latest_ns
        if decoded_at is not None:
            if self._last_dts is not None and decoded_at < self._last_dts:
                self._shift_ns = self._latest_ns + JUMP_NS - round(decoded_at * self._ticks_ns)
            self._last_dts = decoded_at
        time_ns = round((at * self._ticks_ns + self._shift_ns) / TICK_NS) * TICK_NS
        self._latest_ns = max(self._latest_ns, time_ns)
        return time_ns

    def _items(self, buffers: Sequence[Buffer]) -> Iterator[Item]:
        for buffer in buffers:
            time_ns = self._nearest(buffer.pts)
            if time_ns is None:
                continue  # more pictures than packets: there is nothing that it could be
            yield from self._lost(time_ns)
            sent = self._awaited.pop(time_ns)
            if sent.hidden:
                continue
            if buffer.corrupted:
                yield _damage(sent)
                continue
            frame = _picture(buffer, self._looks, self._max_pixels)
            self._child.give_back(buffer)
            frame.pts, frame.time_base = sent.pts, self._time_base
            frame.key_frame = sent.key  # type: ignore[misc]  # the stubs know no setter
            yield frame

    def _nearest(self, time_ns: int | None) -> int | None:
        """Return the time of the packet that a picture came of; the first awaited one where it has none of them."""
        rounded = None if time_ns is None else round(time_ns / TICK_NS) * TICK_NS
        return rounded if rounded in self._awaited else min(self._awaited, default=None)

    def _lost(self, until: int | None) -> list[FrameError]:
        """Forget the packets before a time, which gave no picture, and return the damage."""
        passed = sorted(time for time in self._awaited if until is None or time < until)
        gone = [self._awaited.pop(time) for time in passed]
        return [_damage(sent) for sent in gone if not sent.hidden]


@dataclass(frozen=True, slots=True)
class _Sent:
    """A packet on its way."""

    pts: int | None
    """None: a camera's first pictures may have no time."""
    key: bool
    hidden: bool
    """Not to be shown: before the edit list begins."""


@contextmanager
def _decoding() -> Iterator[None]:
    """Turn a failure of the pipeline into one of the decoder."""
    try:
        yield
    except PipelineError as error:
        raise DecoderError(str(error)) from None


def _damage(sent: _Sent) -> FrameError:
    return FrameError(f"the picture at pts {sent.pts} is damaged")


def _picture(buffer: Buffer, looks: Looks, max_pixels: int) -> av.VideoFrame:
    """Copy a buffer of raw video into a frame."""
    width, height = (_number(buffer.caps, name) for name in ("width", "height"))
    if width * height > max_pixels:
        raise DecoderError(f"its pictures have become {width}x{height}, more than MAX_FRAME_PIXELS={max_pixels}")
    sizes = rows_of(width, height)
    if len(buffer.content) != sum(high * wide for high, wide in sizes):
        raise DecoderError(f"GStreamer gave {len(buffer.content)} bytes for a picture of {width}x{height}")
    frame, offset = av.VideoFrame(width, height, "yuv420p"), 0
    for index, (high, wide) in enumerate(sizes):
        target = plane_view(frame, index)
        source = np.frombuffer(buffer.content, np.uint8, high * wide, offset).reshape(high, wide)
        target[:] = source[: target.shape[0], : target.shape[1]]
        offset += high * wide
    frame.color_range = ColorRange.JPEG if looks.full_range else ColorRange.MPEG
    frame.colorspace = looks.colorspace
    return frame


def _number(caps: str, name: str) -> int:
    found = re.search(rf"\b{name}=\(int\)(\d+)", caps)
    if found is None:
        raise DecoderError(f"GStreamer does not tell the {name} of its pictures ({caps[:80]})")
    return int(found[1])
