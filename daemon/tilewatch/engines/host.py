"""What the engines that run on the CPU share: slots in ordinary memory, cutting, warm-up, the facts."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tilewatch.engines import cpu
from tilewatch.engines.model_engine import ModelEngine
from tilewatch.errors import ConfigError, EngineError
from tilewatch.native import pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.engines.base import Slot
    from tilewatch.engines.options import EngineOptions
    from tilewatch.records import U8, Frame, Tiles

GREY = 114
"""Value of padding, and of the warm-up's tiles."""


class HostSlot:
    """The pixels of one frame's tiles: the first rows of a block that may have more."""

    __slots__ = ("block", "pixels")

    def __init__(self, block: U8, count: int) -> None:
        self.block = block
        self.pixels = block[:count]
        """(B, S, S, 3) uint8 RGB, contiguous."""

    @property
    def count(self) -> int:
        """Number of tiles it holds."""
        return len(self.pixels)


class SlotPool:
    """Blocks of memory that go round: as many as are out at once, each as large as was ever asked of it.

    Thread-safe: a deque's `pop` and `append` are atomic.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._free: deque[U8] = deque()

    def take(self, count: int) -> HostSlot:
        """Return a slot for `count` tiles, its pixels not initialised; a block that is too small is replaced."""
        try:
            block = self._free.pop()
        except IndexError:
            block = self._block(count)
        return HostSlot(block if len(block) >= count else self._block(count), count)

    def give(self, slot: HostSlot) -> None:
        """Take a slot's block back; the slot must not be used any more."""
        self._free.append(slot.block)

    def _block(self, count: int) -> U8:
        return np.empty((count, self._size, self._size, 3), np.uint8)


class HostEngine(ModelEngine):
    """The common half of a CPU engine."""

    def __init__(self, options: EngineOptions) -> None:
        super().__init__(options)
        self.threads = options.threads or cpu.cores()
        self.pool = SlotPool(options.size)

    def warm_up(self) -> None:
        """Keep the engine as full as it will be once, and settle the head on what comes out."""
        info, feeding, head = self._known()
        slot = self.pool.take(feeding.batch)
        slot.pixels.fill(GREY)
        for _ in range(feeding.in_flight):
            self.submit([(slot, row) for row in range(feeding.batch)])
        for _ in range(feeding.in_flight - 1):
            self.collect()
        try:
            settled = head.settle(self.collect())
        except ConfigError as error:
            raise ConfigError(f"model {self.options.model}: {error}") from error
        self.release(slot)
        self._facts = replace(info, head=settled.name), feeding, settled

    def cut(self, frame: Frame, tiles: Tiles) -> HostSlot:
        """Cut the tiles' pixels out of a frame into a slot of the pool; from any thread."""
        slot = self.pool.take(len(tiles))
        pixels.cut_tiles(
            frame.y,
            frame.u,
            frame.v,
            tiles.rects,
            tiles.fitted,
            slot.pixels,
            full_range=frame.full_range,
            matrix=frame.matrix,
        )
        return slot

    def release(self, slot: Slot) -> None:
        """Give a slot back to the pool; from any thread."""
        self.pool.give(_own(slot))


def pixels_of(parts: Sequence[tuple[Slot, int]], most: int) -> list[U8]:
    """Return (S, S, 3) views of the tiles of a submit.

    Raises:
        EngineError: more tiles than the engine takes at once, or none: a bug of the caller.
    """
    if not 0 < len(parts) <= most:
        raise EngineError(f"{len(parts)} tiles in one submit: the engine takes 1 to {most}")
    return [_own(slot).pixels[row] for slot, row in parts]


def _own(slot: Slot) -> HostSlot:
    if not isinstance(slot, HostSlot):
        raise EngineError(f"{type(slot).__name__} is not a slot of this engine")
    return slot
