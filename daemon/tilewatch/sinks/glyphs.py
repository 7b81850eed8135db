"""Text as masks: every character of one font size rendered once, then only placed."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tilewatch.native.draw import Text, ink_boxes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilewatch.records import I32, U8

FIRST = "".join(map(chr, range(32, 127)))
RUNS_KEPT = 4096
NO_CHARACTER = "\uffff"
"""Shown by every font as the box for what it lacks."""


class Run(NamedTuple):
    """A piece of text laid out."""

    glyphs: I32
    """(N,) into the atlas."""
    lefts: I32
    """(N,) pixels from the start of the text."""
    width: int
    """Pixels to the start of what follows."""


class GlyphAtlas:
    """The glyphs of one size; characters beyond ASCII are added when they first occur.

    The font is the one built into Pillow. A character it lacks is shown without its accents, else as a box.
    """

    def __init__(self, size: int) -> None:
        self._font = ImageFont.load_default(size)
        ascent, descent = self._metrics()
        self.height = ascent + descent
        self._box = bytes(self._font.getmask(NO_CHARACTER))
        self._advances: list[float] = []
        self._index: dict[str, int] = {}
        self.masks: U8 = np.zeros((0, self.height, 1), np.uint8)
        """(G, height, width) uint8 coverage."""
        self.boxes: I32 = ink_boxes(self.masks)
        """(G, 4) int32 x0 y0 x1 y1 of the ink in each mask."""
        self._add(FIRST)
        self.run = lru_cache(maxsize=RUNS_KEPT)(self._run)

    def table(self, lines: list[list[Run]], corners: NDArray[np.int64], inks: U8) -> Text:
        """Return lines of runs as one table of glyphs; `corners` (N, 2) is where each line begins."""
        runs = [run for line in lines for run in line]
        lengths = np.array([len(run.glyphs) for run in runs])
        line_of = np.repeat(np.arange(len(lines)), [len(line) for line in lines])
        widths = np.array([run.width for run in runs])
        before = np.cumsum(widths) - widths
        starts = before - before[np.searchsorted(line_of, line_of)] + corners[line_of, 0]
        lefts = np.concatenate([run.lefts for run in runs]) + np.repeat(starts, lengths)
        places = np.stack([lefts, np.repeat(corners[line_of, 1], lengths)], axis=1).astype(np.int32)
        first = np.concatenate([[0], np.cumsum(np.bincount(line_of, lengths, len(lines)))]).astype(np.int32)
        return Text(self.masks, self.boxes, first, np.concatenate([run.glyphs for run in runs]), places, inks)

    def _metrics(self) -> tuple[int, int]:
        if isinstance(self._font, ImageFont.FreeTypeFont):
            return self._font.getmetrics()
        raise RuntimeError("Pillow was built without FreeType, which draws the labels: install its binary wheel")

    def _run(self, text: str) -> Run:
        """Lay a piece of text out on one line."""
        missing = "".join(sorted(set(text) - self._index.keys()))
        if missing:
            self._add(missing)
        indices = [self._index[character] for character in text]
        ends = np.cumsum([self._advances[index] for index in indices]) if indices else np.zeros(1)
        lefts = np.rint(ends - [self._advances[index] for index in indices]) if indices else np.zeros(0)
        return Run(np.array(indices, np.int32), lefts.astype(np.int32), round(float(ends[-1])))

    def _add(self, characters: str) -> None:
        """Render characters into the atlas, whose cells are as wide as the widest of them."""
        made = [self._render(self._known(character)) for character in characters]
        self._index.update({character: len(self._advances) + k for k, character in enumerate(characters)})
        self._advances += [self._font.getlength(self._known(character)) for character in characters]
        wide = max(mask.shape[1] for mask in (*made, self.masks[0] if len(self.masks) else made[0]))
        cells = np.zeros((len(self._advances), self.height, wide), np.uint8)
        cells[: len(self.masks), :, : self.masks.shape[2]] = self.masks
        for cell, mask in zip(cells[len(self.masks) :], made, strict=True):
            cell[:, : mask.shape[1]] = mask
        self.masks = cells
        self.boxes = ink_boxes(cells)

    def _known(self, character: str) -> str:
        """Return a character the font has: itself, or its letter without accents, or what shows as a box."""
        if bytes(self._font.getmask(character)) != self._box:
            return character
        letter, *marks = list(unicodedata.normalize("NFKD", character))
        return letter if all(map(unicodedata.combining, marks)) else character

    def _render(self, character: str) -> U8:
        """Return (height, width) uint8 the character's ink from the left edge on."""
        picture = Image.new("L", (max(1, 2 * self.height), self.height))
        ImageDraw.Draw(picture).text((0, 0), character, fill=255, font=self._font)
        mask = np.asarray(picture, np.uint8)
        inked = np.flatnonzero(mask.any(axis=0))
        return mask[:, : inked[-1] + 1] if len(inked) else mask[:, :1]
