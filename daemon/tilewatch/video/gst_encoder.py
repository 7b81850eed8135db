"""A Jetson's video encoder: an element of GStreamer in a process of its own, whose H.264 is put into our file."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import av
import numpy as np
from av.bitstream import BitStreamFilterContext

from tilewatch.errors import SinkError
from tilewatch.video.canvas import even
from tilewatch.video.encoder import KEYFRAME_SECONDS, bit_rate, colours
from tilewatch.video.gstreamer import PATIENCE_SECONDS, Child, PipelineError, rows_of
from tilewatch.video.planes import plane_view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from fractions import Fraction

    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from tilewatch.video.canvas import Look
    from tilewatch.video.encoder import Encoding, Traits
    from tilewatch.video.gdp import Buffer

    Elements: TypeAlias = Callable[[int, int], Sequence[str]]
    """Makes what encodes, for a bit rate (bits a second) and a distance of key frames (frames). It must not reorder."""

NVV4L2H264ENC = "nvv4l2h264enc"
TICK_NS = 1000
ORIGIN_NS = 3_600_000_000_000
"""Times in the pipe begin here."""


def jetson(bits: int, distance: int) -> Sequence[str]:
    """Return the elements of a Jetson: into the memory of its kind, and its encoder."""
    memory = ["nvvidconv", "!", "video/x-raw(memory:NVMM),format=NV12"]
    rate = [f"bitrate={bits}", f"iframeinterval={distance}", f"idrinterval={distance}", "num-B-Frames=0"]
    return [*memory, "!", NVV4L2H264ENC, *rate, "insert-sps-pps=true"]


def software(bits: int, distance: int) -> Sequence[str]:
    """Return the elements that stand in for them where there is no such hardware (gstreamer1.0-plugins-ugly)."""
    return ["x264enc", f"bitrate={bits // 1000}", f"key-int-max={distance}", "bframes=0", "speed-preset=ultrafast"]


class GstEncoder:
    """Encodes in a process of its own; what the file has to say of its colours is written into the stream afterwards.

    Args:
        container: gets a stream of H.264.
        encoding: what is asked for; quality becomes a bit rate.
        look: of every picture.
        traits: of the source.
        elements: what encodes, by default a Jetson's hardware.
        patience: longest silence, seconds.

    Raises:
        SinkError: GStreamer is not installed.
    """

    def __init__(  # noqa: PLR0913 what a video is made with
        self,
        container: OutputContainer,
        encoding: Encoding,
        look: Look,
        traits: Traits,
        *,
        elements: Elements = jetson,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        width, height = even(look.width), even(look.height)
        self.stream: VideoStream = _add_stream(container, encoding, width, height)
        self._codec = encoding.codec
        self._time_base = encoding.time_base
        self._ticks_ns = encoding.time_base * 1_000_000_000
        self._sizes = rows_of(width, height)
        self._sent: deque[tuple[int, int]] = deque()
        self._shift_ns: int | None = None
        self._finished = False
        self._marking = BitStreamFilterContext(_marks(look, traits), self.stream)
        distance = max(1, round(encoding.rate * KEYFRAME_SECONDS))
        whole = [*elements(bit_rate(encoding, look), distance), "!", "h264parse", "!"]
        whole += ["video/x-h264,stream-format=byte-stream,alignment=au"]
        with self._encoding():
            self._child = Child(whole, _caps(width, height, encoding.rate), patience=patience)

    def encode(self, picture: av.VideoFrame | None) -> Sequence[Packet[VideoStream]]:
        """Encode a picture; see `Encoder`."""
        with self._encoding():
            if picture is None:
                return self._finish()
            assert picture.pts is not None
            time_ns = round(picture.pts * self._ticks_ns / TICK_NS) * TICK_NS + ORIGIN_NS
            self._sent.append((time_ns, picture.pts))
            self._child.send(_pieces(picture, self._sizes), time_ns)
            return list(self._packets(self._child.take()))

    def close(self) -> None:
        """End the process; never raises. Idempotent."""
        self._child.close()

    def _finish(self) -> Sequence[Packet[VideoStream]]:
        if self._finished:
            return []
        self._finished = True
        packets = list(self._packets(self._child.finish()))
        self.close()
        if self._sent:
            raise PipelineError(f"{len(self._sent)} pictures did not come out of it")
        return packets

    def _packets(self, buffers: Sequence[Buffer]) -> Iterator[Packet[VideoStream]]:
        for buffer in buffers:
            raw = av.Packet(bytes(buffer.content))
            raw.pts = raw.dts = self._time_of(buffer)
            raw.is_keyframe = buffer.key
            for packet in self._marking.filter(raw):
                packet.stream, packet.time_base = self.stream, self._time_base
                yield packet

    def _time_of(self, buffer: Buffer) -> int:
        """Return the time of the picture that a packet holds: they come in order, and some encoders shift all times."""
        time_ns, pts = self._sent.popleft() if self._sent else (0, None)
        if pts is None or buffer.pts is None:
            raise PipelineError("it gave a packet of no picture")
        if self._shift_ns is None:
            self._shift_ns = buffer.pts - time_ns
        if abs(buffer.pts - time_ns - self._shift_ns) > TICK_NS:
            raise PipelineError("it left out a picture, or changed their order")
        return pts

    @contextmanager
    def _encoding(self) -> Iterator[None]:
        """Turn a failure of the pipeline into one of the result."""
        try:
            yield
        except PipelineError as error:
            raise SinkError(f"the encoder {self._codec} failed ({error}): set VIDEO_CODEC=auto or libx264") from error


def _add_stream(container: OutputContainer, encoding: Encoding, width: int, height: int) -> VideoStream:
    """Add a stream for packets that are encoded elsewhere."""
    facts = {"width": width, "height": height, "time_base": encoding.time_base}
    stream = container.add_mux_stream("h264", rate=encoding.rate, **facts)
    assert isinstance(stream, av.VideoStream)
    return stream


def _caps(width: int, height: int, rate: Fraction) -> str:
    facts = f"width=(int){width}, height=(int){height}, framerate=(fraction){rate.numerator}/{rate.denominator}"
    return f"video/x-raw, format=(string)I420, {facts}, interlace-mode=(string)progressive"


def _marks(look: Look, traits: Traits) -> str:
    """Return the filter that writes colours and the shape of a pixel into the stream's parameters."""
    primaries, transfer, matrix = colours(look, traits)
    marks = [
        f"colour_primaries={primaries}",
        f"transfer_characteristics={transfer}",
        f"matrix_coefficients={matrix}",
        f"video_full_range_flag={int(look.full_range)}",
    ]
    if traits.pixel_aspect:
        marks.append(f"sample_aspect_ratio={traits.pixel_aspect.numerator}/{traits.pixel_aspect.denominator}")
    return "h264_metadata=" + ":".join(marks)


def _pieces(picture: av.VideoFrame, sizes: Sequence[tuple[int, int]]) -> list[memoryview]:
    """Return a picture's planes as GStreamer lays them out; not copied where they lie like that."""
    pieces = []
    for index, (rows, row_bytes) in enumerate(sizes):
        plane = plane_view(picture, index)
        missing = (rows - plane.shape[0], row_bytes - plane.shape[1])
        whole = np.pad(plane, [(0, missing[0]), (0, missing[1])]) if any(missing) else plane
        pieces.append(np.ascontiguousarray(whole).data.cast("B"))
    return pieces
