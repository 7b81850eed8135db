"""How much each tile of a frame has changed, from the means of 8x8 blocks of luma; the rules are in `reference.gate`.

Blocks lie on one grid over the frame; a tile's are those it shows at least half of. What is kept of T tiles, each its
window of the grid, lies in one flat array, tile after tile: `Windows` says where. Means are uint16, 1/64 grey level.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tilewatch.native import COMPILED
from tilewatch.native.reference import gate as reference
from tilewatch.native.reference.gate import BLOCK, UNIT

if TYPE_CHECKING:
    from tilewatch.native.reference.gate import U16
    from tilewatch.records import I32, I64, U8, Bool

if COMPILED:
    from tilewatch.native import _gate

__all__ = ["BLOCK", "UNIT", "Change", "Windows", "block_means", "compare", "windows_of"]


class Windows(NamedTuple):
    """The blocks of T tiles."""

    blocks: I32
    """(T, 4) int32 x0 y0 x1 y1 on the grid, right/bottom exclusive, none empty."""
    start: I64
    """(T + 1,) int64: tile t's blocks are `start[t]` to `start[t + 1]` of a flat array, row by row."""

    def gather(self, means: U16, tile: int) -> U16:
        """Return a tile's means, flat."""
        x0, y0, x1, y1 = self.blocks[tile]
        return means[y0:y1, x0:x1].ravel()

    def mark(self, changed: U8, tile: int, grid: Bool) -> None:
        """Set what changed of a tile in a (R, C) grid of all blocks."""
        x0, y0, x1, y1 = self.blocks[tile]
        grid[y0:y1, x0:x1] |= changed[self.start[tile] : self.start[tile + 1]].reshape(y1 - y0, x1 - x0).view(np.bool_)


class Change(NamedTuple):
    """How T tiles differ from what they were."""

    changed: U8
    """Flat: 1 where a block changed by more than what counts."""
    strength: I64
    """(T,) sum of what the changed blocks' changes have beyond that, 1/64 grey level."""
    blocks: I64
    """(T,) number of changed blocks."""
    noise: I64
    """(T,) median change of a block, what all share taken off, 1/64 grey level."""


def windows_of(rects: I32, width: int, height: int) -> Windows:
    """Return the windows of (T, 4) rectangles of a frame of that size."""
    blocks = (rects + BLOCK // 2) // BLOCK
    end = -(-np.array([width, height]) // BLOCK)
    blocks[:, 2:] = np.where(rects[:, 2:] == [width, height], end, blocks[:, 2:])
    blocks[:, :2] = np.minimum(blocks[:, :2], end - 1)
    blocks[:, 2:] = np.clip(blocks[:, 2:], blocks[:, :2] + 1, end)
    sizes = (blocks[:, 2:] - blocks[:, :2]).astype(np.int64).prod(axis=1)
    return Windows(np.ascontiguousarray(blocks, np.int32), np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


def block_means(y: U8) -> U16:
    """Return (ceil(H/8), ceil(W/8)) uint16 means of (H, W) uint8 luma, 1/64 grey level; releases the GIL."""
    if not COMPILED:
        return reference.block_means(y)
    height, width = y.shape
    means = np.empty((-(-height // BLOCK), -(-width // BLOCK)), np.uint16)
    pixels = y if y.strides[1] == 1 else np.ascontiguousarray(y)
    _gate.block_means(pixels, np.empty(width, np.uint16), means)
    return means


def compare(now: U16, before: U16, windows: Windows, least: int) -> Change:
    """Compare every tile's blocks with what they were; releases the GIL.

    Args:
        now: (R, C) uint16 means of the frame.
        before: (start[-1],) uint16 means of each tile as it was.
        windows: the tiles' blocks.
        least: change of a mean that does not count yet, 1/64 grey level.

    Raises:
        ValueError: a window leaves the grid, or `before` does not fit the windows.
    """
    blocks, start = windows
    if (blocks[:, 2:] > now.shape[::-1]).any() or before.shape != (start[-1],):
        raise ValueError(f"means {now.shape} and {before.shape} do not fit {len(blocks)} windows")
    if not COMPILED:
        changed, found = reference.compare(now, before, start, blocks, least)
        return Change(changed, *found.T)
    changed, found = np.empty(int(start[-1]), np.uint8), np.empty((len(blocks), 3), np.int64)
    if len(blocks):
        _gate.compare(now, before, start, blocks, least, np.empty(reference.LAST_BIN + 1, np.int32), changed, found)
    return Change(changed, *found.T)
