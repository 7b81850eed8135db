"""The rules of drawing, in numpy: one shape after the other, each as a mask of coverage 0 to 255.

A luma pixel becomes (under x (255 - cover) + colour x cover + 127) // 255. A chroma pixel takes the mean coverage of
its four luma pixels, (sum + 2) // 4; beyond an odd last row or column a rectangle goes on as on the frame's last one,
and a glyph as it is. A line is sampled at the centre of the chroma pixel itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilewatch.records import F32, I32, U8

    Mask = NDArray[np.int64]


def fill(y: U8, u: U8, v: U8, rects: I32, colours: U8, alpha: int) -> None:
    """See native.draw.fill."""
    height, width = 2 * len(u), 2 * u.shape[1]
    for (x0, y0, x1, y1), colour in zip(rects.tolist(), colours.tolist(), strict=True):
        mask = np.zeros((height, width), np.int64)
        bottom = height if y1 >= len(y) else y1
        right = width if x1 >= y.shape[1] else x1
        mask[max(y0, 0) : max(bottom, 0), max(x0, 0) : max(right, 0)] = alpha
        _blend((y, u, v), mask, _halved(mask), colour)


def label(
    y: U8,
    u: U8,
    v: U8,
    plates: I32,
    colours: U8,
    alpha: int,
    atlas: U8,
    boxes: I32,
    first: I32,
    glyphs: I32,
    places: I32,
    inks: U8,
) -> None:
    """See native.draw.label."""
    for i, ink in enumerate(inks.tolist()):
        fill(y, u, v, plates[i : i + 1], colours[i : i + 1], alpha)
        for k in range(first[i], first[i + 1]):
            x0, y0, x1, y1 = boxes[glyphs[k]].tolist()
            _stamp((y, u, v), atlas[glyphs[k], y0:y1, x0:x1], (places[k] + [x0, y0]).tolist(), ink)


def _stamp(planes: tuple[U8, U8, U8], glyph: U8, place: list[int], ink: list[int]) -> None:
    """Blend one mask."""
    (left, top), (high, wide) = place, glyph.shape
    height, width = 2 * len(planes[1]), 2 * planes[1].shape[1]
    if not (-wide < left < planes[0].shape[1] and -high < top < len(planes[0])):
        return
    pad = max(high, wide) + 2
    room = np.zeros((height + 2 * pad, width + 2 * pad), np.int64)
    room[pad + top : pad + top + high, pad + left : pad + left + wide] = glyph
    mask = room[pad : pad + height, pad : pad + width]
    _blend(planes, mask, _halved(mask), ink)


def stroke(y: U8, u: U8, v: U8, segments: F32, radius: float, colours: U8) -> None:
    """See native.draw.stroke."""
    for segment, colour in zip(segments.astype(np.float64), colours.tolist(), strict=True):
        luma = _distance_cover(segment, radius, *_centres(y, 1))
        chroma = _distance_cover(segment, radius, *_centres(u, 2))
        _blend((y, u, v), luma, chroma, colour)


def _blend(planes: tuple[U8, U8, U8], luma: Mask, chroma: Mask, colour: list[int]) -> None:
    for plane, mask, value in zip(planes, (luma, chroma, chroma), colour, strict=True):
        cover = mask[: plane.shape[0], : plane.shape[1]]
        plane[:] = (plane.astype(np.int64) * (255 - cover) + value * cover + 127) // 255


def _halved(mask: Mask) -> Mask:
    total = mask[::2, ::2] + mask[1::2, ::2] + mask[::2, 1::2] + mask[1::2, 1::2]
    halved: Mask = (total + 2) // 4
    return halved


def _centres(plane: U8, step: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows, columns = np.indices(plane.shape)
    return (columns + 0.5) * step, (rows + 0.5) * step


def _distance_cover(
    segment: NDArray[np.float64], radius: float, x: NDArray[np.float64], y: NDArray[np.float64]
) -> Mask:
    """Return how much of each pixel lies within `radius` of a segment."""
    dx, dy = segment[2] - segment[0], segment[3] - segment[1]
    length = dx * dx + dy * dy
    along = np.clip(((x - segment[0]) * dx + (y - segment[1]) * dy) / length, 0, 1) if length > 0 else np.zeros_like(x)
    away = np.hypot(x - (segment[0] + along * dx), y - (segment[1] + along * dy))
    cover: Mask = np.floor(255 * np.clip(radius + 0.5 - away, 0, 1) + 0.5).astype(np.int64)
    return cover
