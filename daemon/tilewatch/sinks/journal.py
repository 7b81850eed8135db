"""The results of every frame, to the bit, in a file that only grows: what work that was broken off goes on from."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tilewatch.errors import SinkError
from tilewatch.records import OUTSIDE_ROI, STILL, BoxCount, Looks, Tracks
from tilewatch.sinks.disk import writing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from tilewatch.records import Frame

HEADER = struct.Struct("<12q")
"""Frame index, pts, width and height, objects, its boxes (found, kept, merged, suppressed) and tiles (inferred, reused,
unwatched)."""
OBJECT = np.dtype(
    [("track_id", "<i8"), ("xyxy", "<f4", (4,)), ("score", "<f4"), ("label", "<i4"), ("age", "<i4")], align=False
)
BUFFER_BYTES = 256 * 1024


class JournalSink:
    """Appends every frame's result.

    Args:
        path: made if absent.
        length: bytes of it that count; what a broken-off process left behind them is cut off.

    Raises:
        SinkError: the file cannot be made, or is shorter than `length`; DiskFullError when the volume is full.
    """

    def __init__(self, path: Path, length: int = 0) -> None:
        self._path = path
        self.length = length
        """Bytes written so far."""
        with writing(path):
            self._file = _opened(path, length)

    def write(self, tracks: Tracks) -> None:
        """Append one frame's result.

        Raises:
            SinkError: the file system refused; DiskFullError when the volume is full.
        """
        record = _packed(tracks)
        with writing(self._path):
            self._file.write(record)
        self.length += len(record)

    def sync(self) -> None:
        """Force what was written to the disk; raises as `write`."""
        with writing(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Complete the file. Idempotent; raises as `write`."""
        with writing(self._path):
            self._file.close()

    def abort(self) -> None:
        """Let go of the file; never raises."""
        with suppress(OSError):
            self._file.close()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """One frame of a journal."""

    index: int
    pts: int
    width: int
    height: int
    objects: np.ndarray[tuple[int], np.dtype[np.void]]
    count: BoxCount
    looks: Looks

    def tracks(self, frame: Frame) -> Tracks:
        """Return the result as it was, with the frame it belongs to."""
        columns = {name: np.ascontiguousarray(self.objects[name]) for name in OBJECT.names or ()}
        return Tracks(
            frame=frame,
            xyxy=columns["xyxy"],
            score=columns["score"],
            label=columns["label"],
            track_id=columns["track_id"],
            age=columns["age"],
            count=self.count,
            looks=self.looks,
        )


def entries(path: Path, length: int) -> Iterator[Entry]:
    """Yield the frames of the first `length` bytes of a journal.

    Raises:
        SinkError: the file is shorter, or cannot be read.
    """
    with writing(path), path.open("rb", buffering=BUFFER_BYTES) as file:
        while file.tell() < length:
            index, pts, width, height, objects, *counts = HEADER.unpack(_exactly(file, HEADER.size))
            rows = np.frombuffer(_exactly(file, objects * OBJECT.itemsize), OBJECT)
            boxes, looks = _boxes(*counts[:4]), _looks(*counts[4:])
            yield Entry(index=index, pts=pts, width=width, height=height, objects=rows, count=boxes, looks=looks)


def _boxes(found: int, kept: int, merged: int, suppressed: int) -> BoxCount:
    return BoxCount(found=found, kept=kept, merged=merged, suppressed=suppressed)


def _looks(inferred: int, reused: int, unwatched: int) -> Looks:
    """Return what was done about so many tiles; where they lay matters to the picture alone, which is there already."""
    reasons = ("always",) * inferred + (STILL,) * reused + (OUTSIDE_ROI,) * unwatched
    return Looks(rects=np.zeros((len(reasons), 4), np.int32), reasons=reasons)


def _opened(path: Path, length: int) -> BinaryIO:
    """Return the file, open behind its first `length` bytes."""
    file = path.open("r+b" if length else "wb", buffering=BUFFER_BYTES)
    file.seek(0, os.SEEK_END)
    if file.tell() < length:
        file.close()
        raise SinkError(f"{path}: holds less than its checkpoint says: remove its folder to start over")
    file.truncate(length)
    file.seek(length)
    return file


def _packed(tracks: Tracks) -> bytes:
    count, looks = tracks.count, tracks.looks.outcomes()
    rows = np.empty(len(tracks), OBJECT)
    for name in OBJECT.names or ():
        rows[name] = getattr(tracks, name)
    boxes = count.found, count.kept, count.merged, count.suppressed
    frame = tracks.frame
    header = HEADER.pack(frame.index, frame.pts, frame.width, frame.height, len(tracks), *boxes, *looks.values())
    return header + rows.tobytes()


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise SinkError(f"{file.name}: ends in the middle of a frame: remove its folder to start over")
    return data
