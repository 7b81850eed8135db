"""A writable copy of a frame in the memory that the encoder reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation

from tilewatch.video.planes import SWS_COLORSPACES, plane_view

if TYPE_CHECKING:
    from tilewatch.records import U8, Frame, Matrix

    Planes: TypeAlias = tuple[U8, U8, U8]

NO_CHROMA = 128
BLACK = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a picture's numbers mean, and how many there are."""

    width: int
    height: int
    full_range: bool
    matrix: Matrix

    @classmethod
    def of(cls, frame: Frame) -> Look:
        """Return the look of a frame."""
        return cls(width=frame.width, height=frame.height, full_range=frame.full_range, matrix=frame.matrix)


class Canvas:
    """One picture of even size; an odd right or bottom edge is repeated once, since 4:2:0 H.264 has no odd sizes.

    It is used for one frame after the other: software encoders copy what they are given, and the hardware ones of
    `VIDEO_CODEC` upload it.
    """

    def __init__(self, look: Look) -> None:
        self.look = look
        self.picture = av.VideoFrame(even(look.width), even(look.height), "yuv420p")
        self._y, u, v = (plane_view(self.picture, index) for index in range(3))
        self._planes: Planes = (self._y[: look.height, : look.width], u, v)

    def fill(self, frame: Frame) -> Planes:
        """Copy a frame of this look in and return the planes, writable."""
        for target, source in zip(self._planes, (frame.y, frame.u, frame.v), strict=True):
            np.copyto(target, source)
        return self._planes

    def finish(self) -> av.VideoFrame:
        """Return the picture with its odd edges repeated."""
        width, height = self.look.width, self.look.height
        self._y[:, width:] = self._y[:, width - 1 : width]
        self._y[height:] = self._y[height - 1 : height]
        return self.picture


def even(length: int) -> int:
    """Return the next even number."""
    return length + length % 2


def fitted(picture: av.VideoFrame, look: Look, target: Look) -> av.VideoFrame:
    """Return a picture brought to another look: scaled to fit in, centred on black, numbers converted."""
    whole_width, whole_height = even(target.width), even(target.height)
    scale = min(whole_width / picture.width, whole_height / picture.height)
    width, height = (
        min(whole, max(2, round(side * scale / 2) * 2))
        for side, whole in ((picture.width, whole_width), (picture.height, whole_height))
    )
    scaled = picture.reformat(
        width=width,
        height=height,
        format="yuv420p",
        interpolation=Interpolation.BICUBIC,
        src_colorspace=SWS_COLORSPACES[look.matrix],
        dst_colorspace=SWS_COLORSPACES[target.matrix],
        src_color_range=_range(look),
        dst_color_range=_range(target),
    )
    return _centred(scaled, Canvas(target).picture, black=0 if target.full_range else BLACK)


def _centred(small: av.VideoFrame, large: av.VideoFrame, *, black: int) -> av.VideoFrame:
    left, top = (large.width - small.width) // 4 * 2, (large.height - small.height) // 4 * 2
    for index, (background, step) in enumerate(((black, 1), (NO_CHROMA, 2), (NO_CHROMA, 2))):
        target, source = plane_view(large, index), plane_view(small, index)
        rows, columns = source.shape
        target[:] = background
        target[top // step : top // step + rows, left // step : left // step + columns] = source
    return large


def _range(look: Look) -> ColorRange:
    return ColorRange.JPEG if look.full_range else ColorRange.MPEG
