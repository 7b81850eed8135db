"""One result of a camera while it grows: the annotated video, the rows, and at the end the manifest."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from tilewatch.errors import SinkError
from tilewatch.jobs import checkpoint
from tilewatch.service.account import Account
from tilewatch.service.card import Card
from tilewatch.sinks.base import class_name
from tilewatch.sinks.disk import writing
from tilewatch.sinks.manifest import settings_values
from tilewatch.telemetry.progress import Outcome
from tilewatch.workspace import Segmentation, Workspace

if TYPE_CHECKING:
    from collections import Counter

    from tilewatch.detector import Detector
    from tilewatch.records import Frame, StreamInfo, Tracks
    from tilewatch.service.lastid import LastId
    from tilewatch.settings import DrawSettings
    from tilewatch.sinks.result import ResultFolder
    from tilewatch.telemetry.streams import StreamMetrics

IDENTITY = "recording"
"""Of the checkpoints: what was recorded counts whatever the settings are by now, since it cannot be done again."""
NO_STATE = b""
"""Of the track stage: nothing goes on from a checkpoint of a camera but its ids."""
NANOSECONDS = 1e9


class Recording:
    """One result, from its first frame to its last. Blocking; not thread-safe.

    Frames are numbered as the video shows them, from 0; times are Unix time. What was written up to the last checkpoint
    is completed by `salvage` if this process does not live to do it.

    Args:
        detector: whose sinks and settings are used.
        info: of the camera, as it is connected now.
        folder: where the result appears.
        first: the first frame.
        metrics: of the camera.
        ids: of the camera.
    """

    def __init__(  # noqa: PLR0913, PLR0917 what a recording is made with
        self,
        detector: Detector,
        info: StreamInfo,
        folder: ResultFolder,
        first: Frame,
        metrics: StreamMetrics,
        ids: LastId,
    ) -> None:
        info = replace(info, start_pts=first.pts)
        self._detector = detector
        self._folder = folder
        self._metrics = metrics
        self._ids = ids
        self._account = Account(first.seconds)
        self._card = _card(folder.final("manifest").parent.name, info, detector)
        self._spans = Segmentation(info, detector.settings.checkpoint.seconds)
        workspace = Workspace(folder.work, IDENTITY)
        self._card.save(folder.work)
        self._saved = self._card
        self._durable = workspace.sink(detector.segmented(info, folder, folder.work), lambda: self.lost)
        self._sinks = [self._durable, *detector.rows(info, folder)]

    @property
    def frames(self) -> int:
        """Frames written so far."""
        return self._account.tally.frames

    @property
    def begin(self) -> float:
        """Time of the first frame, Unix seconds."""
        return self._account.begin

    @property
    def lost(self) -> Counter[str]:
        """Frames of this stretch of time that were not written, by reason."""
        return self._account.lost

    @lost.setter
    def lost(self, counts: Counter[str]) -> None:
        self._account.lost = counts

    def apply(self, draw: DrawSettings) -> None:
        """Go on with other settings."""
        self._card = replace(self._card, settings=settings_values(self._detector.settings), changed=True)
        self._durable.apply(IDENTITY, draw)

    def write(self, tracks: Tracks) -> None:
        """Take one frame's result; a checkpoint is made before it when it is time.

        Raises:
            SinkError: the encoder or the file system refused; DiskFullError when the volume is full.
        """
        due = self._spans.begins(tracks.frame)
        if due:
            self._vouch()
        self._ids.see(tracks.track_id)
        frame = replace(tracks.frame, index=self.frames)
        numbered = replace(tracks, frame=frame, before=NO_STATE if due else None)
        for sink in self._sinks:
            sink.write(numbered)
        self._count(tracks)

    def complete(self) -> Outcome:
        """Let the result appear; raises as `write`, and what was written can be completed all the same."""
        self._vouch()
        self._durable.suspend(NO_STATE)
        for sink in self._sinks:
            sink.close()
        encoder, account = self._durable.codec, self._account
        warnings = account.warnings(self._durable.warnings, self._card)
        manifest = account.manifest(self._card, self._folder, status="complete", warnings=warnings, encoder=encoder)
        manifest.write(self._folder.path("manifest"))
        self._folder.commit()
        shown = self._folder.final("video" if encoder else "manifest")
        return Outcome(
            input=self._card.info.stream,
            status="complete",
            output=str(shown),
            frames=self.frames,
            tracks=account.tally.track_count,
            seconds=round(account.seconds, 3),
            warnings=warnings,
        )

    def abort(self, reason: str) -> bool:
        """Give the result up, and tell whether something of it is left to be completed; never raises.

        Args:
            reason: why, in a few words; empty: it is not known.
        """
        for sink in self._sinks:
            sink.abort()
        kept = (self._folder.work / checkpoint.FILE).exists()
        if kept:
            with suppress(SinkError):  # a volume that is full does not take the reason either
                replace(self._card, ended=reason).save(self._folder.work)
            self._folder.leave()
        else:
            self._folder.discard()
        return kept

    def _vouch(self) -> None:
        """Keep what has to be known before a checkpoint may count; raises as `write`."""
        self._ids.save()
        with writing(self._folder.work):
            checkpoint.keep(self._folder.work)
        if self._card is not self._saved:
            self._card.save(self._folder.work)
            self._saved = self._card

    def _count(self, tracks: Tracks) -> None:
        frame, count = tracks.frame, tracks.count
        waited = (time.monotonic_ns() - frame.captured_ns) / NANOSECONDS
        boxes = {outcome: getattr(count, outcome) for outcome in ("kept", "merged", "suppressed")}
        names = self._card.engine.names
        classes = {class_name(names, label): number for label, number in self._account.count(tracks).items()}
        self._metrics.written(waited, boxes, tracks.looks.outcomes(), classes)


def _card(name: str, info: StreamInfo, detector: Detector) -> Card:
    settings = detector.settings
    return Card(
        name=name,
        info=info,
        engine=detector.engine.info,
        settings=settings_values(settings),
        formats=settings.output.formats,
        tracking=settings.tracking.enable_tracking,
    )
