"""tracks.jsonl: one JSON object a line, one line a frame, also for frames without objects.

    {"frame":0,"pts":0,"time":0.0,"objects":[{"id":1,"class":"person","label":0,"score":0.87,"box":[x1,y1,x2,y2]}]}

There is no header line: what is true of the whole file, its schema included, is in the manifest.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tilewatch.sinks.rows import Row, rows, seconds
from tilewatch.sinks.textfile import TextFile

if TYPE_CHECKING:
    from pathlib import Path

    from tilewatch.records import Tracks
    from tilewatch.sinks.base import SinkContext

ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class JsonlSink:
    """Writes a line for every frame; `id` is left out when tracking is off."""

    def __init__(self, path: Path, context: SinkContext) -> None:
        self._context = context
        self._file = TextFile(path)

    def write(self, tracks: Tracks) -> None:
        """Append one frame's line.

        Raises:
            SinkError: the file system refused; DiskFullError when the volume is full.
        """
        frame = tracks.frame
        line = {
            "frame": frame.index,
            "pts": frame.pts,
            "time": seconds(tracks),
            "objects": [self._object(row) for row in rows(tracks)],
        }
        self._file.write(ENCODER.encode(line) + "\n")

    def close(self) -> None:
        """Complete the file. Idempotent; raises as `write`."""
        self._file.close()

    def abort(self) -> None:
        """Let go of the file; never raises."""
        self._file.abort()

    def _object(self, row: Row) -> dict[str, object]:
        """Return one object of the line."""
        identity = {"id": row.track_id} if self._context.tracking else {}
        name = self._context.class_name(row.label)
        return {**identity, "class": name, "label": row.label, "score": row.score, "box": row.box}
