"""The debug overlay: every tile's border, and a word on why it was inferred, or why not.

Tiles that sleep are veiled and have a thin grey border; a border lies a little inside its tile, so that neighbours that
overlap are told apart.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from tilewatch.native import draw
from tilewatch.records import OUTSIDE_ROI, STILL
from tilewatch.sinks.palette import BLACK, frame_colours, text_colour

if TYPE_CHECKING:
    from tilewatch.native.draw import Planes
    from tilewatch.records import I32, Bool, Frame, Looks, Tracks
    from tilewatch.sinks.glyphs import GlyphAtlas
    from tilewatch.sinks.palette import Colour

COLOURS: dict[str, Colour] = {
    "always": (60, 220, 90),
    "first": (230, 80, 230),
    "camera": (230, 80, 230),
    "changed": (255, 150, 0),
    "track": (0, 200, 255),
    "refresh": (80, 120, 255),
    STILL: (150, 150, 150),
    OUTSIDE_ROI: (70, 70, 70),
}
UNKNOWN = (255, 255, 255)
VEIL = 90
"""Opacity of the black over what no tile looked at, of 255."""
LINES_A_BORDER = 270
"""Pixels of the shorter side for one pixel of border."""
PLATE = 220
"""Opacity of what is behind a word, of 255."""


def draw_tiles(tracks: Tracks, planes: Planes, atlas: GlyphAtlas) -> None:
    """Draw what was done about a frame's tiles: those asleep first, so that the others lie on top."""
    looks, frame = tracks.looks, tracks.frame
    if not looks.reasons:
        return
    order = sorted(range(len(looks.reasons)), key=lambda i: _awake(looks.reasons[i]))
    reasons = [looks.reasons[i] for i in order]
    rects = looks.rects[order]
    thick = max(1, round(min(frame.width, frame.height) / LINES_A_BORDER))
    awake = np.array([_awake(reason) for reason in reasons], np.bool_)
    dark = _unseen(rects[~awake], rects[awake])
    draw.fill(planes, dark, frame_colours([BLACK] * len(dark), frame), alpha=VEIL)
    colours = [COLOURS.get(reason, UNKNOWN) for reason in reasons]
    inset = rects + np.array([1, 1, -1, -1], np.int32) * (2 * thick)
    for which, thickness in ((~awake, thick), (awake, 2 * thick)):
        chosen = [colour for colour, wanted in zip(colours, which, strict=True) if wanted]
        draw.outline(planes, inset[which], frame_colours(chosen, frame), thickness=thickness)
    _draw_words(replace(looks, rects=inset, reasons=tuple(reasons)), colours, frame, planes, atlas)


def _draw_words(looks: Looks, colours: list[Colour], frame: Frame, planes: Planes, atlas: GlyphAtlas) -> None:
    """Write each tile's reason into its lower left corner, away from the labels of boxes."""
    lines = [[atlas.run(reason)] for reason in looks.reasons]
    pad = max(1, atlas.height // 4)
    left, bottom = looks.rects[:, 0], looks.rects[:, 3]
    widths = np.array([line[0].width for line in lines]) + 2 * pad
    plates = np.stack([left, bottom - atlas.height, left + widths, bottom], axis=1)
    inks = frame_colours([text_colour(colour) for colour in colours], frame)
    text = atlas.table(lines, plates[:, :2] + [pad, 0], inks)
    draw.label(planes, plates, frame_colours(colours, frame), text, alpha=PLATE)


def _awake(reason: str) -> bool:
    return reason not in {STILL, OUTSIDE_ROI}


def _unseen(asleep: I32, awake: I32) -> I32:
    """Return rectangles, none over another one, of what only sleeping tiles show."""
    edges = np.concatenate([asleep, awake]).reshape(-1, 2, 2)
    xs, ys = np.unique(edges[:, :, 0]), np.unique(edges[:, :, 1])
    cells = np.array(
        [(x0, y0, x1, y1) for y0, y1 in pairwise(ys.tolist()) for x0, x1 in pairwise(xs.tolist())], np.int32
    )
    cells = cells.reshape(-1, 4)
    unseen: I32 = cells[_inside(cells, asleep) & ~_inside(cells, awake)]
    return unseen


def _inside(cells: I32, rects: I32) -> Bool:
    """Return (N,) bool: the cells that a rectangle covers."""
    low = (cells[:, None, :2] >= rects[None, :, :2]).all(axis=2)
    inside: Bool = np.any(low & (cells[:, None, 2:] <= rects[None, :, 2:]).all(axis=2), axis=1)
    return inside
