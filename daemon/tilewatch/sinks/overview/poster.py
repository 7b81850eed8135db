"""The whole picture put together: header, large numbers, scene, legend and chart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tilewatch.sinks.overview import legend, scene
from tilewatch.sinks.overview.chart import Band, draw_chart
from tilewatch.sinks.overview.layout import WIDTH, Box, Layout, arrange
from tilewatch.sinks.overview.legend import Entry, Tile
from tilewatch.sinks.overview.style import ACCENT, BACKGROUND, MUTED, OTHER, SERIES, clock, fitted, write

if TYPE_CHECKING:
    from tilewatch.sinks.base import SinkContext
    from tilewatch.sinks.overview.counts import Series
    from tilewatch.sinks.overview.heat import Heat
    from tilewatch.sinks.overview.style import Colour
    from tilewatch.sinks.overview.trails import Trail
    from tilewatch.sinks.tally import Tally

TITLE_SIZE, LINE_SIZE, MARK_SIZE = 36, 20, 22
BRIEF = 10
"""Seconds below which a duration is told to the tenth."""
SPANS = 240
"""Points of the chart's bands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What the picture tells."""

    context: SinkContext
    model_name: str
    backdrop: Image.Image | None
    trails: list[Trail]
    """Farthest first; empty with tracking off."""
    heat: Heat
    tally: Tally
    series: Series


def draw_poster(story: Story) -> Image.Image:
    """Return the picture, RGB, WIDTH pixels wide."""
    info = story.context.info
    layout = arrange(info.width, info.height)
    picture = Image.new("RGB", (WIDTH, layout.height), BACKGROUND)
    _draw_header(picture, layout.header, story)
    for box, tile in zip(layout.tiles, _tiles(story), strict=True):
        legend.draw_tile(picture, box, tile)
    _draw_scene(picture, layout.scene, story)
    _draw_classes(picture, layout, story)
    return picture


def _draw_header(picture: Image.Image, box: Box, story: Story) -> None:
    """Write the file's name, its facts, and who made the picture."""
    info = story.context.info
    write(picture, (box.left, box.top - 4), fitted(info.path.name, TITLE_SIZE, box.width - 200), TITLE_SIZE)
    write(picture, (box.right, box.top + 6), "tilewatch", MARK_SIZE, colour=ACCENT, anchor="ra")
    rate = f"{float(info.average_rate):.3g} frames/s"
    facts = f"{info.width} x {info.height}  ·  {rate}  ·  {info.codec}  ·  model {story.model_name}"
    write(picture, (box.left, box.top + 48), fitted(facts, LINE_SIZE, box.width), LINE_SIZE, colour=MUTED)


def _tiles(story: Story) -> list[Tile]:
    """Return the large numbers."""
    tally = story.tally
    found = Tile(f"{tally.track_count:,}", "tracks") if story.context.tracking else Tile(f"{tally.objects:,}", "boxes")
    return [
        Tile(_duration(story.series.seconds), "duration"),
        Tile(f"{tally.frames:,}", "frame" if tally.frames == 1 else "frames"),
        found,
        Tile(f"{tally.peak_objects:,}", "most at once"),
        Tile(f"{tally.objects / max(1, tally.frames):.1f}", "objects a frame"),
    ]


def _duration(seconds: float) -> str:
    """Return a length of time: tenths of a second below ten, m:ss above."""
    return f"{seconds:.1f} s" if seconds < BRIEF else clock(seconds)


def _draw_scene(picture: Image.Image, box: Box, story: Story) -> None:
    """Draw the frame and what happened in it."""
    scene.draw_backdrop(picture, box, story.backdrop)
    if not story.tally.objects:
        scene.draw_message(picture, box, "No objects found")
    elif story.context.tracking:
        drawn = scene.draw_trails(picture, box, story.trails)
        scene.draw_caption(picture, box, _trail_caption(drawn, story.tally.track_count))
    else:
        scene.draw_heat(picture, box, story.heat)
        scene.draw_caption(picture, box, "where objects stood: the brighter, the more often")


def _trail_caption(drawn: int, total: int) -> str:
    """Return what the lines mean."""
    which = "paths" if drawn == total else f"the {drawn} longest paths"
    return f"{which} of the objects' feet, from ring to dot, numbered by track"


def _draw_classes(picture: Image.Image, layout: Layout, story: Story) -> None:
    """Draw legend and chart, which share their colours."""
    means = story.series.means
    most = min(legend.room(layout.legend) - 1, len(SERIES))
    named, rest = list(means)[:most], list(means)[most:]
    bands = [Band(means[label], SERIES[index]) for index, label in enumerate(named)]
    entries = [
        _entry(story, story.context.class_name(label), [label], band.colour)
        for label, band in zip(named, bands, strict=True)
    ]
    if rest:
        bands.append(Band(np.sum([means[label] for label in rest], axis=0), OTHER))
        name = story.context.class_name(rest[0]) if len(rest) == 1 else f"{len(rest)} more classes"
        entries.append(_entry(story, name, rest, OTHER))
    legend.draw_legend(picture, layout.legend, _headings(story), entries)
    draw_chart(picture, layout.chart, bands, story.series.seconds)


def _headings(story: Story) -> tuple[str, ...]:
    """Return the legend's columns."""
    return ("tracks", "most", "mean") if story.context.tracking else ("most", "mean")


def _entry(story: Story, name: str, labels: list[int], colour: Colour) -> Entry:
    """Return the legend's row for one class, or for several together."""
    tally = story.tally
    tracks = (f"{sum(tally.tracks.get(label, 0) for label in labels):,}",) if story.context.tracking else ()
    most = max(tally.peak.get(label, 0) for label in labels)
    mean = sum(tally.totals.get(label, 0) for label in labels) / max(1, tally.frames)
    return Entry(name, colour, (*tracks, f"{most:,}", f"{mean:.1f}"))
