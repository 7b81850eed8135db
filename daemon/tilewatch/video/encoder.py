"""The video encoders we know how to ask for constant quality, and the tags of their stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
from av.error import FFmpegError
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc

from tilewatch.errors import SinkError
from tilewatch.video.canvas import even
from tilewatch.video.faults import cause

if TYPE_CHECKING:
    from fractions import Fraction

    from av.container import InputContainer, OutputContainer
    from av.video.stream import VideoStream

    from tilewatch.records import Matrix, StreamInfo
    from tilewatch.video.canvas import Look

SOFTWARE = "libx264"
"""What works everywhere."""
THREADS = 4
"""Of a software encoder: enough for 4K, and every further one delays and holds another picture."""
KEYFRAME_SECONDS = 2
"""Distance of the pictures a player can jump to."""
HARDWARE_BITS_PER_PIXEL = 0.1
"""At quality 23, for encoders that know a bit rate only; halves every 6 steps, as with x264."""
REFERENCE_QUALITY, HALVING = 23, 6

COLORSPACES: dict[Matrix, int] = {"bt601": 6, "bt709": 1, "bt2020": 9}
"""AVColorSpace (ITU-T H.273) by matrix."""
PRIMARIES: dict[Matrix, ColorPrimaries] = {
    "bt601": ColorPrimaries.SMPTE170M,
    "bt709": ColorPrimaries.BT709,
    "bt2020": ColorPrimaries.BT2020,
}
TRANSFERS: dict[Matrix, ColorTrc] = {
    "bt601": ColorTrc.SMPTE170M,
    "bt709": ColorTrc.BT709,
    "bt2020": ColorTrc.BT2020_10,
}
"""For sources that do not tell, the ones that go with the matrix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """What is asked of an encoder."""

    codec: str
    quality: int
    """Constant rate factor, 0 to 51, lower is better."""
    preset: str
    """Of software encoders."""
    rate: Fraction
    """Frames per second, nominal."""
    time_base: Fraction

    @classmethod
    def of(cls, info: StreamInfo, *, codec: str, quality: int, preset: str) -> Encoding:
        """Return what is asked for a source's pictures."""
        return cls(codec=codec, quality=quality, preset=preset, rate=info.average_rate, time_base=info.time_base)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What of the source goes into the output's tags and is no part of a frame."""

    primaries: int | None = None
    """AVColorPrimaries; None: not told."""
    transfer: int | None = None
    """AVColorTransferCharacteristic; None: not told."""
    pixel_aspect: Fraction | None = None
    """Width to height of a pixel, upright; None: square."""

    @classmethod
    def of(cls, source: InputContainer, rotation: int) -> Traits:
        """Read them from an open source whose pictures are turned by `rotation` degrees."""
        stream = source.streams.best("video")
        if not isinstance(stream, av.VideoStream) or stream.codec_context is None:
            return cls()
        context = stream.codec_context
        aspect = context.sample_aspect_ratio
        upright = 1 / aspect if aspect and rotation in {90, 270} else aspect
        return cls(
            primaries=_told(context.color_primaries),
            transfer=_told(context.color_trc),
            pixel_aspect=upright or None,
        )


def add_stream(container: OutputContainer, encoding: Encoding, look: Look, traits: Traits) -> VideoStream:
    """Add the video stream to a container and open FFmpeg's encoder of it.

    Raises:
        SinkError: this build has no such encoder, or it refuses; names it.
    """
    try:
        stream = container.add_stream(encoding.codec, rate=encoding.rate, options=options(encoding))
        assert isinstance(stream, av.VideoStream)
        _configure(stream, encoding, look)
        _tag(stream, look, traits)
        stream.codec_context.open()
    except (FFmpegError, ValueError) as error:
        raise SinkError(
            f"the encoder {encoding.codec} cannot be opened for {look.width}x{look.height} ({cause(error)}): "
            "set VIDEO_CODEC=auto or name another"
        ) from error
    return stream


def options(encoding: Encoding) -> dict[str, str]:
    """Return the encoder's own options for constant quality."""
    quality = str(encoding.quality)
    return {
        "libx264": {"crf": quality, "preset": encoding.preset},
        "libx265": {"crf": quality, "preset": encoding.preset, "x265-params": "log-level=none"},
        "h264_nvenc": {"rc": "vbr", "cq": quality, "preset": "p4"},
    }.get(encoding.codec, {})


def _configure(stream: VideoStream, encoding: Encoding, look: Look) -> None:
    stream.width, stream.height = even(look.width), even(look.height)
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = encoding.time_base
    stream.codec_context.gop_size = max(1, round(encoding.rate * KEYFRAME_SECONDS))
    if encoding.codec.startswith("lib"):
        stream.codec_context.thread_count = THREADS
    if encoding.codec == "libx265":
        stream.codec_tag = "hvc1"  # Apple's players know no hev1
    if encoding.codec == "h264_v4l2m2m":
        stream.bit_rate = bit_rate(encoding, look)


def bit_rate(encoding: Encoding, look: Look) -> int:
    """Return the bits a second that stand for a quality, for encoders that know no other measure."""
    factor = 2 ** ((REFERENCE_QUALITY - encoding.quality) / HALVING)
    pixels = even(look.width) * even(look.height) * float(encoding.rate)
    return round(pixels * HARDWARE_BITS_PER_PIXEL * factor)


def colours(look: Look, traits: Traits) -> tuple[int, int, int]:
    """Return AVColorPrimaries, AVColorTransferCharacteristic and AVColorSpace of the output."""
    primaries, transfer = traits.primaries or PRIMARIES[look.matrix], traits.transfer or TRANSFERS[look.matrix]
    return int(primaries), int(transfer), COLORSPACES[look.matrix]


def _tag(stream: VideoStream, look: Look, traits: Traits) -> None:
    context = stream.codec_context
    context.color_range = ColorRange.JPEG if look.full_range else ColorRange.MPEG
    context.color_primaries, context.color_trc, context.colorspace = colours(look, traits)
    if traits.pixel_aspect:
        context.sample_aspect_ratio = traits.pixel_aspect


def _told(tag: int) -> int | None:
    """Return an AVColor tag, None where it is 'reserved' or 'unspecified'."""
    return int(tag) if int(tag) not in {0, 2, 3} else None
