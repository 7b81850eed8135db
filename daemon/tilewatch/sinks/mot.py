"""tracks.mot.txt: the MOTChallenge result format (https://motchallenge.net/instructions/).

Rows `frame,id,left,top,width,height,conf,-1,-1,-1`; frames count from 1, the id is -1 when tracking is off.
Coordinates are ours, with the first pixel at 0, as the trackers of this field write them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilewatch.sinks.rows import Row, rows
from tilewatch.sinks.textfile import TextFile

if TYPE_CHECKING:
    from pathlib import Path

    from tilewatch.records import Tracks
    from tilewatch.sinks.base import SinkContext

NO_IDENTITY = -1


class MotSink:
    """Writes a row for every object."""

    def __init__(self, path: Path, context: SinkContext) -> None:
        self._tracking = context.tracking
        self._file = TextFile(path)

    def write(self, tracks: Tracks) -> None:
        """Append one frame's rows.

        Raises:
            SinkError: the file system refused; DiskFullError when the volume is full.
        """
        number = tracks.frame.index + 1
        self._file.write("".join(self._row(number, row) for row in rows(tracks)))

    def close(self) -> None:
        """Complete the file. Idempotent; raises as `write`."""
        self._file.close()

    def abort(self) -> None:
        """Let go of the file; never raises."""
        self._file.abort()

    def _row(self, number: int, row: Row) -> str:
        """Return one line."""
        left, top, right, bottom = row.box
        identity = row.track_id if self._tracking else NO_IDENTITY
        size = f"{right - left:.2f},{bottom - top:.2f}"
        return f"{number},{identity},{left:.2f},{top:.2f},{size},{row.score:.4f},-1,-1,-1\n"
