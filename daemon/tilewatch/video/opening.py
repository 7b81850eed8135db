"""Opens a local video file and nothing else: no sockets, no playlists, no other files by way of this one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

import av
from av.error import FFmpegError

from tilewatch.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.container import InputContainer
    from av.packet import Packet

StreamT = TypeVar("StreamT", "av.VideoStream", "av.AudioStream")

CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,asf,ogg,mxf,nut,rm,dv,wtv,gxf,ivf,"
    "obu,h264,hevc,m4v,h263,mjpeg,vc1,yuv4mpegpipe,gif,apng"
)
"""Demuxers that read one file; not those that follow a text file to others (hls, concat, sdp, image2, dash)."""

LENIENT: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}  # noqa: PLR2004
"""Tags that are no UTF-8 (old AVI files) are no reason to refuse a video; PyAV 19 does not refuse them by itself."""

HEAD_BYTES = 12


def open_video(path: Path, *, max_pixels: int) -> InputContainer:
    """Open a local file as a video container.

    Args:
        path: the file; always read as a file, whatever its name looks like.
        max_pixels: no picture larger than this is allocated while the container is examined.

    Raises:
        InputError: not a readable file, empty, no container of `CONTAINERS`, or without its index.
    """
    _check_file(path)
    guards = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS, "max_pixels": str(max_pixels)}
    try:
        container: InputContainer = av.open(os.path.abspath(path), "r", options=guards, **LENIENT)  # noqa: PTH100 keeps links
    except FFmpegError as error:
        raise InputError(_refusal(path, error)) from None
    return container


def can_open(path: Path, *, max_pixels: int) -> bool:
    """Tell whether a file is a container that opens: one still being copied most often is not. Blocking."""
    try:
        open_video(path, max_pixels=max_pixels).close()
    except InputError:
        return False
    return True


def packets_of(container: InputContainer, stream: StreamT) -> Iterator[Packet[StreamT]]:
    """Yield a stream's packets to the end of the file, empty ones left out.

    Raises:
        FFmpegError: the container is damaged from here on.
    """
    try:
        yield from (packet for packet in container.demux(stream) if packet.size)
    except IndexError:  # PyAV at the end of a recording in which further streams turned up midway (MPEG-TS)
        return


def _check_file(path: Path) -> None:
    """Refuse what is no file with bytes in it that may be read."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a directory: name a video file in it")
        if not path.is_file():
            raise InputError(f"{path} does not exist or is no file: check the path")
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check its permissions") from None
    if empty:
        raise InputError(f"{path} is empty (0 bytes): copy the file again")


def _refusal(path: Path, error: FFmpegError) -> str:
    """Return what is wrong with a file that no demuxer took, and the remedy."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head[4:8] in {b"ftyp", b"mdat", b"wide", b"free"}:
        return (
            f"{path} has no usable index (moov): the copy or the recording was broken off; copy it again or repair it"
        )
    if head.startswith((b"#EXTM3U", b"ffconcat", b"v=0", b"<?xml", b"[playlist")):
        return f"{path} is a playlist, not a video: name the video files themselves"
    return f"{path} is not a video file that can be opened ({error.strerror}): convert it to MP4 or Matroska"
