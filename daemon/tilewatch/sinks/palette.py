"""Colours by which tracks and classes are told apart, the same on the video and in the overview picture."""

from __future__ import annotations

import colorsys
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from tilewatch.records import LUMA_WEIGHTS

if TYPE_CHECKING:
    from tilewatch.records import Matrix

Colour: TypeAlias = "tuple[int, int, int]"
"""Red, green, blue, 0 to 255."""

GOLDEN = 0.618033988749895
"""Share of the hue circle between neighbours: the golden ratio keeps any run of numbers well spread."""
TONES = ((0.85, 1.0), (0.6, 1.0), (0.95, 0.85))
"""(saturation, value), in turn."""
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
BRIGHT = 140


@lru_cache(maxsize=4096)
def track_colour(track_id: int) -> Colour:
    """Return the colour of a track."""
    saturation, value = TONES[track_id % len(TONES)]
    red, green, blue = colorsys.hsv_to_rgb(track_id * GOLDEN % 1.0, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def text_colour(colour: Colour) -> Colour:
    """Return black or white, whichever reads better on a colour (luma of ITU-R BT.601)."""
    red, green, blue = colour
    return BLACK if 0.299 * red + 0.587 * green + 0.114 * blue > BRIGHT else WHITE


@lru_cache(maxsize=16384)
def to_yuv(colour: Colour, matrix: Matrix, *, full_range: bool) -> Colour:
    """Return a colour as the Y, U, V bytes of a frame with that matrix and range."""
    kr, kb = LUMA_WEIGHTS[matrix]
    red, green, blue = (part / 255 for part in colour)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))
    floor, reach, spread = (0, 255, 255) if full_range else (16, 219, 224)
    values = np.clip(np.rint([floor + reach * luma, 128 + spread * cb, 128 + spread * cr]), 0, 255).astype(int)
    y, u, v = values.tolist()
    return y, u, v
