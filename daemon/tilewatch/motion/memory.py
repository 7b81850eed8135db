"""What was last found in every tile, to stand where a tile is not inferred.

Of an object on a seam one tile may be fresh and the other old. What an old one said of an object is dropped where
something moved since and a fresh one sees all of it: the fresh one's word is enough, and no object is told twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tilewatch.native.gate import BLOCK
from tilewatch.native.heads import Candidates, none
from tilewatch.records import STILL

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from tilewatch.records import F32, I32, Bool, TileBatch, Tiles


class Standing(NamedTuple):
    """All that is known of a frame."""

    candidates: Candidates
    """In frame pixels, with their place in `tiles`."""
    tiles: Tiles
    """The tiles that were inferred, and behind them those that were not."""
    current: Bool
    """(T,) the tiles whose word holds for this frame: inferred now, or since when nothing has moved."""
    outdated: int
    """Candidates dropped, since a fresh tile knows better."""


class TileMemory:
    """The last candidates of each tile, in frame pixels; tiles are known by where they lie."""

    def __init__(self) -> None:
        self._known: dict[bytes, Candidates] = {}

    def complete(self, fresh: Candidates, batch: TileBatch) -> Standing:
        """Return the candidates of a frame, those that stand included.

        Args:
            fresh: what was found in the batch's tiles, frame pixels, ordered by tile.
            batch: the tiles inferred, and those that were skipped.
        """
        still = batch.skipped.take(np.array([reason == STILL for reason in batch.skip_reasons], np.bool_))
        tiles = batch.tiles.joined(still)
        parts = [*_split(fresh, len(batch.tiles)), *(self._known.get(key, none()) for key in _keys(still))]
        self._known = dict(zip(_keys(tiles), parts, strict=True))
        everything = _join(parts)
        current = np.concatenate([np.ones(len(batch.tiles), np.bool_), ~_moved(still, batch)])
        old = everything.tile >= len(batch.tiles)
        old[old] = _outdated(everything.xyxy[old], batch)
        return Standing(_taken(everything, ~old), tiles, current, int(old.sum()))


def _moved(tiles: Tiles, batch: TileBatch) -> Bool:
    """Return (T,) bool: the tiles in which something moved since they were inferred."""
    return np.ones(len(tiles), np.bool_) if batch.moved is None else _touch(tiles.rects, batch.moved)


def _outdated(xyxy: F32, batch: TileBatch) -> Bool:
    """Return (N,) bool: the boxes in which something moved and that a tile inferred now shows whole."""
    grid = batch.tiles.rects[~batch.tiles.full_frame]
    inside = (xyxy[:, None, :2] >= grid[None, :, :2]) & (xyxy[:, None, 2:] <= grid[None, :, 2:])
    outdated: Bool = np.any(np.all(inside, axis=2), axis=1)
    if batch.moved is not None and outdated.any():
        outdated[outdated] = _touch(xyxy[outdated], batch.moved)
    return outdated


def _touch(xyxy: F32 | I32, moved: Bool) -> Bool:
    """Return (N,) bool: the boxes that touch a marked block."""
    total = np.pad(moved.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    low, high = np.floor(xyxy[:, :2] / BLOCK).astype(int), np.ceil(xyxy[:, 2:] / BLOCK).astype(int)
    (x0, y0), (x1, y1) = low.T, high.T
    touched: Bool = total[y1, x1] - total[y0, x1] - total[y1, x0] + total[y0, x0] > 0
    return touched


def _keys(tiles: Tiles) -> list[bytes]:
    table = np.concatenate([tiles.rects, tiles.full_frame[:, None]], axis=1, dtype=np.int32)
    return [row.tobytes() for row in table]


def _split(found: Candidates, tiles: int) -> list[Candidates]:
    """Return each tile's candidates, each with memory of its own."""
    ends = np.searchsorted(found.tile, np.arange(tiles + 1))
    return [_taken(found, np.arange(ends[tile], ends[tile + 1])) for tile in range(tiles)]


def _taken(found: Candidates, rows: NDArray[Any]) -> Candidates:
    """Return the candidates selected by an index or boolean array."""
    return Candidates(found.xyxy[rows], found.score[rows], found.label[rows], found.tile[rows])


def _join(parts: list[Candidates]) -> Candidates:
    """Return the tiles' candidates as one table."""
    if not parts:
        return none()
    xyxy, score, label, _ = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    counts = [len(part.score) for part in parts]
    return Candidates(xyxy, score, label, np.repeat(np.arange(len(parts), dtype=np.int16), counts))
