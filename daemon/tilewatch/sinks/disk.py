"""Errors of the file system, said in words: which file, what is wrong, what to do."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tilewatch.errors import DiskFullError, SinkError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
UNSYNCABLE = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})
"""What some network file systems answer to fsync of a directory; the rename itself is theirs to order."""
REMEDIES = {
    errno.EFBIG: "the file system or a limit of this account takes no larger file: choose another folder",
    errno.EACCES: "mend the permissions or choose another folder",
    errno.EPERM: "mend the permissions or choose another folder",
    errno.EROFS: "the volume is mounted read-only: choose another folder",
    errno.EEXIST: "a file has that name: choose another folder",
    errno.ENOTDIR: "a file has that name: choose another folder",
    errno.ENOENT: "its folder was removed while the work went on: run again",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "the volume fails: look at the system log",
}


def describe(error: OSError) -> str:
    """Return what went wrong and the remedy, as the end of a sentence: 'Read-only file system: choose ...'."""
    cause = os.strerror(error.errno) if error.errno else str(error)
    remedy = REMEDIES.get(error.errno or 0, "choose another folder or mend this one")
    return f"{cause}: {remedy}"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn every OSError of the block into an error that names the file.

    Raises:
        DiskFullError: the volume or the quota is full.
        SinkError: anything else the file system refused.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DiskFullError(f"{path}: no space left on the output volume: free some and run again") from error
        raise SinkError(f"{path}: cannot be written ({describe(error)})") from error


def replace_whole(path: Path, content: bytes) -> None:
    """Put a small file in place of another one: on the disk, whole, when it returns.

    Raises:
        OSError: the file system refused; what was there before stands then.
    """
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Force a file or a folder to the disk.

    Raises:
        OSError: the disk refused; not raised for folders on file systems that cannot sync them.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if not (path.is_dir() and error.errno in UNSYNCABLE):
            raise
    finally:
        os.close(handle)
