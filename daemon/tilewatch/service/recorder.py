"""Cuts what is seen of a camera into results, by the clock: OUTPUT_DIR/<camera>/<first frame's time>/."""

from __future__ import annotations

from collections import Counter, deque
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from tilewatch.errors import ConfigError, FrameError, SinkError, TilewatchError
from tilewatch.service import places
from tilewatch.service.recording import Recording
from tilewatch.sinks.result import NAMES, ResultFolder
from tilewatch.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from tilewatch.detector import Detector
    from tilewatch.records import Frame, StreamInfo, Tracks
    from tilewatch.service.lastid import LastId
    from tilewatch.settings import DrawSettings
    from tilewatch.telemetry.streams import StreamMetrics

DROPPED = "dropped"
"""Why a frame is missing that nobody took in time, or that was on its way when the writing failed."""

logger = log.logger("camera")


class Recorder:
    """The sink of a camera, over all its connections. Blocking; used from one lane, `skipped` from anywhere.

    Every frame that was decoded is written, or counted in the result of its stretch of time: its index tells.

    Args:
        name: of the camera.
        detector: whose sinks and settings are used.
        metrics: of the camera.
        next_index: of the first frame that will come.
        ids: of the camera.
    """

    def __init__(self, name: str, detector: Detector, metrics: StreamMetrics, next_index: int, ids: LastId) -> None:
        self._ids = ids
        self._name = name
        self._detector = detector
        self._metrics = metrics
        self._folder = detector.settings.path.output_dir / name
        self._info: StreamInfo | None = None
        self._open: Recording | None = None
        self._next_index = next_index
        self._told: deque[tuple[str, str]] = deque()
        self._skipped: Counter[str] = Counter()

    def connected(self, info: StreamInfo) -> None:
        """Take what is known of the camera now; a result that is open goes on."""
        self._info = info

    def skipped(self, stage: str) -> Callable[[FrameError], None]:
        """Return what a stage calls for a frame it had to skip."""

        def count(error: FrameError) -> None:
            self._metrics.skipped(stage)
            self._told.append((stage, error.reason))

        return count

    def apply(self, draw: DrawSettings) -> None:
        """Take over other settings."""
        if self._open:
            self._open.apply(draw)

    def write(self, tracks: Tracks) -> None:
        """Take one frame's result; the first one past the end of a stretch begins a new one.

        Raises:
            SinkError: the encoder or the file system refused; DiskFullError when the volume is full.
        """
        self.complete_if_due(tracks.frame.seconds)
        recording = self._open = self._open or self._begin(tracks.frame)
        self._account(recording, tracks.frame.index - self._next_index)
        self._next_index = tracks.frame.index + 1
        recording.write(tracks)

    def complete_if_due(self, now: float) -> None:
        """Let the open result appear if its time is over; raises as `write`. `now` is Unix seconds."""
        if self._open and now - self._open.begin >= self._detector.settings.source.segment_seconds:
            self.close()

    def close(self) -> None:
        """Let the open result appear, if there is one; raises as `write`. More may be written."""
        if self._open is None:
            return
        self._account(self._open, 0)
        outcome = self._open.complete()
        logger.info(
            "segment_done",
            stream=self._name,
            output=outcome.output,
            frames=outcome.frames,
            tracks=outcome.tracks,
            seconds=outcome.seconds,
            lost=dict(self._open.lost),
        )
        self._open = None

    def abort(self, reason: str = "") -> None:
        """Give up the open result, if there is one; never raises. More may be written.

        What its checkpoints hold is completed later.

        Args:
            reason: why, in a few words; empty: it is not known.
        """
        if self._open is not None:
            frames, kept = self._open.frames, self._open.abort(reason)
            logger.error("segment_given_up", stream=self._name, frames=frames, recoverable=kept)
            self._open = None

    def _begin(self, first: Frame) -> Recording:
        assert self._info is not None  # noqa: S101 a frame comes of a connection
        self._ids.save()
        try:
            folder = self._free_folder(first.seconds)
            try:
                return Recording(self._detector, self._info, folder, first, self._metrics, self._ids)
            except TilewatchError:
                folder.discard()
                raise
        except ConfigError as error:  # a place or an encoder that does not do is no reason to end the service
            raise SinkError(str(error)) from error

    def _free_folder(self, seconds: float) -> ResultFolder:
        """Return a folder named by a time; what is there already stays."""
        if (self._folder / NAMES["manifest"]).exists():
            raise SinkError(f"{self._folder}: is the result of a video: give the camera another name in SOURCES")
        moment = datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H-%M-%SZ")
        return ResultFolder.for_directory(self._folder, places.free_name(self._folder, moment))

    def _account(self, recording: Recording, missing: int) -> None:
        """Find reasons for frames that are missing before the one at hand: skipped by a stage, or dropped."""
        with suppress(IndexError):
            while True:
                stage, reason = self._told.popleft()
                (recording.lost if stage == "decode" else self._skipped)[reason] += 1
        for reason in list(self._skipped):
            found = min(missing, self._skipped[reason])
            recording.lost[reason] += found
            self._skipped[reason] -= found
            missing -= found
        recording.lost[DROPPED] += missing
        recording.lost, self._skipped = +recording.lost, +self._skipped
