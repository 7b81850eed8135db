"""The frame with what happened in it: trajectories, or a heat map when nothing was tracked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from tilewatch.sinks.overview.style import PANEL, RADIUS, SMOOTH, TEXT, fitted, font, smooth, write
from tilewatch.sinks.palette import track_colour

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.records import F32
    from tilewatch.sinks.overview.heat import Heat
    from tilewatch.sinks.overview.layout import Box
    from tilewatch.sinks.overview.style import Colour
    from tilewatch.sinks.overview.trails import Trail

BRIGHTNESS, SATURATION = 0.6, 0.6
"""How much of the backdrop's light and colour stays, so that the lines stand out."""
HIGHLIGHTED = 40
"""Tracks drawn in full; further ones are thin."""
THIN = 300
"""Further tracks that are drawn at all."""
LEAST_EXTENT = 0.04
"""Share of the frame's side a track covers at least to be drawn as a line; below it stays a dot."""
LEAST_SEEN = 5
"""Frames in which a track is reported at least to be drawn."""
OUTLINE: Colour = (8, 9, 12)
WIDTH, THIN_WIDTH, RIM, DOT = 3.2, 1.4, 1.6, 5.5
"""Pixels: a line, a thin line, the dark rim on each side, the radius of an end dot."""
LABEL_SIZE, LABEL_GAP = 15, 5
CAPTION_SIZE = 17
HEAT_STOPS = ((0, 0, 0, 0), (58, 28, 132, 120), (190, 50, 110, 185), (250, 140, 50, 220), (255, 240, 150, 240))
"""RGBA at 0, 1/4 ... 1 of the greatest heat."""


def draw_backdrop(picture: Image.Image, box: Box, backdrop: Image.Image | None) -> None:
    """Lay the dimmed frame into the box, with round corners."""
    scene = backdrop.resize((box.width, box.height), Image.Resampling.LANCZOS) if backdrop else None
    if scene is None:
        scene = Image.new("RGB", (box.width, box.height), PANEL)
    dim = ImageEnhance.Brightness(ImageEnhance.Color(scene).enhance(SATURATION)).enhance(BRIGHTNESS)
    mask = Image.new("L", (box.width * SMOOTH, box.height * SMOOTH))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, mask.width - 1, mask.height - 1), RADIUS * SMOOTH, fill=255)
    picture.paste(dim, (box.left, box.top), mask.reduce(SMOOTH))


def draw_trails(picture: Image.Image, box: Box, trails: Sequence[Trail]) -> int:
    """Draw the ways of the tracks, those that reach farthest on top; returns how many were drawn."""
    worthy = [trail for trail in trails if trail.seen >= LEAST_SEEN][: HIGHLIGHTED + THIN]
    worthy = worthy or list(trails[:HIGHLIGHTED])
    size = np.array([box.width, box.height], np.float32)
    ways = [(track_colour(trail.track_id), _smoothed(trail.points()) * size) for trail in worthy]
    lines = [trail.extent >= LEAST_EXTENT for trail in worthy]

    def paint(draw: ImageDraw.ImageDraw) -> None:
        for rank in reversed(range(len(ways))):
            colour, way = ways[rank]
            if rank < HIGHLIGHTED:
                _draw_way(draw, way * SMOOTH, colour, line=lines[rank])
            else:
                _stroke(draw, way * SMOOTH, (*colour, 110), THIN_WIDTH)

    smooth(picture, box, paint)
    ends = [(trail.track_id, way[-1]) for trail, (_, way) in zip(worthy, ways, strict=True)]
    _draw_labels(picture, box, ends[:HIGHLIGHTED])
    return len(worthy)


def draw_heat(picture: Image.Image, box: Box, heat: Heat) -> None:
    """Draw where objects stood how often."""
    cells = np.sqrt(heat.cells / max(1, heat.cells.max())).astype(np.float32)
    grid = _blurred(cells)
    shades = np.linspace(0, 1, len(HEAT_STOPS))
    large = np.clip(np.asarray(grid.resize((box.width, box.height), Image.Resampling.BICUBIC)) / 255, 0, 1)
    stops = np.array(HEAT_STOPS, np.float64)
    layer = np.stack([np.interp(large, shades, stops[:, channel]) for channel in range(4)], axis=-1)
    overlay = Image.fromarray(layer.astype(np.uint8))
    picture.paste(overlay, (box.left, box.top), overlay)


