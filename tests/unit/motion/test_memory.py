"""What stands of tiles that are not looked at: nothing lost, nothing told twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tests.support.records import make_frame
from tilewatch.motion.memory import TileMemory
from tilewatch.native.heads import Candidates
from tilewatch.records import OUTSIDE_ROI, STILL, TileBatch
from tilewatch.settings import TileSettings
from tilewatch.stages.tile import plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.motion.memory import Standing

TILES = plan(1200, 640, TileSettings(overlap=80)).tiles
"""Two tiles: 0-640 and 560-1200."""


def batch(*fresh: int, moved: Sequence[tuple[int, int]] = (), reason: str = STILL) -> TileBatch:
    """Return a batch in which some tiles were inferred; `moved` are block rows and columns."""
    keep, grid = np.isin(np.arange(2), fresh), np.zeros((80, 150), np.bool_)
    for row, column in moved:
        grid[row, column] = True
    skipped = TILES.take(~keep)
    return TileBatch(
        frame=make_frame(),
        tiles=TILES.take(keep),
        skipped=skipped,
        skip_reasons=(reason,) * len(skipped),
        slot=None,
        moved=grid,
    )


def found(*rows: tuple[int, float]) -> Candidates:
    """Return candidates of 16x16 pixels at y = 0 from rows of tile and left side."""
    tile, left = np.array(rows, np.float32).reshape(-1, 2).T
    boxes = np.stack([left, np.zeros_like(left), left + 16, np.full_like(left, 16)], axis=1)
    return Candidates(boxes, np.ones_like(left), tile.astype(np.int32), tile.astype(np.int16))


def told(standing: Standing) -> list[tuple[int, float]]:
    """Return the first pixel of each candidate's tile, and its left side."""
    at = standing.tiles.rects[standing.candidates.tile, 0]
    return sorted(zip(at.tolist(), standing.candidates.xyxy[:, 0].tolist(), strict=True))


def test_tile_that_is_not_inferred_keeps_what_was_found_in_it() -> None:
    """Until it is inferred again: then only what is found then counts."""
    memory = TileMemory()
    assert told(memory.complete(found((0, 100), (0, 120), (1, 900)), batch(0, 1))) == [(0, 100), (0, 120), (560, 900)]
    assert told(memory.complete(found((0, 104)), batch(0))) == [(0, 104), (560, 900)]
    assert told(memory.complete(found(), batch())) == [(0, 104), (560, 900)]
    assert told(memory.complete(found(), batch(1))) == [(0, 104)]
    assert told(memory.complete(found(), batch())) == [(0, 104)]


def test_tile_nobody_watches_has_nothing_to_stand() -> None:
    """Outside of the region of interest nothing is remembered."""
    memory = TileMemory()
    memory.complete(found((0, 100), (1, 900)), batch(0, 1))
    assert told(memory.complete(found((0, 100)), batch(0, reason=OUTSIDE_ROI))) == [(0, 100)]
    assert told(memory.complete(found((0, 100)), batch(0))) == [(0, 100)]


def test_old_word_on_what_moved_in_a_seam_is_dropped_where_a_fresh_tile_sees_it_whole() -> None:
    """The object at 600 moved; its tile to the right was not inferred, the left one was and sees where it is now."""
    memory = TileMemory()
    memory.complete(found((0, 600), (1, 600), (1, 630), (1, 900)), batch(0, 1))
    standing = memory.complete(found((0, 606)), batch(0, moved=[(1, 75), (0, 79), (0, 112)]))
    assert told(standing) == [(0, 606), (560, 630), (560, 900)]
    assert standing.outdated == 1


def test_old_word_stands_where_nothing_moved_or_nobody_else_looked() -> None:
    """The same box: no motion in it; motion, but no fresh tile."""
    memory = TileMemory()
    memory.complete(found((0, 600), (1, 600)), batch(0, 1))
    assert told(memory.complete(found(), batch(0, moved=[(9, 75)]))) == [(560, 600)]
    assert told(memory.complete(found(), batch(moved=[(1, 75)]))) == [(560, 600)]


def test_silence_of_a_tile_holds_until_something_moves_in_it() -> None:
    """What was inferred now, or has stood still since, shows the frame as it is."""
    memory = TileMemory()
    assert memory.complete(found(), batch(0, 1)).current.tolist() == [True, True]
    assert memory.complete(found(), batch(0)).current.tolist() == [True, True]
    assert memory.complete(found(), batch(0, moved=[(1, 100)])).current.tolist() == [True, False]
    assert memory.complete(found(), batch(1, moved=[(1, 100)])).current.tolist() == [True, True]
