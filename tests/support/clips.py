"""Small generated clips with recognisable pictures: a frame's number can be read back from its pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from av.container import OutputContainer
    from numpy.typing import NDArray

BITS = 8
DARK, BRIGHT = 40, 200
HUES = ((90, 170), (160, 80))
"""(u, v) of the upper and the lower half of every picture."""
SAMPLE_RATE = 48000


@dataclass(frozen=True, kw_only=True)
class Clip:
    """What a generated clip is like; `width` and `height` are those of the upright picture."""

    frames: int = 12
    width: int = 160
    height: int = 96
    fps: Fraction = Fraction(10)
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    rotation: int = 0
    """Degrees clockwise by which a player has to turn the stored picture."""
    audio: str | None = None
    """Encoder of a sine tone, e.g. 'aac', 'pcm_s16le', 'libopus'."""
    audio_first: bool = False
    """The tone is stream 0."""
    audio_seconds: float | None = None
    """Length of the tone; None: as long as the pictures."""
    audio_gap: tuple[float, float] = (0.0, 0.0)
    """Seconds from which to which no sound is stored."""
    clock_seconds: int = 0
    """What the recorder's clock showed at time 0: added to all times of the file."""
    pts: Sequence[int] | None = None
    """Times of the frames in `time_base`; None: evenly spaced."""
    time_base: Fraction | None = None
    """None: 1/fps."""
    full_range: bool = False
    colorspace: int | None = None
    """AVColorSpace tag (1 BT.709, 5 or 6 BT.601, 9 BT.2020); None: untagged."""
    first_number: int = 0
    """Number shown by the first picture."""
    options: dict[str, str] = field(default_factory=dict)
    """Of the encoder."""
    paint: Callable[[int, int, int], NDArray[np.uint8]] | None = None
    """Luma of a picture by (number, width, height) in place of the usual one."""


def make_clip(path: Path, clip: Clip | None = None) -> Path:
    """Write a clip; its container follows from the name. Returns the path."""
    clip = clip or Clip()
    clock = {"output_ts_offset": str(clip.clock_seconds)} if clip.clock_seconds else {}
    with av.open(str(path), "w", container_options=clock) as container:
        tone = _add_tone(container, clip) if clip.audio and clip.audio_first else None
        video = _add_video(container, clip)
        if clip.audio and not clip.audio_first:
            tone = _add_tone(container, clip)
        for index in range(clip.frames):
            container.mux(video.encode(_frame(clip, index)))
        container.mux(video.encode(None))
        if tone is not None:
            _write_tone(container, tone, clip)
    return path


def begun_later(path: Path, *, pictures: int) -> Path:
    """Copy an MP4 with its times moved below 0, which its writer turns into an edit list."""
    moved = path.with_suffix(".edited.mp4")
    with av.open(str(path)) as source, av.open(str(moved), "w") as target:
        copied = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None and packet.pts is not None:
                shift = pictures * round(1 / (10 * packet.time_base))
                packet.stream, packet.pts, packet.dts = copied, packet.pts - shift, packet.dts - shift
                target.mux(packet)
    return moved


def number_of(luma: NDArray[np.uint8]) -> int:
    """Read the number from the luma of an upright picture."""
    height, width = luma.shape
    middles = [(2 * bit + 1) * width // (2 * BITS) for bit in range(BITS)]
    bright = [luma[height // 8, middle] > (DARK + BRIGHT) // 2 for middle in middles]
    return sum(int(on) << bit for bit, on in enumerate(bright))


def luma_of(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """Return (height, width) uint8: the number's bits across the top quarter, a square that moves below."""
    luma = np.full((height, width), 110, np.uint8)
    for bit in range(BITS):
        luma[: height // 4, bit * width // BITS : (bit + 1) * width // BITS] = BRIGHT if number >> bit & 1 else DARK
    side = max(4, height // 6)
    left = (number * 4) % max(1, width - side)
    luma[height // 2 : height // 2 + side, left : left + side] = 230
    return luma


def _add_video(container: OutputContainer, clip: Clip) -> av.VideoStream:
    turned = clip.rotation in {90, 270}
    stream = container.add_stream(clip.codec, rate=clip.fps, options=_encoder_options(clip))
    assert isinstance(stream, av.VideoStream)
    stream.width, stream.height = (clip.height, clip.width) if turned else (clip.width, clip.height)
    stream.pix_fmt = clip.pix_fmt
    stream.codec_context.time_base = clip.time_base or 1 / clip.fps
    stream.codec_context.color_range = 2 if clip.full_range else 1
    if clip.colorspace is not None:
        stream.codec_context.colorspace = clip.colorspace
    if clip.rotation:
        stream.set_display_rotation(-clip.rotation)
    return stream


def _encoder_options(clip: Clip) -> dict[str, str]:
    fast = {
        "libx264": {"preset": "ultrafast", "crf": "12", "g": "6"},
        "libx265": {"preset": "ultrafast", "crf": "12", "x265-params": "log-level=none"},
        "libsvtav1": {"preset": "12", "svtav1-params": "lp=1"},
    }
    quality = {"qmin": "2", "qmax": "4"} if clip.codec in {"mpeg4", "mjpeg", "msmpeg4"} else {}
    return {**fast.get(clip.codec, {}), **quality, **clip.options}


def _frame(clip: Clip, index: int) -> av.VideoFrame:
    luma = (clip.paint or luma_of)(clip.first_number + index, clip.width, clip.height)
    planes = (luma, *_chroma(clip))
    frame = _filled([np.rot90(plane, clip.rotation // 90) for plane in planes])
    frame.color_range = 2 if clip.full_range else 1
    frame.pts = index if clip.pts is None else clip.pts[index]
    frame.time_base = clip.time_base or 1 / clip.fps
    if clip.pts is None and clip.time_base is not None:
        frame.pts = round(index / (clip.fps * clip.time_base))
    return frame


def _chroma(clip: Clip) -> list[NDArray[np.uint8]]:
    rows, columns = (clip.height + 1) // 2, (clip.width + 1) // 2
    upper = np.arange(rows)[:, None] < rows // 2
    return [
        np.repeat(np.where(upper, above, below), columns, 1).astype(np.uint8)
        for above, below in zip(*HUES, strict=True)
    ]


def _filled(planes: Sequence[NDArray[np.uint8]]) -> av.VideoFrame:
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, pixels in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        rows[:, : plane.width] = pixels
    return frame


def _add_tone(container: OutputContainer, clip: Clip) -> av.AudioStream:
    stream = container.add_stream(clip.audio or "aac", rate=SAMPLE_RATE)
    assert isinstance(stream, av.AudioStream)
    stream.layout = "mono"
    return stream


def _write_tone(container: OutputContainer, stream: av.AudioStream, clip: Clip) -> None:
    seconds = float(clip.frames / clip.fps) if clip.audio_seconds is None else clip.audio_seconds
    for start in range(0, int(seconds * SAMPLE_RATE), 1024):
        if clip.audio_gap[0] <= start / SAMPLE_RATE < clip.audio_gap[1]:
            continue
        count = min(1024, int(seconds * SAMPLE_RATE) - start)
        wave = np.sin(np.arange(start, start + count) * (2 * np.pi * 440 / SAMPLE_RATE)) * 8000
        frame = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
