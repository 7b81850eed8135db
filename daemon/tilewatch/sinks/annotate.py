"""Draws a frame's objects on a copy of its planes: boxes, labels, trails."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from tilewatch.native import draw
from tilewatch.sinks.glyphs import GlyphAtlas
from tilewatch.sinks.overlay import draw_tiles
from tilewatch.sinks.palette import frame_colours, text_colour, track_colour

if TYPE_CHECKING:
    from tilewatch.native.draw import Planes
    from tilewatch.records import F32, Frame, Tracks
    from tilewatch.settings import DrawSettings
    from tilewatch.sinks.base import SinkContext
    from tilewatch.sinks.palette import Colour

LINES_A_FRAME = 48
"""Lines of text that would fill the shorter side of a picture."""
SMALLEST_FONT = 11
LINES_A_BOX = 360
"""Pixels of the shorter side for one pixel of line width."""
STEPS_A_FRAME = 180
"""Steps of a trail that would cross the shorter side of a picture: a smaller movement adds no point to it."""
PLATE_ALPHA = 235
"""Opacity of what is behind a label, of 255."""


class Annotator:
    """Draws tracks in their own colours; without tracking, classes in theirs.

    Line width and font size follow the shorter side of the picture, so that it reads the same at any resolution.
    """

    def __init__(self, context: SinkContext, settings: DrawSettings) -> None:
        self._context = context
        self._settings = settings
        self._atlases: dict[int, GlyphAtlas] = {}
        self._trails = Trails(settings.trail_seconds)

    def draw(self, tracks: Tracks, planes: Planes) -> None:
        """Draw a frame's objects.

        Args:
            tracks: what to draw, surest last so that it lies on top.
            planes: writable copies of the frame's y, u and v.
        """
        if self._settings.debug:
            draw_tiles(tracks, planes, self._atlas(_shorter_side(tracks.frame)))
        if self._settings.trail_seconds and self._context.tracking:
            self._draw_trails(tracks, planes)
        if not len(tracks):
            return
        order = np.argsort(tracks.score, kind="stable")
        keys = (tracks.track_id if self._context.tracking else tracks.label + 1)[order].tolist()
        colours = [track_colour(key) for key in keys]
        if self._settings.boxes:
            side = _shorter_side(tracks.frame)
            thickness = max(1 + (side >= LINES_A_BOX), round(side / LINES_A_BOX))
            draw.outline(planes, tracks.xyxy[order], frame_colours(colours, tracks.frame), thickness=thickness)
        if self._settings.labels:
            self._draw_labels(tracks, order.tolist(), colours, planes)

    def apply(self, settings: DrawSettings) -> None:
        """Draw in another way from now on; trails begin anew where their length has changed."""
        if settings.trail_seconds != self._settings.trail_seconds:
            self._trails = Trails(settings.trail_seconds)
        self._settings = settings

    def remember(self, tracks: Tracks) -> None:
        """Take a frame that was drawn before, so that the trails of later ones begin where they did then."""
        if self._settings.trail_seconds and self._context.tracking:
            self._trails.extend(tracks)

    def _draw_labels(self, tracks: Tracks, order: list[int], colours: list[Colour], planes: Planes) -> None:
        """Draw one line of text at each box: above it, or inside where the frame ends."""
        atlas = self._atlas(_shorter_side(tracks.frame))
        pad = max(1, atlas.height // 8)
        lines = [[atlas.run(word) for word in self._words(tracks, i)] for i in order]
        widths = np.array([sum(run.width for run in line) for line in lines]) + 2 * pad
        plates = _plates(tracks.xyxy[order], widths, atlas.height, tracks.frame)
        inks = frame_colours([text_colour(colour) for colour in colours], tracks.frame)
        text = atlas.table(lines, plates[:, :2] + [pad, 0], inks)
        draw.label(planes, plates, frame_colours(colours, tracks.frame), text, alpha=PLATE_ALPHA)

    def _words(self, tracks: Tracks, i: int) -> list[str]:
        """Return a label in pieces that recur, so that each is laid out once."""
        words = [self._context.class_name(int(tracks.label[i])), f" {tracks.score[i]:.2f}"]
        return [*words, f" #{tracks.track_id[i]}"] if self._context.tracking else words

    def _atlas(self, side: int) -> GlyphAtlas:
        size = max(SMALLEST_FONT, round(side / LINES_A_FRAME))
        if size not in self._atlases:
            self._atlases[size] = GlyphAtlas(size)
        return self._atlases[size]

    def _draw_trails(self, tracks: Tracks, planes: Planes) -> None:
        segments, keys = self._trails.extend(tracks)
        radius = max(0.75, _shorter_side(tracks.frame) / LINES_A_BOX / 2)
        draw.stroke(planes, segments, frame_colours([track_colour(key) for key in keys], tracks.frame), radius=radius)


class Trails:
    """The last seconds of every track's foot point; a track not seen for that long is forgotten.

    The newest point is where the object is now; it stays as a corner of the path only once the object has moved on by
    a step, so that one at rest costs one segment a frame and not one for every frame of the trail.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._points: dict[int, deque[tuple[float, float, float]]] = {}

    def extend(self, tracks: Tracks) -> tuple[F32, list[int]]:
        """Take a frame's tracks and return (N, 4) float32 segments with the track of each."""
        now, step = tracks.frame.seconds, _shorter_side(tracks.frame) / STEPS_A_FRAME
        feet = np.stack([(tracks.xyxy[:, 0] + tracks.xyxy[:, 2]) / 2, tracks.xyxy[:, 3]], axis=1).tolist()
        for identity, (x, y) in zip(tracks.track_id.tolist(), feet, strict=True):
            points = self._points.setdefault(identity, deque())
            if len(points) > 1 and math.dist((x, y), points[-2][1:]) < step:
                points.pop()
            points.append((now, x, y))
        for identity, points in list(self._points.items()):
            while points and now - points[0][0] > self._seconds:
                points.popleft()
            if not points:
                del self._points[identity]
        return self._segments()

    def _segments(self) -> tuple[F32, list[int]]:
        found, keys = [], []
        for identity, points in self._points.items():
            path = np.array([(x, y) for _, x, y in points], np.float32)
            found.append(np.concatenate([path[:-1], path[1:]], axis=1))
            keys += [identity] * (len(path) - 1)
        return np.concatenate(found) if found else np.zeros((0, 4), np.float32), keys


def _plates(xyxy: F32, widths: np.ndarray, height: int, frame: Frame) -> np.ndarray:
    """Return (N, 4) the rectangles behind the labels: above the box, else inside it, always within the frame."""
    boxes = np.rint(np.clip(xyxy, -1e6, 1e6)).astype(np.int64)
    left = np.clip(boxes[:, 0], 0, np.maximum(frame.width - widths, 0))
    above = boxes[:, 1] - height
    top = np.clip(np.where(above >= 0, above, np.maximum(boxes[:, 1], 0)), 0, max(frame.height - height, 0))
    return np.stack([left, top, left + widths, top + height], axis=1)


def _shorter_side(frame: Frame) -> int:
    return min(frame.width, frame.height)
