"""What was last found in every tile, to stand where a tile is not inferred."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tilewatch.native.heads import Candidates
from tilewatch.records import STILL, Tiles

if TYPE_CHECKING:
    from tilewatch.records import TileBatch


class TileMemory:
    """The last candidates of each tile, in frame pixels; tiles are known by where they lie."""

    def __init__(self) -> None:
        self._known: dict[bytes, Candidates] = {}

    def complete(self, fresh: Candidates, batch: TileBatch) -> tuple[Candidates, Tiles]:
        """Return the candidates of a frame, those that stand included, and the tiles they belong to.

        Args:
            fresh: what was found in the batch's tiles, frame pixels, ordered by tile.
            batch: the tiles inferred, and those that were skipped.
        """
        still = batch.skipped.take(np.array([reason == STILL for reason in batch.skip_reasons], np.bool_))
        tiles = batch.tiles.joined(still)
        parts = [*_split(fresh, len(batch.tiles)), *(self._known.get(key, NOTHING) for key in _keys(still))]
        self._known = dict(zip(_keys(tiles), parts, strict=True))
        return _join(parts), tiles


def _keys(tiles: Tiles) -> list[bytes]:
    table = np.concatenate([tiles.rects, tiles.full_frame[:, None]], axis=1, dtype=np.int32)
    return [row.tobytes() for row in table]


def _split(found: Candidates, tiles: int) -> list[Candidates]:
    """Return each tile's candidates."""
    cuts = np.searchsorted(found.tile, np.arange(1, tiles))
    columns = zip(*(np.split(column, cuts) for column in found), strict=True) if tiles else ()
    return [Candidates(*(column.copy() for column in part)) for part in columns]


def _join(parts: list[Candidates]) -> Candidates:
    """Return the tiles' candidates as one table."""
    if not parts:
        return NOTHING
    xyxy, score, label, tile = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    counts = [len(part.score) for part in parts]
    return Candidates(xyxy, score, label, np.repeat(np.arange(len(parts)), counts).astype(tile.dtype))


NOTHING = Candidates(
    np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32), np.empty(0, np.int16)
)
