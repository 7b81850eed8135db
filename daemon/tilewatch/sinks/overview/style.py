"""Colours, type and smooth edges of the picture."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Callable

    from tilewatch.sinks.overview.layout import Box

    Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

Colour: TypeAlias = tuple[int, int, int]

BACKGROUND: Colour = (17, 20, 26)
PANEL: Colour = (27, 31, 39)
LINE: Colour = (52, 58, 70)
TEXT: Colour = (236, 239, 244)
MUTED: Colour = (147, 156, 171)
ACCENT: Colour = (94, 200, 255)
SERIES: tuple[Colour, ...] = (
    (94, 200, 255),
    (255, 176, 74),
    (126, 217, 130),
    (240, 120, 155),
    (186, 148, 255),
    (240, 226, 108),
)
"""Colours of the most frequent classes."""
OTHER: Colour = (132, 140, 154)
"""Colour of all further classes together."""
SMOOTH = 2
"""Shapes are drawn this many times larger and averaged down."""
RADIUS = 10


@cache
def font(size: int) -> Font:
    """Return the type that comes with Pillow, so that the picture is the same on every machine."""
    return ImageFont.load_default(size)


def fitted(text: str, size: int, width: float) -> str:
    """Return the text on one line, its middle left out where it is wider than `width` pixels."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)[:500]
    if font(size).getlength(line) <= width:
        return line
    kept = len(line)
    while kept > 1 and font(size).getlength(_without_middle(line, kept)) > width:
        kept -= 1
    return _without_middle(line, kept)


def _without_middle(line: str, kept: int) -> str:
    """Return the first and last letters, `kept` in all, with dots between them."""
    tail = kept // 3
    return f"{line[: kept - tail].rstrip()}...{line[len(line) - tail :].lstrip()}"


def panel(picture: Image.Image, box: Box) -> None:
    """Draw the ground of a part of the picture."""

    def paint(draw: ImageDraw.ImageDraw) -> None:
        size = (0, 0, box.width * SMOOTH - 1, box.height * SMOOTH - 1)
        draw.rounded_rectangle(size, RADIUS * SMOOTH, fill=PANEL)

    smooth(picture, box, paint)


def smooth(picture: Image.Image, box: Box, paint: Callable[[ImageDraw.ImageDraw], None]) -> None:
    """Let `paint` draw on an empty layer SMOOTH times as large as the box, and lay it over the picture."""
    layer = Image.new("RGBA", (box.width * SMOOTH, box.height * SMOOTH))
    paint(ImageDraw.Draw(layer))
    small = layer.reduce(SMOOTH)
    picture.paste(small, (box.left, box.top), small)


def write(  # noqa: PLR0913 text, place and looks
    picture: Image.Image, at: tuple[float, float], text: str, size: int, *, colour: Colour = TEXT, anchor: str = "la"
) -> None:
    """Write one line of text; `anchor` as Pillow's text anchors."""
    options: dict[str, Any] = {"fill": colour, "font": font(size), "anchor": anchor}
    ImageDraw.Draw(picture).text(at, text, **options)


def clock(seconds: float) -> str:
    """Return a time as m:ss, or h:mm:ss from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
