"""One result of a camera while it grows: the annotated video, the rows, and at the end the manifest."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from tilewatch.sinks.base import class_name
from tilewatch.sinks.manifest import Accounts, InputRecord, Manifest, Timings, settings_values
from tilewatch.sinks.tally import Tally
from tilewatch.telemetry import log
from tilewatch.telemetry.progress import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.detector import Detector
    from tilewatch.records import Frame, StreamInfo, Tracks
    from tilewatch.settings import DrawSettings
    from tilewatch.sinks.base import Sink
    from tilewatch.sinks.result import ResultFolder
    from tilewatch.telemetry.streams import StreamMetrics

GAP_SECONDS = 2.0
"""Time without a picture from which on a person is told of it."""
NANOSECONDS = 1e9

logger = log.logger("camera")


class Recording:
    """One result, from its first frame to its last. Blocking; not thread-safe.

    Frames are numbered as the video shows them, from 0; times are Unix time.

    Args:
        detector: whose sinks and settings are used.
        info: of the camera, as it is connected now.
        folder: where the result appears.
        first: the first frame.
        metrics: of the camera.
    """

    def __init__(
        self, detector: Detector, info: StreamInfo, folder: ResultFolder, first: Frame, metrics: StreamMetrics
    ) -> None:
        self.lost: Counter[str] = Counter()
        """Frames of this stretch of time that were not written, by reason."""
        self._detector = detector
        self._settings = detector.settings
        self._info = replace(info, start_pts=first.pts)
        self._folder = folder
        self._metrics = metrics
        self._begin = self._end = first.seconds
        self._gaps = 0
        self._gap_seconds = 0.0
        self._changed = False
        self._tally = Tally()
        self._videos = detector.video(self._info, folder)
        self._sinks: Sequence[Sink] = [*self._videos, *detector.rows(self._info, folder)]

    @property
    def frames(self) -> int:
        """Frames written so far."""
        return self._tally.frames

    @property
    def begin(self) -> float:
        """Time of the first frame, Unix seconds."""
        return self._begin

    def apply(self, draw: DrawSettings) -> None:
        """Go on with other settings."""
        self._changed = True
        self._settings = self._detector.settings
        for video in self._videos:
            video.redraw(draw)

    def write(self, tracks: Tracks) -> None:
        """Take one frame's result.

        Raises:
            SinkError: the encoder or the file system refused; DiskFullError when the volume is full.
        """
        numbered = replace(tracks, frame=replace(tracks.frame, index=self._tally.frames))
        for sink in self._sinks:
            sink.write(numbered)
        self._count(tracks)

    def complete(self) -> Outcome:
        """Let the result appear; raises as `write`."""
        for sink in self._sinks:
            sink.close()
        warnings = tuple(self._warnings())
        self._manifest(warnings).write(self._folder.path("manifest"))
        self._folder.commit()
        shown = self._folder.final("video" if self._videos else "manifest")
        return Outcome(
            input=self._info.stream,
            status="complete",
            output=str(shown),
            frames=self.frames,
            tracks=self._tally.track_count,
            seconds=round(self._end - self._begin, 3),
            warnings=warnings,
        )

    def abort(self) -> None:
        """Remove everything that was written; never raises. Idempotent."""
        for sink in self._sinks:
            sink.abort()
        self._folder.discard()

    def _count(self, tracks: Tracks) -> None:
        frame, count = tracks.frame, tracks.count
        waited = (time.monotonic_ns() - frame.captured_ns) / NANOSECONDS
        boxes = {outcome: getattr(count, outcome) for outcome in ("kept", "merged", "suppressed")}
        names = self._detector.engine.info.names
        classes = {class_name(names, label): number for label, number in self._tally.add(tracks).items()}
        self._metrics.written(waited, boxes, tracks.looks.outcomes(), classes)
        gap, self._end = frame.seconds - self._end, frame.seconds
        if gap > GAP_SECONDS:
            self._gaps += 1
            self._gap_seconds += gap

    def _warnings(self) -> list[str]:
        """Return what a person must know of this result."""
        said = [text for video in self._videos for text in video.warnings]
        if self._gaps:
            said.append(f"no pictures for {self._gap_seconds:.1f} s in all, {self._gaps} times")
        if self._changed:
            said.append("settings were changed while it was recorded: the manifest has the last ones")
        return said + [f"{count} frames were left out: {reason}" for reason, count in sorted(self.lost.items())]

    def _manifest(self, warnings: tuple[str, ...]) -> Manifest:
        engine = self._detector.engine.info
        seconds = self._end - self._begin
        source = InputRecord(
            name=self._info.stream, size=0, fingerprint="", info=replace(self._info, duration_seconds=seconds)
        )
        return Manifest(
            status="complete",
            truncated=False,
            warnings=warnings,
            source=source,
            engine=engine,
            decoder=self._info.decoder,
            encoder=next((video.codec for video in self._videos), None),
            settings=settings_values(self._settings),
            accounts=self._accounts(),
            timings=Timings(started_at=_moment(self._begin), wall_seconds=seconds, stages={}),
            tracks={class_name(engine.names, label): count for label, count in self._tally.tracks.items()},
            outputs=self._folder.outputs(),
        )

    def _accounts(self) -> Accounts:
        return Accounts(
            frames_in=self.frames + self.lost.total(),
            frames_written=self.frames,
            frames_skipped=self.lost,
            boxes=self._tally.boxes,
            tiles=self._tally.tiles,
        )


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
