"""A video's folder of work: what is done of it survives a crash, and another process goes on from there."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

from tilewatch.errors import FrameError, InputError
from tilewatch.jobs import checkpoint
from tilewatch.jobs.checkpoint import Checkpoint
from tilewatch.sinks.disk import sync, writing
from tilewatch.sinks.journal import JournalSink, entries
from tilewatch.sinks.manifest import versions
from tilewatch.sinks.segments import Segment
from tilewatch.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tilewatch.engines.base import EngineInfo
    from tilewatch.records import Frame, StreamInfo, Tracks
    from tilewatch.settings import DrawSettings, Settings
    from tilewatch.sinks.base import Sink
    from tilewatch.sinks.segments import SegmentedVideoSink
    from tilewatch.video.source import VideoSource

JOURNAL = "journal"
FRAMES_AT_ONCE = 32
"""Frames replayed in one step, between which a stop is noticed."""

logger = log.logger("workspace")
SHAPING = ("model", "batch", "detect", "tile", "tracking", "track", "output", "video", "draw", "limit", "checkpoint")
"""Sections of settings that change a result."""


def identity(fingerprint: str, settings: Settings, engine: EngineInfo) -> str:
    """Return a hash of everything that must be the same for two halves of a result to fit."""
    sections = settings.model_dump(mode="json", include=set(SHAPING))
    facts = [fingerprint, sections, engine.model_sha256, engine.backend, engine.precision, engine.device, versions()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


class Segmentation:
    """Tells where segments begin: at the first frame of every span of so many seconds of the video's own time."""

    def __init__(self, info: StreamInfo, seconds: float) -> None:
        self._start = info.start_pts
        self._tick = info.time_base
        self._seconds = seconds
        self._current: int | None = None

    def begins(self, frame: Frame) -> bool:
        """Return whether this frame, asked for in order, is the first of its segment."""
        number = int((frame.pts - self._start) * self._tick / self._seconds)
        begun, self._current = number != self._current, number
        return begun


class Workspace:
    """One video's folder. Blocking.

    Args:
        folder: made if absent; what is in it counts if it is of the same identity, and is removed otherwise.
        identity: see `identity`.

    Raises:
        SinkError: the file system refused; DiskFullError when the volume is full.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder = folder
        self.checkpoint = self._usable(checkpoint.load(folder, identity))
        """From where to go on; None: from the beginning."""
        self._identity = identity
        with writing(folder):
            if self.checkpoint is None:
                shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)

    def sink(self, video: SegmentedVideoSink | None, skips: Callable[[], Mapping[str, int]]) -> DurableSink:
        """Return the sink that keeps what is done; `skips` tells the frames skipped so far by reason."""
        length = self.checkpoint.journal_bytes if self.checkpoint else 0
        return DurableSink(self.folder, self._identity, JournalSink(self.folder / JOURNAL, length), video, skips)

    def remove(self) -> None:
        """Delete the folder; never raises. Idempotent."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _usable(self, found: Checkpoint | None) -> Checkpoint | None:
        """Return the checkpoint if what it speaks of is there."""
        if found is None:
            return None
        journal = self.folder / JOURNAL
        segments = [self.folder / name for name, _, _ in found.segments]
        if all(path.is_file() for path in (journal, *segments)) and journal.stat().st_size >= found.journal_bytes:
            return found
        logger.warning("work_incomplete", folder=str(self.folder))
        return None


