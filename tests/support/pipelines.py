"""GStreamer's elements of software, which stand in for a Jetson's: the same process, pipes and protocol."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import av
import psutil
import pytest

from tilewatch.video.decoder import SOFTWARE_ELEMENTS, GstDecoder, Looks, NvdecDecoder

if TYPE_CHECKING:
    from av.video.stream import VideoStream

ELEMENTS = ("avdec_h264", "avdec_h265", "h264parse", "h265parse", "gdppay", "x264enc", "videoconvert")


def _has_elements() -> bool:
    inspect = shutil.which("gst-inspect-1.0")
    return inspect is not None and not any(
        subprocess.run([inspect, name], stdout=subprocess.DEVNULL, check=False).returncode for name in ELEMENTS
    )


needs_gstreamer = pytest.mark.skipif(
    not _has_elements(),
    reason="no GStreamer: apt-get install gstreamer1.0-tools gstreamer1.0-libav gstreamer1.0-plugins-{base,bad,ugly}",
)


def stand_in(stream: VideoStream, looks: Looks, *, before: str = "", patience: float = 10.0) -> GstDecoder:
    """Return what decodes in a child process, with elements of software."""
    elements = [*before.split(), *SOFTWARE_ELEMENTS[stream.codec_context.name]]
    return GstDecoder(stream, looks, elements=elements, patience=patience)


def nvdec_stand_in(stream: VideoStream, looks: Looks) -> NvdecDecoder:
    """Return what decodes as with NVDEC, by a second context of FFmpeg's, but without a card."""
    return NvdecDecoder(stream, looks, create=software_context)


def software_context(codec: str) -> av.VideoCodecContext:
    """Return a decoder of FFmpeg, not open yet."""
    context = av.CodecContext.create(codec, "r")
    assert isinstance(context, av.VideoCodecContext)
    return context


def children() -> list[psutil.Process]:
    """Return the running pipelines of this process."""
    return [child for child in psutil.Process().children() if child.name().startswith("gst-launch")]
