"""Text as masks: every character of one font size rendered once, then only placed."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from tilewatch.records import I32, U8

FIRST = "".join(map(chr, range(32, 127)))
RUNS_KEPT = 4096


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

    The font is the one built into Pillow; a character it lacks shows as its box.
    """

    def __init__(self, size: int) -> None:
        self._font = ImageFont.load_default(size)
        ascent, descent = self._metrics()
        self.height = ascent + descent
        self._wide = 2 * size
        self._advances: list[float] = []
        self._index: dict[str, int] = {}
        self.masks: U8 = np.zeros((0, self.height, self._wide), np.uint8)
        """(G, height, width) uint8 coverage."""
        self._add(FIRST)
        self.run = lru_cache(maxsize=RUNS_KEPT)(self._run)

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
        """Render characters into the atlas."""
        made = [self._render(character) for character in characters]
        self._index.update({character: len(self._advances) + k for k, character in enumerate(characters)})
        self._advances += [self._font.getlength(character) for character in characters]
        self.masks = np.ascontiguousarray(np.concatenate([self.masks, np.stack(made)]))

    def _render(self, character: str) -> U8:
        picture = Image.new("L", (self._wide, self.height))
        ImageDraw.Draw(picture).text((0, 0), character, fill=255, font=self._font)
        return np.asarray(picture, np.uint8)
