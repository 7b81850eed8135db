"""Objects in a frame over time, one band for every class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tilewatch.sinks.overview.layout import Box
from tilewatch.sinks.overview.style import LINE, MUTED, PANEL, SMOOTH, clock, font, panel, smooth, write

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image, ImageDraw

    from tilewatch.sinks.overview.style import Colour

PADDING = 24
TITLE_HEIGHT = 40
AXIS_HEIGHT = 34
TITLE_SIZE, TICK_SIZE = 19, 16
TICK_ROOM = 110
"""Pixels one time label needs at least."""
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
"""Seconds between two time labels."""


class Band(NamedTuple):
    """One class of the chart: its mean count in each of K spans, and its colour."""

    means: NDArray[np.float64]
    colour: Colour


def draw_chart(picture: Image.Image, box: Box, bands: list[Band], seconds: float) -> None:
    """Draw the bands stacked, the first at the bottom, over `seconds` of time."""
    panel(picture, box)
    write(picture, (box.left + PADDING, box.top + 20), "Objects in the frame", TITLE_SIZE)
    top = max((float(total) for total in np.sum([band.means for band in bands], axis=0)), default=0.0) if bands else 0.0
    step, limit = value_ticks(top)
    axis = round(font(TICK_SIZE).getlength(f"{limit:g}")) + 16
    left, upper = box.left + PADDING + axis, box.top + TITLE_HEIGHT + 20
    plot = Box(left, upper, box.right - PADDING - left, box.bottom - AXIS_HEIGHT - 12 - upper)
    _draw_grid(picture, plot, step, limit)
    smooth(picture, plot, lambda draw: _paint(draw, plot, bands, limit))
    _draw_time(picture, plot, seconds)


def value_ticks(top: float) -> tuple[float, float]:
    """Return the step and the end of a value axis that reaches `top` in at most five round steps of at least 1."""
    raw = max(top, 1.0) / 4
    power = 10 ** math.floor(math.log10(raw))
    step = max(1.0, next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw))
    return step, step * math.ceil(max(top, 1.0) / step)


def time_step(seconds: float, width: float) -> int:
    """Return the seconds between two time labels that leave each enough room."""
    labels = max(1.0, width / TICK_ROOM)
    fits = [step for step in STEPS if seconds / step <= labels]
    return fits[0] if fits else STEPS[-1] * math.ceil(seconds / labels / STEPS[-1])


def _draw_grid(picture: Image.Image, plot: Box, step: float, limit: float) -> None:
    """Draw the value axis: a faint line and a number at every step."""
    for index in range(round(limit / step) + 1):
        y = plot.bottom - round(plot.height * index * step / limit)
        picture.paste(LINE, (plot.left, y, plot.right, y + 1))
        write(picture, (plot.left - 12, y), f"{index * step:g}", TICK_SIZE, colour=MUTED, anchor="rm")


def _draw_time(picture: Image.Image, plot: Box, seconds: float) -> None:
    """Draw the time axis."""
    step = time_step(seconds, plot.width)
    for index in range(math.floor(seconds / step) + 1):
        x = plot.left + plot.width * index * step / seconds
        picture.paste(MUTED, (round(x), plot.bottom, round(x) + 1, plot.bottom + 6))
        text = clock(index * step)
        x = min(x, plot.right - font(TICK_SIZE).getlength(text) / 2 + PADDING - 4)
        write(picture, (x, plot.bottom + 12), text, TICK_SIZE, colour=MUTED, anchor="ma")


def _paint(draw: ImageDraw.ImageDraw, plot: Box, bands: list[Band], limit: float) -> None:
    """Draw the stacked areas, each with a bright upper edge."""
    if not bands:
        return
    tops = np.cumsum([band.means for band in bands], axis=0)
    spans = tops.shape[1]
    xs = np.concatenate([[0.0], (np.arange(spans) + 0.5) / spans, [1.0]]) * plot.width * SMOOTH
    for band, top in reversed(list(zip(bands, tops, strict=True))):
        ys = (1 - np.pad(top, 1, mode="edge") / limit) * plot.height * SMOOTH
        edge = list(zip(xs.tolist(), ys.tolist(), strict=True))
        floor = plot.height * SMOOTH
        draw.polygon([(0.0, floor), *edge, (float(xs[-1]), floor)], fill=_faded(band.colour))
        draw.line(edge, fill=band.colour, width=2 * SMOOTH, joint="curve")


def _faded(colour: Colour) -> Colour:
    """Return the colour as it looks when it covers the panel by half."""
    red, green, blue = ((channel + ground) // 2 for channel, ground in zip(colour, PANEL, strict=True))
    return red, green, blue
