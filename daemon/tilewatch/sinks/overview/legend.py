"""The classes with their totals, and the large numbers over the scene."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PIL import ImageDraw

from tilewatch.sinks.overview.style import LINE, MUTED, TEXT, fitted, panel, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from tilewatch.sinks.overview.layout import Box
    from tilewatch.sinks.overview.style import Colour

PADDING = 24
ROW_HEIGHT = 34
ROW_SIZE, HEAD_SIZE = 18, 15
COLUMN = 78
SWATCH = 14
NUMBER_SIZE, CAPTION_SIZE = 34, 16
LOW = 80
"""Pixels of height below which a number's caption stands beside it."""


class Entry(NamedTuple):
    """One row: a class, its colour in the chart, and its numbers under the headings."""

    name: str
    colour: Colour
    numbers: tuple[str, ...]


class Tile(NamedTuple):
    """One large number and what it counts."""

    number: str
    caption: str


def room(box: Box) -> int:
    """Return how many rows a legend of that size holds."""
    return max(1, (box.height - 2 * PADDING - ROW_HEIGHT) // ROW_HEIGHT)


def draw_legend(picture: Image.Image, box: Box, headings: Sequence[str], entries: Sequence[Entry]) -> None:
    """Draw the table of classes; `entries` must fit `room`."""
    panel(picture, box)
    y = box.top + PADDING
    write(picture, (box.left + PADDING, y), "class", HEAD_SIZE, colour=MUTED)
    columns = [box.right - PADDING - COLUMN * back for back in range(len(headings))][::-1]
    for x, heading in zip(columns, headings, strict=True):
        write(picture, (x, y), heading, HEAD_SIZE, colour=MUTED, anchor="ra")
    for index, entry in enumerate(entries):
        _draw_entry(picture, box, y + ROW_HEIGHT * (index + 1), columns, entry)


def draw_tile(picture: Image.Image, box: Box, tile: Tile) -> None:
    """Draw a large number over what it counts, or beside it where the box is low."""
    panel(picture, box)
    left, right, middle = box.left + PADDING, box.right - PADDING, box.top + box.height / 2
    number = fitted(tile.number, NUMBER_SIZE, box.width - 2 * PADDING)
    if box.height < LOW:
        write(picture, (left, middle), number, NUMBER_SIZE, anchor="lm")
        write(picture, (right, middle), tile.caption, CAPTION_SIZE, colour=MUTED, anchor="rm")
    else:
        write(picture, (left, box.top + 14), number, NUMBER_SIZE)
        write(picture, (left, box.top + 58), tile.caption, CAPTION_SIZE, colour=MUTED)


def _draw_entry(picture: Image.Image, box: Box, y: int, columns: Sequence[int], entry: Entry) -> None:
    """Draw one row, its upper edge at y."""
    left, middle = box.left + PADDING, y + ROW_HEIGHT // 2
    picture.paste(LINE, (left, y - 4, box.right - PADDING, y - 3))
    swatch = (left, middle - SWATCH // 2 - 2, left + SWATCH, middle + SWATCH // 2 - 2)
    ImageDraw.Draw(picture).rounded_rectangle(swatch, 3, fill=entry.colour)
    name_left = left + SWATCH + 12
    name = fitted(entry.name, ROW_SIZE, columns[0] - COLUMN + 12 - name_left)
    write(picture, (name_left, middle - 2), name, ROW_SIZE, anchor="lm")
    for x, number in zip(columns, entry.numbers, strict=True):
        write(picture, (x, middle - 2), number, ROW_SIZE, colour=TEXT, anchor="rm")
