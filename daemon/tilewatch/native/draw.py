"""Drawing on the planes of a 4:2:0 picture, in place: rectangles, text, lines. The rules are in `reference.draw`.

Colours are (N, 3) uint8 Y, U, V. Everything is clipped to the picture; any coordinate is safe, and so is N = 0. Arrays
that do not fit each other are refused with ValueError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from tilewatch.native import COMPILED
from tilewatch.native.reference import draw as reference

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

    from tilewatch.records import F32, I32, U8

    Planes: TypeAlias = tuple[U8, U8, U8]
    """Writable y (H, W), u and v (ceil(H/2), ceil(W/2)) uint8, rows contiguous."""

if COMPILED:
    from tilewatch.native import _draw

FAR = 1 << 20
"""Coordinates are brought to within this before they become integers."""


def fill(planes: Planes, rects: NDArray[np.number], colours: U8, *, alpha: int = 255) -> None:
    """Fill rectangles: (N, 4) x0 y0 x1 y1 pixels, right/bottom exclusive; `alpha` 0 to 255."""
    _check(planes, len(rects), colours)
    _core().fill(*planes, _whole(rects), colours, alpha)


def outline(planes: Planes, rects: NDArray[np.number], colours: U8, *, thickness: int) -> None:
    """Draw the outlines of rectangles, inside their edges: (N, 4) as `fill`, `thickness` in pixels."""
    _check(planes, len(rects), colours)
    _core().fill(*planes, _frames(_whole(rects), thickness), np.repeat(colours, 4, axis=0), 255)


class Text(NamedTuple):
    """N pieces of text as masks."""

    atlas: U8
    """(G, h, w) uint8 coverage."""
    boxes: I32
    """(G, 4) int32 x0 y0 x1 y1: the part of each mask that is drawn; `ink_boxes` finds it."""
    first: I32
    """(N + 1,) int32: text i has the glyphs `first[i]` to `first[i + 1]`."""
    glyphs: I32
    """(K,) int32 index into the atlas."""
    places: I32
    """(K, 2) int32 left top of each glyph, pixels."""
    inks: U8
    """(N, 3) uint8 colour of each text."""

    def check(self, count: int) -> None:
        """Refuse tables that do not fit each other, or `count` texts."""
        known = len(self.first) == count + 1 and self.inks.shape == (count, 3)
        spans = known and self.first[0] >= 0 and (np.diff(self.first) >= 0).all() and self.first[-1] <= len(self.glyphs)
        inside = not len(self.glyphs) or (self.glyphs.min() >= 0 and self.glyphs.max() < len(self.atlas))
        if not spans or not inside or not self._boxes_fit() or self.places.shape != (len(self.glyphs), 2):
            raise ValueError(f"{len(self.first) - 1} texts of {len(self.glyphs)} glyphs do not fit {count} plates")

    def _boxes_fit(self) -> bool:
        """Whether every box lies in its mask."""
        count, high, wide = self.atlas.shape
        if self.boxes.shape != (count, 4):
            return False
        return bool((self.boxes >= 0).all() and (self.boxes <= [wide, high, wide, high]).all())


def ink_boxes(masks: U8) -> I32:
    """Return (G, 4) int32 x0 y0 x1 y1 of what is not empty in masks (G, h, w); four zeros for an empty one."""
    sides = []
    for inked in (np.any(masks, axis=1), np.any(masks, axis=2)):
        seen = np.any(inked, axis=1)
        end = inked.shape[1] - np.argmax(inked[:, ::-1], axis=1)
        sides.append((np.where(seen, np.argmax(inked, axis=1), 0), np.where(seen, end, 0)))
    (x0, x1), (y0, y1) = sides
    return np.stack([x0, y0, x1, y1], axis=1).astype(np.int32)


def label(planes: Planes, plates: NDArray[np.number], colours: U8, text: Text, *, alpha: int = 255) -> None:
    """Draw texts, each on its own filled rectangle: a later one covers an earlier one, text and all."""
    _check(planes, len(plates), colours)
    text.check(len(plates))
    core = _core()
    core.label(*planes, _whole(plates), colours, alpha, *text)


def stroke(planes: Planes, segments: F32, colours: U8, *, radius: float) -> None:
    """Draw lines with round ends: (N, 4) x0 y0 x1 y1, `radius` in pixels, the edge smoothed over one pixel."""
    _check(planes, len(segments), colours)
    usable = np.isfinite(segments).all(axis=1)
    near = np.clip(segments[usable], -FAR, FAR).astype(np.float32)
    _core().stroke(*planes, np.ascontiguousarray(near), radius, np.ascontiguousarray(colours[usable]))


def _check(planes: Planes, count: int, colours: U8) -> None:
    """Refuse what would be read or written beyond its end."""
    (height, width), half = planes[0].shape, planes[1].shape
    if half != ((height + 1) // 2, (width + 1) // 2) or planes[2].shape != half:
        raise ValueError(f"chroma {half} and {planes[2].shape} do not fit luma {planes[0].shape}")
    if any(plane.strides[1] != 1 for plane in planes if plane.shape[1] > 1):
        raise ValueError("the rows of a plane are not contiguous: draw on a copy")
    if colours.shape != (count, 3):
        raise ValueError(f"colours {colours.shape} do not fit {count} shapes: they must be ({count}, 3)")


def _core() -> ModuleType:
    return _draw if COMPILED else reference


def _whole(values: NDArray[np.number]) -> I32:
    """Return coordinates as contiguous int32, rounded; what is no number lies at 0."""
    near = np.rint(values, dtype=np.float64)
    near[np.isnan(near)] = 0.0
    return np.ascontiguousarray(np.minimum(np.maximum(near, -FAR), FAR), np.int32)


def _frames(rects: I32, thickness: int) -> I32:
    """Return (4N, 4) the top, bottom, left and right bars of each rectangle, without overlap."""
    x0, y0, x1, y1 = rects.T
    wide = np.minimum(thickness, np.maximum((x1 - x0) // 2, 1))
    high = np.minimum(thickness, np.maximum((y1 - y0) // 2, 1))
    bars = np.empty((len(rects), 4, 4), np.int32)
    bars[:] = rects[:, None]
    bars[:, 0, 3] = y0 + high
    bars[:, 1, 1] = y1 - high
    bars[:, 2:, 1] = (y0 + high)[:, None]
    bars[:, 2:, 3] = (y1 - high)[:, None]
    bars[:, 2, 2] = x0 + wide
    bars[:, 3, 0] = x1 - wide
    return bars.reshape(-1, 4)
