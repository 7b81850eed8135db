"""tracks.csv: a header and a row for every object, as RFC 4180 has it, so that a spreadsheet opens it."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from tilewatch.sinks.rows import Row, rows, seconds
from tilewatch.sinks.textfile import TextFile

if TYPE_CHECKING:
    from pathlib import Path

    from tilewatch.records import Tracks
    from tilewatch.sinks.base import SinkContext

HEADER = ("frame", "time", "track_id", "class", "label", "score", "x1", "y1", "x2", "y2")


class CsvSink:
    """Writes a row for every object; `track_id` is empty when tracking is off."""

    def __init__(self, path: Path, context: SinkContext) -> None:
        self._context = context
        self._file = TextFile(path)
        self._csv = csv.writer(self._file, lineterminator="\r\n")
        self._csv.writerow(HEADER)

    def write(self, tracks: Tracks) -> None:
        """Append one frame's rows.

        Raises:
            SinkError: the file system refused; DiskFullError when the volume is full.
        """
        moment = (tracks.frame.index, f"{seconds(tracks):.6f}")
        self._csv.writerows((*moment, *self._cells(row)) for row in rows(tracks))

    def close(self) -> None:
        """Complete the file. Idempotent; raises as `write`."""
        self._file.close()

    def abort(self) -> None:
        """Let go of the file; never raises."""
        self._file.abort()

    def _cells(self, row: Row) -> tuple[object, ...]:
        """Return the cells of one object, from the id on."""
        identity = row.track_id if self._context.tracking else ""
        return (identity, self._context.class_name(row.label), row.label, row.score, *row.box)
