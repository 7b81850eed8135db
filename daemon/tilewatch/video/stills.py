"""Single frames spread over a video: what calibration and comparisons of engines look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from av.error import FFmpegError

from tilewatch.errors import InputError
from tilewatch.video.opening import open_video
from tilewatch.video.planes import frame_of, picture_of, turn_of
from tilewatch.video.source import SLICE_THREADS_ONLY

if TYPE_CHECKING:
    from collections.abc import Iterator

    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

    from tilewatch.records import Frame, StreamInfo

MICROSECONDS = 1_000_000
LEAP_SECONDS = 20.0
"""Further ahead than this a frame is sought by the container's index: nearer ones are decoded up to."""
STEP = 10
"""Every so many frames one is taken where the container does not say how long the video is."""


def stills(info: StreamInfo, count: int, *, max_pixels: int) -> Iterator[Frame]:
    """Yield up to `count` sound frames, spread evenly over the video's time; blocking.

    A video with fewer frames gives each once; one without a known length gives every tenth frame from its start on.

    Raises:
        InputError: the file cannot be opened, or its container is damaged.
    """
    container = open_video(info.path, max_pixels=max_pixels)
    try:
        best = container.streams.best("video")
        stream = next((stream for stream in container.streams.video if best and stream.index == best.index), None)
        if stream is None:
            raise InputError(f"{info.path} has no video stream: nothing to watch in it")
        stream.codec_context.options = {"max_pixels": str(max_pixels)}
        stream.thread_type = "SLICE" if stream.codec_context.name in SLICE_THREADS_ONLY else "AUTO"
        raws = _spread(container, stream, info, count) if info.duration_seconds else _every(container, stream, count)
        for index, raw in enumerate(raws):
            yield _frame(raw, info, index)
    except FFmpegError as error:
        raise InputError(
            f"{info.path}: its frames cannot be read ({error.strerror}): convert it or copy it again"
        ) from None
    finally:
        container.close()


def _spread(container: InputContainer, stream: VideoStream, info: StreamInfo, count: int) -> Iterator[av.VideoFrame]:
    """Yield the frame shown in the middle of each of `count` equal spans, each once."""
    start, length = float(info.start_pts * info.time_base), info.duration_seconds or 0.0
    raws, reached = container.decode(stream), start
    for index in range(count):
        wanted = start + length * (index + 0.5) / count
        if wanted < reached:  # the frame before lasts as long
            continue
        if wanted - reached > LEAP_SECONDS:
            container.seek(round(wanted * MICROSECONDS))
            raws = container.decode(stream)
        raw = next((raw for raw in raws if not raw.is_corrupt and _seconds(raw) >= wanted), None)
        if raw is None:
            return
        reached = _seconds(raw)
        yield raw


def _every(container: InputContainer, stream: VideoStream, count: int) -> Iterator[av.VideoFrame]:
    """Yield every tenth frame."""
    given = 0
    for index, raw in enumerate(container.decode(stream)):
        if given == count:
            return
        if index % STEP == 0 and not raw.is_corrupt:
            given += 1
            yield raw


def _seconds(raw: av.VideoFrame) -> float:
    """Return a frame's presentation time; where there is none (AVI) the decoding time, which is the same there."""
    ticks = raw.dts if raw.pts is None else raw.pts
    return float((ticks or 0) * (raw.time_base or 0))


def _frame(raw: av.VideoFrame, info: StreamInfo, index: int) -> Frame:
    return frame_of(
        picture_of(raw, turn_of(raw)),
        stream=info.stream,
        index=index,
        pts=round(_seconds(raw) / info.time_base),
        time_base=info.time_base,
    )
