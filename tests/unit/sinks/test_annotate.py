"""The annotated picture: legible at any size, the decoder's frame untouched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.records import make_context, make_frame, make_tracks
from tilewatch.settings import DrawSettings
from tilewatch.sinks.annotate import Annotator, Trails
from tilewatch.sinks.glyphs import GlyphAtlas
from tilewatch.sinks.palette import luminance, text_colour, to_yuv, track_colour

if TYPE_CHECKING:
    from tilewatch.records import Tracks

ROWS = [(1, 0, 0.9, 40.0, 60.0, 80.0, 120.0), (2, 2, 0.5, -5.0, 2.0, 30.0, 40.0)]


def painted(tracks: Tracks, *, tracking: bool = True, **draw: object) -> tuple[np.ndarray, ...]:
    """Return copies of a frame's planes, drawn on."""
    frame = tracks.frame
    planes = frame.y.copy(), frame.u.copy(), frame.v.copy()
    context = make_context(tracking=tracking, width=frame.width, height=frame.height)
    Annotator(context, DrawSettings(**draw)).draw(tracks, planes)  # type: ignore[arg-type]
    return planes


@pytest.mark.parametrize(("width", "height"), [(160, 90), (320, 240), (1920, 1080), (1081, 1921)])
def test_boxes_and_labels_are_drawn_at_any_size(width: int, height: int) -> None:
    """Box edges have the track's colour; the text grows with the picture."""
    frame = make_frame(width=width, height=height)
    box = (1, 0, 0.9, width * 0.3, height * 0.5, width * 0.6, height * 0.9)
    y, _, _ = painted(make_tracks(0, [box], frame=frame))
    luma = to_yuv(track_colour(1), "bt601", full_range=False)[0]
    assert y[round(height * 0.5), round(width * 0.45)] == luma
    assert (y != frame.y).sum() > 0.002 * width * height


def test_label_stays_inside_the_picture() -> None:
    """A box in the corner has its label inside; one beyond the edge too."""
    frame = make_frame()
    y, _, _ = painted(make_tracks(0, [(1, 0, 0.9, 300.0, 0.0, 319.0, 30.0)], frame=frame), boxes=False)
    rows, columns = np.nonzero(y != frame.y)
    assert columns.max() <= 319
    assert columns.max() - columns.min() > 60
    assert rows.min() == 0


def test_nothing_is_drawn_when_nothing_is_asked_for() -> None:
    """DRAW_BOXES and DRAW_LABELS off leave the picture as it was."""
    tracks = make_tracks(0, ROWS)
    planes = painted(tracks, boxes=False, labels=False)
    assert np.array_equal(planes[0], tracks.frame.y)


def test_classes_have_colours_when_there_are_no_tracks() -> None:
    """With tracking off, one class is one colour."""
    frame = make_frame()
    twice = [(0, 0, 0.9, 40.0, 60.0, 80.0, 120.0), (0, 0, 0.8, 140.0, 60.0, 180.0, 120.0)]
    y, _, _ = painted(make_tracks(0, twice, frame=frame), tracking=False, labels=False)
    assert y[60, 60] == y[60, 160] != frame.y[60, 60]


def test_trail_follows_the_object_and_is_forgotten() -> None:
    """Points older than the trail go; a track that is gone leaves nothing behind."""
    trails = Trails(0.5)
    for index in range(100):
        segments, keys = trails.extend(make_tracks(index, [(1, 0, 0.5, index, 0, index + 2, 9)] if index < 50 else []))
        assert len(segments) == len(keys) <= 5
    assert not trails._points  # noqa: SLF001


def test_trail_of_an_object_at_rest_does_not_grow() -> None:
    """Boxes tremble by a pixel; the path gains a corner only with a real step."""
    trails = Trails(60.0)
    lefts = [50 + index % 2 for index in range(200)] + [55 + 5 * index for index in range(10)]
    counts = [
        len(trails.extend(make_tracks(index, [(1, 0, 0.5, left, 0, left + 20, 90)]))[0])
        for index, left in enumerate(lefts)
    ]
    assert counts[1:200] == [1] * 199
    assert counts[200:] == list(range(2, 12))


def test_every_character_has_a_glyph() -> None:
    """Latin letters beyond ASCII and scripts the font lacks are laid out, never an exception."""
    atlas = GlyphAtlas(20)
    run = atlas.run("Vélo 飛機")
    assert len(run.glyphs) == 7
    assert run.width > 40
    assert all(atlas.masks[glyph].any() for glyph in run.glyphs[[0, 1, 5, 6]])


def test_neighbouring_tracks_have_colours_that_differ_and_text_that_reads() -> None:
    """Any run of ids is told apart; text is black on bright colours and white on dark ones."""
    colours = np.array([track_colour(k) for k in range(1, 13)], int)
    distances = np.abs(colours[:, None] - colours[None]).sum(axis=2) + 1000 * np.eye(12, dtype=int)
    assert distances.min() > 60
    assert text_colour((0, 0, 160)) == (255, 255, 255)
    for identity in range(1, 200):
        lights = sorted(luminance(colour) for colour in (track_colour(identity), text_colour(track_colour(identity))))
        assert (lights[1] + 0.05) / (lights[0] + 0.05) >= 4.5


def test_accented_letters_are_shown_without_their_accents_rather_than_as_boxes() -> None:
    """The font lacks them: "é" reads as "e"; a letter of another script is a box."""
    atlas = GlyphAtlas(20)
    plain, accented, box, other, half = (atlas.run(text).glyphs[0] for text in ("e", "é", "飛", "機", "½"))
    assert np.array_equal(atlas.masks[plain], atlas.masks[accented])
    assert np.array_equal(atlas.masks[box], atlas.masks[other])
    assert np.array_equal(atlas.masks[box], atlas.masks[half])
