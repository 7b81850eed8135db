"""Which tiles have changed since they were last looked at, and whether the camera itself moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tilewatch.native import gate

if TYPE_CHECKING:
    from tilewatch.native.gate import Change
    from tilewatch.native.reference.gate import U16
    from tilewatch.records import U8, Bool, Frame, Tiles

ENOUGH = 20
"""A tile wakes once its changes, added up since it was last looked at, have this many times the levels that count."""
CAMERA_SHARE = 0.25
"""Share of all blocks that change from one frame to the next when the camera moves, or the scene is cut."""
NOISE_FACTOR = 4 * 1.4826
"""What counts is at least so many times the median change of a block: four standard deviations of noise."""
NOISE_LIMIT = 4
"""Noise raises what counts at most so many times."""
NOISE_MEMORY = 0.9
"""Weight of the noise known so far against that of a new frame."""


class ChangeMeter:
    """Holds what every tile looked like when it was last taken. One for each frame size of a stream."""

    def __init__(self, tiles: Tiles, frame: Frame, levels: float) -> None:
        """Take the tiles, in their order; `levels` of the mean of 8x8 pixels are a change."""
        self._windows = gate.windows_of(tiles.rects, frame.width, frame.height)
        self._whole = gate.windows_of(
            np.array([[0, 0, frame.width, frame.height]], np.int32), frame.width, frame.height
        )
        self._least = round(levels * gate.UNIT)
        self._taken: U16 = np.zeros(int(self._windows.start[-1]), np.uint16)
        self._evidence = np.zeros(len(tiles), np.int64)
        self._now: U16 | None = None
        self._changed: U8 = np.zeros(len(self._taken), np.uint8)
        self._noise: float | None = None

    def look(self, frame: Frame) -> Bool | None:
        """Return (T,) bool: the tiles with enough change; None with nothing to compare, or when the camera moves."""
        before, self._now = self._now, gate.block_means(frame.y)
        if before is None or self._camera_moves(gate.compare(self._now, before.ravel(), self._whole, self._counts)):
            return None
        change = gate.compare(self._now, self._taken, self._windows, self._counts)
        self._changed = change.changed
        self._evidence += change.strength
        enough: Bool = self._evidence > ENOUGH * self._counts
        return enough

    def moved(self, asleep: Bool) -> Bool:
        """Return (R, C) bool: the blocks that changed since a tile asleep that shows them was taken."""
        grid = np.zeros(self._whole.blocks[0, [3, 2]], np.bool_)
        for tile in np.flatnonzero(asleep).tolist():
            self._windows.mark(self._changed, tile, grid)
        return grid

    def take(self, awake: Bool) -> None:
        """Remember how the tiles awake look in the frame looked at last."""
        assert self._now is not None  # noqa: S101 `look` comes first
        for tile in np.flatnonzero(awake).tolist():
            self._taken[self._windows.start[tile] : self._windows.start[tile + 1]] = self._windows.gather(
                self._now, tile
            )
        self._evidence[awake] = 0

    @property
    def _counts(self) -> int:
        """Change of a block that counts, 1/64 level."""
        return round(min(max(self._least, NOISE_FACTOR * (self._noise or 0.0)), NOISE_LIMIT * self._least))

    def _camera_moves(self, change: Change) -> bool:
        """Tell whether too much changed for things to have moved; learn the noise where it did not."""
        if change.blocks[0] >= CAMERA_SHARE * self._whole.start[-1]:
            return True
        noise = float(change.noise[0])
        self._noise = noise if self._noise is None else NOISE_MEMORY * self._noise + (1 - NOISE_MEMORY) * noise
        return False
