"""tracks.parquet: a typed row for every object, in row groups of bounded size, readable by every data tool."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewatch.errors import ConfigError
from tilewatch.sinks.disk import writing
from tilewatch.sinks.rows import seconds

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

    from tilewatch.records import Tracks
    from tilewatch.sinks.base import SinkContext

ROW_GROUP = 65_536
"""Rows held in memory before they go to the file, about 3 MB."""


class ParquetSink:
    """Writes the columns frame, time, track_id (null with tracking off), class, label, score, x1, y1, x2, y2.

    Raises:
        ConfigError: pyarrow is not installed.
        SinkError: the file cannot be made; DiskFullError when the volume is full.
    """

    def __init__(self, path: Path, context: SinkContext) -> None:
        self._path = path
        self._context = context
        self._arrow, parquet = _pyarrow()
        self._schema = _schema(self._arrow, context)
        self._held: list[dict[str, NDArray[Any]]] = []
        self._rows = 0
        with writing(path):
            self._file = path.open("wb")
            self._writer = parquet.ParquetWriter(self._file, self._schema, compression="zstd")

    def write(self, tracks: Tracks) -> None:
        """Take one frame's rows; a full row group goes to the file.

        Raises:
            SinkError: the file system refused; DiskFullError when the volume is full.
        """
        if len(tracks):
            self._held.append(_columns(tracks))
            self._rows += len(tracks)
        if self._rows >= ROW_GROUP:
            self._flush()

    def close(self) -> None:
        """Write the last rows and complete the file. Idempotent; raises as `write`."""
        if self._file.closed:
            return
        self._flush()
        with writing(self._path):
            self._writer.close()
            self._file.close()

    def abort(self) -> None:
        """Let go of the file; never raises."""
        self._held.clear()
        if self._file.closed:
            return
        with suppress(OSError):
            self._writer.close()
        with suppress(OSError):
            self._file.close()

    def _flush(self) -> None:
        """Write the held rows as one row group."""
        if not self._held:
            return
        names = self._held[0].keys()
        columns: dict[str, Any] = {name: np.concatenate([part[name] for part in self._held]) for name in names}
        self._held, self._rows = [], 0
        columns["class"] = self._class_column(columns["label"])
        columns["track_id"] = self._identity_column(columns["track_id"])
        with writing(self._path):
            self._writer.write_table(self._arrow.table(columns, schema=self._schema), row_group_size=ROW_GROUP)

    def _class_column(self, labels: NDArray[np.int32]) -> Any:  # noqa: ANN401 pyarrow has no types
        """Return the names of the labels, each stored once."""
        used, codes = np.unique(labels, return_inverse=True)
        names = [self._context.class_name(label) for label in used.tolist()]
        return self._arrow.DictionaryArray.from_arrays(codes.astype(np.int32), self._arrow.array(names, "string"))

    def _identity_column(self, ids: NDArray[np.int64]) -> Any:  # noqa: ANN401 pyarrow has no types
        """Return the track ids, or nulls when tracking is off."""
        return ids if self._context.tracking else self._arrow.nulls(len(ids), self._arrow.int64())


def _pyarrow() -> tuple[ModuleType, ModuleType]:
    """Import pyarrow, which only this format needs."""
    try:
        import pyarrow as arrow  # noqa: ICN001, PLC0415 an extra, loaded only where it is used
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError("OUTPUT_FORMATS: parquet needs pyarrow: pip install 'tilewatch[parquet]'") from error
    return arrow, parquet


def _schema(arrow: ModuleType, context: SinkContext) -> Any:  # noqa: ANN401 pyarrow has no types
    """Return the columns, with the stream's facts as metadata."""
    info = context.info
    types = {
        "frame": arrow.int64(),
        "time": arrow.float64(),
        "track_id": arrow.int64(),
        "class": arrow.dictionary(arrow.int32(), arrow.string()),
        "label": arrow.int32(),
        "score": arrow.float32(),
        **{side: arrow.float32() for side in ("x1", "y1", "x2", "y2")},
    }
    facts = {"stream": info.stream.encode("utf-8", "backslashreplace"), "width": str(info.width)}
    return arrow.schema(list(types.items()), metadata={**facts, "height": str(info.height)})


def _columns(tracks: Tracks) -> dict[str, NDArray[Any]]:
    """Return one frame's rows as columns, class names left out; the arrays are copies."""
    count = len(tracks)
    x1, y1, x2, y2 = tracks.xyxy.T.copy()
    return {
        "frame": np.full(count, tracks.frame.index, np.int64),
        "time": np.full(count, seconds(tracks)),
        "track_id": tracks.track_id.copy(),
        "label": tracks.label.copy(),
        "score": tracks.score.copy(),
        "x1": x1,
        "y1": y1,
        "x2": x2,
        "y2": y2,
    }
