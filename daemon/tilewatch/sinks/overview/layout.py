"""Where the parts of the picture lie, for videos of any shape, on a canvas of one width."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

WIDTH = 1600
MARGIN = 40
GAP = 24
INNER = WIDTH - 2 * MARGIN
HEADER_HEIGHT = 76
TILES = 5
"""Large numbers that are shown."""
TILES_HEIGHT, COLUMN_HEIGHT, TILE_GAP = 92, 376, 12
"""Height of the numbers side by side, of the numbers one above the other, and what is between the latter."""
TOP = MARGIN + HEADER_HEIGHT + GAP
"""Where the numbers begin, pixels from the top."""
BELOW = TOP + TILES_HEIGHT + GAP
"""Where what lies below a row of numbers begins."""
LANDSCAPE = 1.5
"""Width : height from which a scene takes the full width."""
PORTRAIT = 0.8
"""Width : height below which the chart too stands beside the scene."""
BOTTOM_HEIGHT = 340
SIDE_WIDTH = 380
TALL_HEIGHT = 1000
TALL_LEGEND_HEIGHT = 420
LEAST = 64
"""Shortest side of a scene, so that even a strip of a video is drawn."""


class Box(NamedTuple):
    """A rectangle, pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """First column beyond it."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """First row beyond it."""
        return self.top + self.height

    @property
    def corners(self) -> tuple[int, int, int, int]:
        """Left, top, last column and last row, as Pillow draws it."""
        return (self.left, self.top, self.right - 1, self.bottom - 1)


class Layout(NamedTuple):
    """The parts of the picture and its height."""

    header: Box
    tiles: tuple[Box, ...]
    scene: Box
    legend: Box
    chart: Box
    height: int


def arrange(width: int, height: int) -> Layout:
    """Return the layout for a video of that size, pixels."""
    aspect = width / height
    header = Box(MARGIN, MARGIN, INNER, HEADER_HEIGHT)
    if PORTRAIT <= aspect < LANDSCAPE:
        tiles, scene, legend, chart = _square(aspect)
    else:
        tiles = _row(Box(MARGIN, TOP, INNER, TILES_HEIGHT))
        scene, legend, chart = _landscape(aspect) if aspect >= LANDSCAPE else _portrait(aspect)
    return Layout(header, tiles, scene, legend, chart, max(scene.bottom, chart.bottom) + MARGIN)


def _row(box: Box) -> tuple[Box, ...]:
    """Return the places of the numbers side by side."""
    edges = [box.left + round((box.width + GAP) * index / TILES) for index in range(TILES + 1)]
    return tuple(Box(left, box.top, right - GAP - left, box.height) for left, right in pairwise(edges))


def _column(box: Box) -> tuple[Box, ...]:
    """Return the places of the numbers one above the other."""
    edges = [box.top + round((box.height + TILE_GAP) * index / TILES) for index in range(TILES + 1)]
    return tuple(Box(box.left, top, box.width, bottom - TILE_GAP - top) for top, bottom in pairwise(edges))


def _landscape(aspect: float) -> tuple[Box, Box, Box]:
    """Return scene over legend and chart."""
    scene = Box(MARGIN, BELOW, INNER, max(LEAST, round(INNER / aspect)))
    top = scene.bottom + GAP
    legend = Box(MARGIN, top, SIDE_WIDTH + 60, BOTTOM_HEIGHT)
    return scene, legend, Box(legend.right + GAP, top, INNER - legend.width - GAP, BOTTOM_HEIGHT)


def _square(aspect: float) -> tuple[tuple[Box, ...], Box, Box, Box]:
    """Return numbers over legend, both beside the scene, and the chart below."""
    width = min(INNER - SIDE_WIDTH - GAP, round(TALL_HEIGHT * aspect))
    scene = Box(MARGIN, TOP, width, round(width / aspect))
    side = Box(scene.right + GAP, TOP, INNER - width - GAP, COLUMN_HEIGHT)
    legend = Box(side.left, side.bottom + GAP, side.width, scene.bottom - side.bottom - GAP)
    return _column(side), scene, legend, Box(MARGIN, scene.bottom + GAP, INNER, BOTTOM_HEIGHT)


def _portrait(aspect: float) -> tuple[Box, Box, Box]:
    """Return scene beside legend and chart."""
    scene = Box(MARGIN, BELOW, max(LEAST, round(TALL_HEIGHT * aspect)), TALL_HEIGHT)
    left, width = scene.right + GAP, INNER - scene.width - GAP
    legend = Box(left, BELOW, width, TALL_LEGEND_HEIGHT)
    return scene, legend, Box(left, legend.bottom + GAP, width, scene.bottom - legend.bottom - GAP)
