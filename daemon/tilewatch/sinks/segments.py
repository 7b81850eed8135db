"""annotated.mp4 in segments: what is cut survives a crash, and the video is joined of it at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from tilewatch.video.encoder import SOFTWARE
from tilewatch.video.probe import pick_encoder
from tilewatch.video.segments import Segment, SegmentedWriter, join

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from tilewatch.records import U8, Frame, Tracks
    from tilewatch.settings import DrawSettings, VideoSettings
    from tilewatch.sinks.base import SinkContext

    Planes: TypeAlias = tuple[U8, U8, U8]

__all__ = ["Segment", "SegmentedVideoSink", "join"]


class Painter(Protocol):
    """Draws one frame's result."""

    def draw(self, tracks: Tracks, planes: Planes) -> None:
        """Draw on y (H, W), u and v (ceil(H/2), ceil(W/2)) uint8 in place."""

    def remember(self, tracks: Tracks) -> None:
        """Take a frame that was drawn before."""

    def apply(self, settings: DrawSettings) -> None:
        """Draw in another way from now on."""


class SegmentedVideoSink:
    """Encodes every frame once it is painted on; the decoder's own planes stay as they are.

    Args:
        path: of the joined video.
        folder: of the segments.
        shown: is given every frame with its painted planes; None: nobody is.

    Raises:
        ConfigError: the encoder named in the settings does not work here.
    """

    def __init__(  # noqa: PLR0913 what a video is made with
        self,
        path: Path,
        folder: Path,
        context: SinkContext,
        annotator: Painter,
        settings: VideoSettings,
        *,
        shown: Callable[[Frame, Planes], None] | None = None,
    ) -> None:
        self._shown = shown
        self._path = path
        self._joined = False
        self._annotator = annotator
        self._writer = SegmentedWriter(
            folder,
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

    @property
    def segments(self) -> Sequence[Segment]:
        """Those that are complete."""
        return self._writer.segments

    def resume(self, first: Frame, segments: Iterable[Segment], codec: str) -> None:
        """Go on behind the segments of an earlier process, whose first frame was `first`."""
        self._writer.resume(first, segments, codec)

    def remember(self, tracks: Tracks) -> None:
        """Take a frame that one of those segments shows."""
        self._annotator.remember(tracks)

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
        if self._shown:
            self._shown(tracks.frame, planes)
        self._writer.write(tracks.frame)

    def cut(self) -> None:
        """Complete the open segment; raises as `write`."""
        self._writer.cut()

    def close(self) -> None:
        """Join the segments. Idempotent.

        Raises:
            SinkError: no frame was written, or as `write`.
        """
        if not self._joined:
            self._writer.join(self._path)
            self._joined = True

    def abort(self) -> None:
        """Remove the segment that is open; never raises. Idempotent."""
        self._writer.abort()