def draw_caption(picture: Image.Image, box: Box, text: str) -> None:
    """Write a line at the scene's lower left, on a dark ground."""
    line = fitted(text, CAPTION_SIZE, box.width - 28)
    ground = Image.new("RGBA", (round(font(CAPTION_SIZE).getlength(line)) + 28, 34), (*OUTLINE, 170))
    at = (box.left, box.bottom - ground.height)
    picture.paste(ground, at, ground)
    write(picture, (at[0] + 14, at[1] + 17), line, CAPTION_SIZE, anchor="lm")


def draw_message(picture: Image.Image, box: Box, text: str) -> None:
    """Write a large line into the middle of the scene."""
    write(picture, (box.left + box.width / 2, box.top + box.height / 2), text, 40, anchor="mm")


def _blurred(cells: F32) -> Image.Image:
    """Return the grid as an 8-bit picture, spread over its neighbours and stretched to the full range."""
    spread = np.asarray(Image.fromarray((cells * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1.6)))
    return Image.fromarray((spread * (255 / max(1, int(spread.max())))).astype(np.uint8))


def _smoothed(points: F32) -> F32:
    """Return the way with each point the mean of itself and its neighbours; the ends stay."""
    if len(points) <= 4:  # noqa: PLR2004 too short to tremble
        return points
    padded = np.concatenate([points[:1], points[:1], points, points[-1:], points[-1:]])
    mean: F32 = sum(padded[start : start + len(points)] for start in range(5)) / np.float32(5)
    mean[0], mean[-1] = points[0], points[-1]
    return mean


def _draw_way(draw: ImageDraw.ImageDraw, way: F32, colour: Colour, *, line: bool) -> None:
    """Draw one highlighted track: a rimmed line from a ring to a dot."""
    if line:
        _stroke(draw, way, OUTLINE, WIDTH + 2 * RIM)
        _stroke(draw, way, colour, WIDTH)
        _dot(draw, way[0], DOT, colour)
        _dot(draw, way[0], DOT - 2.4, OUTLINE)
    _dot(draw, way[-1], DOT + RIM, OUTLINE)
    _dot(draw, way[-1], DOT, colour)


def _stroke(draw: ImageDraw.ImageDraw, way: F32, colour: tuple[int, ...], width: float) -> None:
    """Draw a line with round joints."""
    if len(way) > 1:
        draw.line([(x, y) for x, y in way.tolist()], fill=colour, width=round(width * SMOOTH), joint="curve")


def _dot(draw: ImageDraw.ImageDraw, at: F32, radius: float, colour: tuple[int, ...]) -> None:
    """Draw a filled circle."""
    draw.circle(tuple(at.tolist()), radius * SMOOTH, fill=colour)


def _draw_labels(picture: Image.Image, box: Box, ends: Sequence[tuple[int, F32]]) -> None:
    """Write the ids at the ends of the ways, as far as they do not cover each other."""
    taken: list[tuple[float, float, float, float]] = []
    for track_id, (x, y) in ends:
        text = str(track_id)
        width = font(LABEL_SIZE).getlength(text)
        right = x + DOT + LABEL_GAP
        left = right if right + width + 2 <= box.width else max(2.0, x - DOT - LABEL_GAP - width)
        top = min(max(2.0, y - 8), box.height - 20.0)
        place = (left, top, left + width, top + 16)
        if not any(_overlap(place, other) for other in taken):
            taken.append(place)
            _rimmed(picture, (box.left + left, box.top + top), text)


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Tell whether two rectangles meet."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _rimmed(picture: Image.Image, at: tuple[float, float], text: str) -> None:
    """Write light text with a dark rim."""
    ImageDraw.Draw(picture).text(at, text, fill=TEXT, font=font(LABEL_SIZE), stroke_width=2, stroke_fill=OUTLINE)
