"""Opens the encoder that is asked for: one of FFmpeg's, or a Jetson's through GStreamer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tilewatch.video.encoder import add_stream
from tilewatch.video.gst_encoder import NVV4L2H264ENC, GstEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import av
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from tilewatch.video.canvas import Look
    from tilewatch.video.encoder import Encoding, Traits


class Encoder(Protocol):
    """Makes packets of pictures. Blocking; not thread-safe."""

    stream: VideoStream
    """Where they go."""

    def encode(self, picture: av.VideoFrame | None) -> Sequence[Packet[VideoStream]]:
        """Take a picture, or None at the end, and return the packets that are ready.

        Raises:
            FFmpegError: the encoder refuses.
            SinkError: the encoder died, or hangs.
        """

    def close(self) -> None:
        """Let go of the device; never raises. Idempotent."""


class FfmpegEncoder:
    """An encoder of FFmpeg, open."""

    def __init__(self, stream: VideoStream) -> None:
        self.stream = stream

    def encode(self, picture: av.VideoFrame | None) -> Sequence[Packet[VideoStream]]:
        """Encode a picture; see `Encoder`."""
        return self.stream.encode(picture)

    def close(self) -> None:
        """It goes with its container."""


ELSEWHERE: dict[str, Callable[[OutputContainer, Encoding, Look, Traits], Encoder]] = {NVV4L2H264ENC: GstEncoder}
"""Encoders that are none of FFmpeg's."""


def add_encoder(container: OutputContainer, encoding: Encoding, look: Look, traits: Traits) -> Encoder:
    """Add a video stream to a container, with an open encoder for it.

    Raises:
        SinkError: there is no such encoder here, or it refuses; names it.
    """
    make = ELSEWHERE.get(encoding.codec)
    if make:
        return make(container, encoding, look, traits)
    return FfmpegEncoder(add_stream(container, encoding, look, traits))
