"""The picture that results are painted on, one after the other, in the look of the first."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tilewatch.video.canvas import Canvas, Look, fitted

if TYPE_CHECKING:
    import av

    from tilewatch.records import Frame, StreamInfo
    from tilewatch.video.canvas import Planes


class Easel:
    """Gives out a canvas for every frame and takes it back as a picture that the encoder accepts.

    The output has the size that was announced and the colours of its first frame; later frames of another size or
    colour are fitted in.
    """

    def __init__(self, info: StreamInfo) -> None:
        self.refitted = 0
        """Pictures that had to be fitted in."""
        self._info = info
        self._look: Look | None = None
        self._canvas: Canvas | None = None

    @property
    def look(self) -> Look:
        """The look of every picture; known once a frame was seen."""
        assert self._look is not None
        return self._look

    def see(self, frame: Frame) -> None:
        """Take the look of the output from a frame, if it is the first."""
        if self._look is None:
            self._look = replace(Look.of(frame), width=self._info.width, height=self._info.height)

    def canvas(self, frame: Frame) -> Planes:
        """Return a writable copy of a frame's planes y, u, v."""
        self.see(frame)
        look = Look.of(frame)
        if self._canvas is None or self._canvas.look != look:
            self._canvas = Canvas(look)
        return self._canvas.fill(frame)

    def picture(self) -> av.VideoFrame:
        """Return what is on the canvas, without a time."""
        assert self._canvas is not None
        picture = self._canvas.finish()
        if self._canvas.look == self.look:
            return picture
        self.refitted += 1
        return fitted(picture, self._canvas.look, self.look)

    def warnings(self) -> list[str]:
        """Return what a person must know of the pictures."""
        if not self.refitted:
            return []
        size = f"{self.look.width}x{self.look.height}"
        return [f"{self.refitted} frames of another size or colour were fitted into {size}"]
