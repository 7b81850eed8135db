"""Where the parts of the picture lie, for videos of any shape, on a canvas of one width."""

from __future__ import annotations

from typing import NamedTuple

WIDTH = 1600
MARGIN = 40
GAP = 24
INNER = WIDTH - 2 * MARGIN
HEADER_HEIGHT = 76
TILES_HEIGHT = 92
TOP = MARGIN + HEADER_HEIGHT + GAP + TILES_HEIGHT + GAP
"""Where the scene begins, pixels from the top."""
LANDSCAPE = 1.5
"""Width : height from which a scene takes the full width."""
PORTRAIT = 0.8
"""Width : height below which legend and chart both stand beside the scene."""
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
    tiles: Box
    scene: Box
    legend: Box
    chart: Box
    height: int


def arrange(width: int, height: int) -> Layout:
    """Return the layout for a video of that size, pixels."""
    aspect = width / height
    if aspect >= LANDSCAPE:
        scene, legend, chart = _landscape(aspect)
    elif aspect >= PORTRAIT:
        scene, legend, chart = _square(aspect)
    else:
        scene, legend, chart = _portrait(aspect)
    bottom = max(scene.bottom, chart.bottom, legend.bottom)
    header = Box(MARGIN, MARGIN, INNER, HEADER_HEIGHT)
    tiles = Box(MARGIN, header.bottom + GAP, INNER, TILES_HEIGHT)
    return Layout(header, tiles, scene, legend, chart, bottom + MARGIN)


def _landscape(aspect: float) -> tuple[Box, Box, Box]:
    """Return scene over legend and chart."""
    scene = Box(MARGIN, TOP, INNER, max(LEAST, round(INNER / aspect)))
    top = scene.bottom + GAP
    legend = Box(MARGIN, top, SIDE_WIDTH + 60, BOTTOM_HEIGHT)
    return scene, legend, Box(legend.right + GAP, top, INNER - legend.width - GAP, BOTTOM_HEIGHT)


def _square(aspect: float) -> tuple[Box, Box, Box]:
    """Return scene beside legend, over the chart."""
    width = min(INNER - SIDE_WIDTH - GAP, round(TALL_HEIGHT * aspect))
    scene = Box(MARGIN, TOP, width, round(width / aspect))
    legend = Box(scene.right + GAP, TOP, INNER - width - GAP, scene.height)
    return scene, legend, Box(MARGIN, scene.bottom + GAP, INNER, BOTTOM_HEIGHT)


def _portrait(aspect: float) -> tuple[Box, Box, Box]:
    """Return scene beside legend and chart."""
    scene = Box(MARGIN, TOP, max(LEAST, round(TALL_HEIGHT * aspect)), TALL_HEIGHT)
    left, width = scene.right + GAP, INNER - scene.width - GAP
    legend = Box(left, TOP, width, TALL_LEGEND_HEIGHT)
    return scene, legend, Box(left, legend.bottom + GAP, width, scene.bottom - legend.bottom - GAP)
