"""FFmpeg's errors while writing, said in words."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

from av.error import FFmpegError

from tilewatch.errors import DiskFullError, SinkError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn FFmpeg's errors of the block into errors that name the file.

    Raises:
        DiskFullError: the volume or the quota is full.
        SinkError: anything else the encoder, the muxer or the file system refused.
    """
    try:
        yield
    except FFmpegError as error:
        if is_full(error):
            raise DiskFullError(f"{path}: no space left on the output volume: free some and run again") from error
        raise SinkError(
            f"{path}: the video cannot be written ({cause(error)}): choose another folder or VIDEO_CODEC"
        ) from error


def is_full(error: FFmpegError) -> bool:
    """Whether the error says that there is no space left."""
    return error.errno in FULL


def cause(error: BaseException | None) -> str:
    """Return an error's text without FFmpeg's account of the call that failed."""
    return (error.strerror or type(error).__name__) if isinstance(error, FFmpegError) else str(error)
