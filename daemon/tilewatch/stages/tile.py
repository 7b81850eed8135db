"""Cut every frame into overlapping tiles, and their pixels into the engine's input."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from tilewatch.records import OUTSIDE_ROI, STILL, TileBatch, Tiles, polygon_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.motion.gate import Choice, MotionGate
    from tilewatch.records import U8, Frame, Tracks
    from tilewatch.settings import Polygon, TileSettings

INSIDE = 1


class Cutter(Protocol):
    """The engine's part in this stage."""

    def cut(self, frame: Frame, tiles: Tiles) -> object:
        """Cut the tiles' pixels into a slot of the engine's pool."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TilePlan:
    """How frames of one size are cut: the tiles that are looked at, and those that are not."""

    tiles: Tiles
    skipped: Tiles
    skip_reasons: tuple[str, ...]


def plan(width: int, height: int, settings: TileSettings) -> TilePlan:
    """Return the tiles of a frame size.

    Tiles are evenly spread with at least the overlap asked for, each at its full size where the frame allows, so there
    are no slivers: 1920x1080 at 640/96 gives 4x2. `TILE_SCALE` s makes a tile cover `size / s` frame pixels.
    """
    everything = _all_tiles(width, height, settings)
    wanted = _seen(everything, watched_area(width, height, settings.roi, settings.ignore))
    skipped = everything.take(~wanted)
    return TilePlan(tiles=everything.take(wanted), skipped=skipped, skip_reasons=(OUTSIDE_ROI,) * len(skipped))


@dataclass(slots=True, eq=False)
class TileStage:
    """Frame in, TileBatch out; plans are kept, since frames of one stream rarely change their size."""

    engine: Cutter
    settings: TileSettings
    gate: MotionGate | None = None
    _plans: dict[tuple[int, int], TilePlan] = field(default_factory=dict)

    def __call__(self, frame: Frame, tracks: Tracks | None = None, *, afresh: bool = False) -> TileBatch:
        """Cut one frame. Runs on the tile lane.

        Args:
            frame: the next frame.
            tracks: for the gate: what is known of an earlier frame, None where that is nothing.
            afresh: the gate forgets everything first.
        """
        size = frame.width, frame.height
        if size not in self._plans:
            self._plans[size] = plan(*size, self.settings)
        chosen = self._plans[size]
        if self.gate is not None:
            if afresh:
                self.gate.restart()
            return self._gated(frame, chosen, self.gate.choose(frame, chosen.tiles, tracks))
        slot = self.engine.cut(frame, chosen.tiles)
        return TileBatch(
            frame=frame, tiles=chosen.tiles, skipped=chosen.skipped, skip_reasons=chosen.skip_reasons, slot=slot
        )

    def _gated(self, frame: Frame, chosen: TilePlan, choice: Choice) -> TileBatch:
        """Cut the tiles that have a reason to be inferred."""
        awake = np.array([reason != STILL for reason in choice.reasons], np.bool_)
        tiles, still = chosen.tiles.take(awake), chosen.tiles.take(~awake)
        return TileBatch(
            frame=frame,
            tiles=tiles,
            skipped=still.joined(chosen.skipped),
            skip_reasons=(STILL,) * len(still) + chosen.skip_reasons,
            slot=self.engine.cut(frame, tiles),
            cut_reasons=tuple(reason for reason in choice.reasons if reason != STILL),
            moved=choice.moved,
        )


def starts(length: int, region: int, overlap: int) -> list[int]:
    """Return the first pixels of the fewest evenly spread spans of `region` that cover `length` with that overlap."""
    if length <= region:
        return [0]
    count = math.ceil((length - overlap) / (region - overlap))
    return [round(i * (length - region) / (count - 1)) for i in range(count)]


def watched_area(width: int, height: int, roi: Sequence[Polygon], ignore: Sequence[Polygon]) -> U8 | None:
    """Return a (height, width) uint8 mask, 1 where objects are looked for; None when that is everywhere."""
    if not roi and not ignore:
        return None
    mask = np.zeros((height, width), np.uint8) if roi else np.ones((height, width), np.uint8)
    for polygons, value in ((roi, INSIDE), (ignore, 0)):
        for polygon in polygons:
            cv2.fillPoly(mask, [np.rint(polygon_pixels(polygon, width, height)).astype(np.int32)], value)
    return mask


def _all_tiles(width: int, height: int, settings: TileSettings) -> Tiles:
    grid = _grid(width, height, settings)
    whole = _whole_frame(width, height, settings)
    if settings.full_frame == "only":
        return whole
    covered = len(grid) == 1  # the single tile is the whole frame already
    return grid.joined(whole) if settings.full_frame == "on" and not covered else grid


def _grid(width: int, height: int, settings: TileSettings) -> Tiles:
    region = round(settings.size / settings.scale)
    overlap = round(settings.overlap / settings.scale)
    corners = [(x, y) for y in starts(height, region, overlap) for x in starts(width, region, overlap)]
    rects = np.array([(x, y, min(x + region, width), min(y + region, height)) for x, y in corners], np.int32)
    frame = np.array([0, 0, width, height], np.int32)
    return _tiles(rects, rects != frame, settings.size / region, settings.size, full_frame=False)


def _whole_frame(width: int, height: int, settings: TileSettings) -> Tiles:
    scale = min(settings.size / width, settings.size / height, max(1.0, settings.scale))
    rects = np.array([[0, 0, width, height]], np.int32)
    return _tiles(rects, np.zeros((1, 4), np.bool_), scale, settings.size, full_frame=True)


def _tiles(rects: np.ndarray, inner: np.ndarray, scale: float, size: int, *, full_frame: bool) -> Tiles:
    extent = rects[:, 2:] - rects[:, :2]
    return Tiles(
        rects=rects,
        inner=inner,
        fitted=np.clip(np.rint(extent * scale), 1, size).astype(np.int32),
        scale=np.full(len(rects), scale, np.float32),
        full_frame=np.full(len(rects), full_frame, np.bool_),
    )


def _seen(tiles: Tiles, mask: U8 | None) -> np.ndarray:
    """Return (T,) bool: True where a tile shows some of the watched area."""
    if mask is None:
        return np.ones(len(tiles), np.bool_)
    return np.array([mask[y0:y1, x0:x1].any() for x0, y0, x1, y1 in tiles.rects], np.bool_)
