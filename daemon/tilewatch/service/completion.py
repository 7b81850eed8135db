"""A result of a camera made of what its checkpoints hold: the segments are joined, and the journal tells the rows."""

from __future__ import annotations

from collections import Counter
from contextlib import closing, suppress
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from tilewatch.detector import row_sinks
from tilewatch.errors import DiskFullError, SinkError, TilewatchError
from tilewatch.records import Frame
from tilewatch.service.account import Account
from tilewatch.sinks.journal import entries
from tilewatch.sinks.segments import Segment, join
from tilewatch.telemetry import log
from tilewatch.telemetry.progress import Outcome
from tilewatch.video.source import VideoSource
from tilewatch.workspace import JOURNAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tilewatch.jobs.checkpoint import Checkpoint
    from tilewatch.records import Tracks
    from tilewatch.service.card import Card
    from tilewatch.sinks.result import ResultFolder

DIED = "the process that recorded it ended before it was complete"
GREY = np.full((2, 2), 128, np.uint8)

logger = log.logger("camera")


class NothingLeftError(TilewatchError):
    """A recording has no checkpoint of which a result could be made."""


class Completion:
    """Makes one result. Blocking.

    Args:
        folder: where it appears, with the work of which it is made.
        card: what must be known of it.
        point: its last checkpoint.
        max_pixels: largest picture that is decoded.
        go_on: is called before every frame; what it raises ends the work.
    """

    def __init__(
        self, folder: ResultFolder, card: Card, point: Checkpoint, max_pixels: int, go_on: Callable[[], None]
    ) -> None:
        self._folder = folder
        self._card = card
        self._point = point
        self._max_pixels = max_pixels
        self._go_on = go_on

    def run(self) -> Outcome:
        """Let the result appear, up to the last checkpoint that holds.

        Raises:
            NothingLeftError: none does.
            StreamError, FrameError: it cannot be made.
            ConfigError: something that is not ours has taken its place.
        """
        said: Sequence[str] = ()
        frames = min(self._point.next_index, _entries_held(self._folder, self._point))
        if self._point.codec:
            frames, said = self._video(frames)
        if not frames:
            raise NothingLeftError("what its checkpoints speak of is damaged")
        return self._complete(frames, said)

    def _video(self, most: int) -> tuple[int, Sequence[str]]:
        """Join the segments that hold, with so many frames at most; return their frames, and what the joining said."""
        segments = [Segment(name=name, frames=frames, first_pts=pts) for name, frames, pts in self._point.segments]
        while segments:
            frames = sum(segment.frames for segment in segments)
            if frames <= most and (said := self._joined(segments)) is not None:
                return frames, said
            segments.pop()
        return 0, ()

    def _joined(self, segments: Sequence[Segment]) -> Sequence[str] | None:
        """Join segments and return what a person must know of the video; None: one of them is damaged."""
        try:
            return join(self._folder.work, self._card.info, segments, self._folder.path("video"), self._go_on)
        except DiskFullError:
            raise
        except SinkError as error:
            logger.warning("checkpoint_damaged", stream=self._card.info.stream, error=str(error))
            return None

    def _complete(self, frames: int, said: Sequence[str]) -> Outcome:
        card, encoder = self._card, self._point.codec or None
        account = self._rows(frames)
        warnings = (f"ended early: {card.ended or DIED}", *account.warnings(said, card))
        manifest = account.manifest(card, self._folder, status="interrupted", warnings=warnings, encoder=encoder)
        manifest.write(self._folder.path("manifest"))
        self._folder.commit()
        return Outcome(
            input=card.info.stream,
            status="interrupted",
            output=str(self._folder.final("video" if encoder else "manifest")),
            frames=frames,
            tracks=account.tally.track_count,
            seconds=round(account.seconds, 3),
            warnings=warnings,
        )

    def _rows(self, frames: int) -> Account:
        """Write the rows of so many frames, and return what is to be told of them."""
        card = self._card
        sinks = row_sinks(card.formats, card.context, self._folder, model=card.engine.model_path)
        account = Account(float(card.info.start_pts * card.info.time_base))
        account.lost = Counter(self._point.skips)
        try:
            for tracks in self._journal(frames):
                self._go_on()
                account.count(tracks)
                for sink in sinks:
                    sink.write(tracks)
            for sink in sinks:
                sink.close()
        finally:
            for sink in sinks:
                sink.abort()
        return account

    def _journal(self, frames: int) -> Iterator[Tracks]:
        """Yield the results of the first frames, with one picture for all."""
        picture = self._picture()
        for entry in islice(entries(self._folder.work / JOURNAL, self._point.journal_bytes), frames):
            frame = replace(picture, index=entry.index, pts=entry.pts, width=entry.width, height=entry.height)
            yield entry.tracks(frame)

    def _picture(self) -> Frame:
        """Return the first picture of the video, or a grey one where there is none or nobody wants it."""
        video, blank = self._folder.path("video"), _blank(self._card)
        if "overview" not in self._card.formats or not video.exists():
            return blank
        with closing(VideoSource(video, max_pixels=self._max_pixels)) as source:
            source.open()
            return replace(source.read() or blank, time_base=blank.time_base)


def _entries_held(folder: ResultFolder, point: Checkpoint) -> int:
    """Return how many frames of the journal can be read."""
    count = 0
    with suppress(SinkError):
        for _ in entries(folder.work / JOURNAL, point.journal_bytes):
            count += 1
    return count


def _blank(card: Card) -> Frame:
    return Frame(
        stream=card.info.stream,
        index=0,
        pts=0,
        time_base=card.info.time_base,
        captured_ns=0,
        width=card.info.width,
        height=card.info.height,
        y=GREY,
        u=GREY[:1, :1],
        v=GREY[:1, :1],
        full_range=False,
        matrix="bt709",
        keyframe=True,
    )
