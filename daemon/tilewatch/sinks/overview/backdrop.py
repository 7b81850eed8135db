"""The frame behind the trajectories: chosen and made small at a bounded cost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from tilewatch.records import U8, Frame, StreamInfo

LARGEST = (1520, 1016)
"""Most width and height a backdrop needs, pixels."""
PLAIN = 0.5
"""A later frame with less than this share of the first one's contrast (a fade, a blank) does not replace it."""
GUESS = 250
"""Frame that stands for the middle when the container does not tell its length."""


class Backdrop:
    """Holds the first frame, and the middle one instead once it has come; two small copies are the whole cost."""

    def __init__(self, info: StreamInfo) -> None:
        self._middle = info.frame_count // 2 if info.frame_count else GUESS
        self._contrast = 0.0
        self.picture: Image.Image | None = None
        """RGB, no larger than LARGEST; None before the first frame."""

    def offer(self, frame: Frame) -> None:
        """Take the frame if it is one of the two."""
        if self.picture is not None and frame.index != self._middle:
            return
        small = shrunk(frame)
        contrast = float(small.y.std())
        if self.picture is None or contrast >= PLAIN * self._contrast:
            self._contrast = contrast
            self.picture = Image.fromarray(np.ascontiguousarray(small.bgr()[:, :, ::-1]))


def shrunk(frame: Frame) -> Frame:
    """Return a small copy of the frame: shrinking the planes keeps a 4K picture from costing 250 MB."""
    factor = min(1.0, LARGEST[0] / frame.width, LARGEST[1] / frame.height)
    width, height = (max(1, round(side * factor)) for side in (frame.width, frame.height))
    half = ((width + 1) // 2, (height + 1) // 2)
    y, u, v = (_resized(plane, size) for plane, size in ((frame.y, (width, height)), (frame.u, half), (frame.v, half)))
    return replace(frame, width=width, height=height, y=y, u=u, v=v)


def _resized(plane: U8, size: tuple[int, int]) -> U8:
    """Return a plane averaged down to a size."""
    small: U8 = np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize(size, Image.Resampling.BOX))
    return small