class DurableSink:
    """Keeps results and encoded pictures; where a segment begins, all before it is on the disk.

    Made by `Workspace.sink`.
    """

    def __init__(
        self,
        folder: Path,
        identity: str,
        journal: JournalSink,
        video: SegmentedVideoSink | None,
        skips: Callable[[], Mapping[str, int]],
    ) -> None:
        self._folder = folder
        self._identity = identity
        self._journal = journal
        self._video = video
        self._skips = skips
        self._grown = False
        self._next_index = 0

    @property
    def warnings(self) -> Sequence[str]:
        """What a person must know of the video, one line each; complete after `close`."""
        return self._video.warnings if self._video else ()

    @property
    def codec(self) -> str | None:
        """The encoder in use, in FFmpeg's words; None where no video is made."""
        return self._video.codec if self._video else None

    def write(self, tracks: Tracks) -> None:
        """Take one frame's result.

        Raises:
            SinkError: the encoder or the file system refused; DiskFullError when the volume is full.
        """
        if tracks.before is not None:
            self._save(tracks.before, tracks.frame.index)
        if self._video:
            self._video.write(tracks)
        self._journal.write(tracks)
        self._next_index = tracks.frame.index + 1
        self._grown = True

    def suspend(self, state: bytes) -> None:
        """Keep all that was written; `state` is that of the track stage after it. Raises as `write`."""
        self._save(state, self._next_index)

    def close(self) -> None:
        """Join the segments to the video; raises as `write`. Idempotent."""
        self._journal.close()
        if self._video:
            self._video.close()

    def abort(self) -> None:
        """Let go of what is open; what was kept stays. Never raises. Idempotent."""
        self._journal.abort()
        if self._video:
            self._video.abort()

    def apply(self, identity: str, draw: DrawSettings) -> None:
        """Go on with other settings, under the identity that these give."""
        self._identity = identity
        if self._video:
            self._video.redraw(draw)

    def resume(self, first: Frame, point: Checkpoint) -> None:
        """Go on behind a checkpoint of the video whose first frame is given."""
        if self._video:
            segments = [Segment(name=name, frames=frames, first_pts=pts) for name, frames, pts in point.segments]
            self._video.resume(first, segments, point.codec)

    def remember(self, tracks: Tracks) -> None:
        """Take a frame that was kept before."""
        if self._video:
            self._video.remember(tracks)

    def _save(self, state: bytes, next_index: int) -> None:
        if not self._grown:
            return
        if self._video:
            self._video.cut()
        self._journal.sync()
        segments = [(part.name, part.frames, part.first_pts) for part in (self._video.segments if self._video else ())]
        with writing(self._folder):
            if segments:
                sync(self._folder / segments[-1][0])
            Checkpoint(
                identity=self._identity,
                next_index=next_index,
                journal_bytes=self._journal.length,
                segments=segments,
                codec=self._video.codec if self._video else "",
                state=state,
                skips=dict(self._skips()),
            ).save(self._folder)
        self._grown = False
        logger.debug("checkpoint_saved", folder=str(self._folder), frames=next_index)


class Replay:
    """Brings a new process to a checkpoint: the source is decoded up to it, the journal stands in for the rest.

    Decoding again costs little beside inference, and keeps everything exact that the decoder counts.

    Args:
        source: open, no frame read yet.
        point: the checkpoint.
        folder: of the work.
        durable: the sink that goes on behind the checkpoint.
        others: sinks that are told all frames anew.
    """

    def __init__(
        self, source: VideoSource, point: Checkpoint, folder: Path, durable: DurableSink, others: Sequence[Sink]
    ) -> None:
        self._source = source
        self._point = point
        self._durable = durable
        self._others = others
        self._entries = entries(folder / JOURNAL, point.journal_bytes)
        self._entry = next(self._entries, None)

    def step(self, on_damaged: Callable[[FrameError], None]) -> int:
        """Replay some frames and return how many; 0 at the checkpoint. Blocking.

        Raises:
            InputError: the source ends before it.
            SinkError: a sink refused.
        """
        count = 0
        while count < FRAMES_AT_ONCE and self._source.decoded < self._point.next_index:
            try:
                frame = self._source.read()
            except FrameError as error:
                on_damaged(error)
                continue
            if frame is None:
                raise InputError(f"{self._source.path}: has become shorter while it was worked on: copy it again")
            self._take(frame)
            count += 1
        return count

    def _take(self, frame: Frame) -> None:
        if frame.index == 0:
            self._durable.resume(frame, self._point)
        if self._entry is None or self._entry.index != frame.index:
            return  # was skipped behind the decoder
        tracks = self._entry.tracks(frame)
        self._entry = next(self._entries, None)
        self._durable.remember(tracks)
        for sink in self._others:
            sink.write(tracks)
