"""annotated.mp4: the source's pictures with what was found drawn on them, and its sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from tilewatch.video.encoder import SOFTWARE
from tilewatch.video.probe import pick_encoder
from tilewatch.video.writer import VideoWriter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tilewatch.records import U8, Tracks
    from tilewatch.settings import DrawSettings, VideoSettings
    from tilewatch.sinks.base import SinkContext

    Planes: TypeAlias = tuple[U8, U8, U8]


class Painter(Protocol):
    """Draws one frame's result."""

    def apply(self, settings: DrawSettings) -> None:
        """Draw in another way from now on."""

    def draw(self, tracks: Tracks, planes: Planes) -> None:
        """Draw on y (H, W), u and v (ceil(H/2), ceil(W/2)) uint8 in place."""


class VideoSink:
    """Encodes every frame once it is painted on; the decoder's own planes stay as they are.

    Raises:
        ConfigError: the encoder named in the settings does not work here.
    """

    def __init__(self, path: Path, context: SinkContext, annotator: Painter, settings: VideoSettings) -> None:
        self._annotator = annotator
        self._writer = VideoWriter(
            path,
            context.info,
            codec=pick_encoder(settings.codec),
            quality=settings.quality,
            preset=settings.preset,
            fallback=SOFTWARE if settings.codec == "auto" else None,
        )

    @property
    def warnings(self) -> Sequence[str]:
        """What a person must know of the video, one line each; complete after `close`."""
        return self._writer.warnings

    @property
    def codec(self) -> str:
        """The encoder really in use, in FFmpeg's words."""
        return self._writer.codec

    def redraw(self, settings: DrawSettings) -> None:
        """Draw in another way from the next frame on."""
        self._annotator.apply(settings)

    def write(self, tracks: Tracks) -> None:
        """Paint and encode one frame.

        Raises:
            SinkError: the encoder or the file system refused; DiskFullError when the volume is full.
        """
        planes = self._writer.canvas(tracks.frame)
        self._annotator.draw(tracks, planes)
        self._writer.write(tracks.frame)

    def close(self) -> None:
        """Complete the file. Idempotent.

        Raises:
            SinkError: no frame was written, or as `write`.
        """
        self._writer.close()

    def abort(self) -> None:
        """Remove the file unless it is complete; never raises. Idempotent."""
        self._writer.abort()
