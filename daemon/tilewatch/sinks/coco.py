"""coco.json: COCO detection JSON (https://cocodataset.org/#format-data), written in constant memory.

Annotations stream to the file; the image list waits in an unnamed temporary file until the annotations end.
Category ids are the label + 1, image ids the frame + 1; scores and track ids ride along, as readers of COCO allow.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

from tilewatch import __version__
from tilewatch.errors import SinkError
from tilewatch.sinks.disk import writing
from tilewatch.sinks.rows import BOX_DECIMALS, Row, rows
from tilewatch.sinks.textfile import TextFile

if TYPE_CHECKING:
    from pathlib import Path

    from tilewatch.records import Frame, Tracks
    from tilewatch.sinks.base import SinkContext

ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class CocoSink:
    """Writes one image for every frame and one annotation for every object."""

    def __init__(self, path: Path, context: SinkContext) -> None:
        self._context = context
        self._path = path
        self._labels = set(range(len(context.names)))
        self._annotations = 0
        self._images = 0
        self._complete = False
        with writing(path):
            self._spool = tempfile.TemporaryFile(  # noqa: SIM115 it lives as long as the sink
                "w+", encoding="utf-8", errors="backslashreplace", newline="", dir=path.parent
            )
        try:
            self._file = TextFile(path)
        except SinkError:
            self._spool.close()
            raise
        info = {"description": f"objects found in {context.info.stream}", "version": f"tilewatch {__version__}"}
        self._file.write(f'{{"info":{ENCODER.encode(info)},\n"licenses":[],\n"annotations":[')

    def write(self, tracks: Tracks) -> None:
        """Append one frame's image and annotations.

        Raises:
            SinkError: the file system refused; DiskFullError when the volume is full.
        """
        for row in rows(tracks):
            self._annotations += 1
            self._labels.add(row.label)
            self._file.write(_item(self._annotation(row, tracks.frame.index + 1), first=self._annotations == 1))
        self._images += 1
        with writing(self._path):
            self._spool.write(_item(self._image(tracks.frame), first=self._images == 1))

    def close(self) -> None:
        """Append images and categories and complete the file. Idempotent; raises as `write`."""
        if self._complete:
            return
        self._file.write('],\n"images":[')
        with writing(self._path):
            self._spool.seek(0)
            shutil.copyfileobj(self._spool, self._file)
            self._spool.close()
        self._file.write(f'],\n"categories":{ENCODER.encode(self._categories())}}}\n')
        self._file.close()
        self._complete = True

    def abort(self) -> None:
        """Let go of the files; never raises."""
        with suppress(OSError):
            self._spool.close()
        self._file.abort()

    def _annotation(self, row: Row, image: int) -> dict[str, object]:
        """Return one object."""
        left, top, right, bottom = row.box
        width, height = round(right - left, BOX_DECIMALS), round(bottom - top, BOX_DECIMALS)
        return {
            "id": self._annotations,
            "image_id": image,
            "category_id": row.label + 1,
            "bbox": [left, top, width, height],
            "area": round(width * height, BOX_DECIMALS),
            "segmentation": [],
            "iscrowd": 0,
            "score": row.score,
            "attributes": {"track_id": row.track_id} if self._context.tracking else {},
        }

    def _image(self, frame: Frame) -> dict[str, object]:
        """Return one frame."""
        number = frame.index + 1
        name = f"{self._context.info.stream}/frame_{number:06d}"
        return {"id": number, "width": frame.width, "height": frame.height, "file_name": name}

    def _categories(self) -> list[dict[str, object]]:
        """Return the model's classes, and those it used without naming them."""
        return [
            {"id": label + 1, "name": self._context.class_name(label), "supercategory": "object"}
            for label in sorted(self._labels)
        ]


def _item(value: dict[str, object], *, first: bool) -> str:
    """Return one element of a JSON array, on its own line."""
    return f"{'' if first else ','}\n{ENCODER.encode(value)}"
