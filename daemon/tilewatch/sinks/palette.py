"""Colours by which tracks and classes are told apart, the same on the video and in the overview picture."""

from __future__ import annotations

import colorsys
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from tilewatch.records import LUMA_WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.records import U8, Frame, Matrix

Colour: TypeAlias = "tuple[int, int, int]"
"""Red, green, blue, 0 to 255."""

GOLDEN = 0.618033988749895
"""Share of the hue circle between neighbours: the golden ratio keeps any run of numbers well spread."""
TONES = ((0.85, 1.0), (0.6, 1.0), (0.95, 0.85))
"""(saturation, value), in turn."""
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
LINEAR = 0.04045
"""Up to here sRGB is linear."""
EVEN_CONTRAST = 0.1791
"""Relative luminance at which black and white contrast equally: (L + 0.05)^2 = 0.05 x 1.05."""


@lru_cache(maxsize=4096)
def track_colour(track_id: int) -> Colour:
    """Return the colour of a track."""
    saturation, value = TONES[track_id % len(TONES)]
    red, green, blue = colorsys.hsv_to_rgb(track_id * GOLDEN % 1.0, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


@lru_cache(maxsize=4096)
def text_colour(colour: Colour) -> Colour:
    """Return black or white, whichever has the higher contrast with a colour (WCAG 2.1, relative luminance)."""
    return BLACK if luminance(colour) > EVEN_CONTRAST else WHITE


def luminance(colour: Colour) -> float:
    """Return the relative luminance of an sRGB colour, 0 to 1 (WCAG 2.1)."""
    parts = [part / 255 for part in colour]
    red, green, blue = (part / 12.92 if part <= LINEAR else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


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


def frame_colours(colours: Sequence[Colour], frame: Frame) -> U8:
    """Return (N, 3) uint8 colours as the frame's own bytes."""
    values = [to_yuv(colour, frame.matrix, full_range=frame.full_range) for colour in colours]
    return np.array(values, np.uint8).reshape(-1, 3)
