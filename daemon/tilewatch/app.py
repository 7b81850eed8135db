"""`run`: videos named on the command line, each to its result; the place where the parts of a run come together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvloop

from tilewatch.detector import open_detector
from tilewatch.errors import StreamError, UsageError
from tilewatch.flow.backports import BaseExceptionGroup, TaskGroup
from tilewatch.flow.shutdown import Shutdown
from tilewatch.flow.supervisor import verdict
from tilewatch.job import Session, VideoJob
from tilewatch.sinks.destinations import destinations, discard
from tilewatch.telemetry import log, metrics
from tilewatch.telemetry.progress import Outcome, ProgressReport

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tilewatch.detector import Detector
    from tilewatch.settings import Settings
    from tilewatch.sinks.result import ResultFolder

EXIT_STOPPED = 75

logger = log.logger("app")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What is asked of one run beside the settings."""

    max_frames: int | None = None
    """Stop after so many frames of each video."""
    profile: bool = False
    """Print where the time went."""


def run(inputs: Sequence[Path], output: Path, settings: Settings, options: RunOptions) -> int:
    """Process videos and return the exit code: that of the first one that failed, 75 when stopped, else 0.

    Raises:
        ProcessError: nothing could be processed: the settings, the model or the output do not do.
    """
    log.configure(settings.log)
    if settings.limit.streams > 1 and settings.track.id_scope == "camera":
        raise UsageError("TRACK_ID_SCOPE=camera: one segment follows the other: leave MAX_STREAMS at 1")
    folders = destinations(inputs, output)
    try:
        return uvloop.run(process(folders, settings, options))
    finally:
        discard(folders)


async def process(folders: Mapping[Path, ResultFolder], settings: Settings, options: RunOptions) -> int:
    """Process videos, each to its folder, and return the exit code; raises as `run`."""
    return await _Run(folders, settings, options).complete()


class _Run:
    """The videos of one call."""

    def __init__(self, folders: Mapping[Path, ResultFolder], settings: Settings, options: RunOptions) -> None:
        self._folders = folders
        self._settings = settings
        self._options = options
        self._shutdown = Shutdown(settings.service.drain_seconds)
        self._progress = ProgressReport()
        self._outcomes: dict[Path, Outcome] = {}

    async def complete(self) -> int:
        """Process all videos and return the exit code."""
        with self._progress:
            await self._process_all()
        if self._shutdown.requested:
            left = len(self._folders) - len(self._outcomes)
            logger.warning("run_stopped", drained=not self._shutdown.expired, videos_left=left)
            return EXIT_STOPPED
        codes = (self._outcomes[path].exit_code for path in self._folders)
        return next((code for code in codes if code), 0)

    async def _process_all(self) -> None:
        """Process one video after the other, or several at once, until a stop is asked for."""
        waiting = iter(self._folders.items())
        session = Session(self._shutdown.stop, self._progress, max_frames=self._options.max_frames)
        try:
            async with (
                self._shutdown.guard(),
                open_detector(self._settings, metrics.create()) as detector,
                TaskGroup() as group,
            ):
                for number in range(min(self._settings.limit.streams, len(self._folders))):
                    group.create_task(self._work(detector, session, waiting), name=f"videos-{number}")
        except BaseExceptionGroup as group_error:
            raise verdict(group_error) from group_error

    async def _work(self, detector: Detector, session: Session, waiting: Iterator[tuple[Path, ResultFolder]]) -> None:
        """Take the next video until none is left."""
        for path, folder in waiting:
            if self._shutdown.requested:
                return
            job = VideoJob(detector, session, path, folder)
            outcome = self._outcomes[path] = await self._outcome(job)
            self._progress.finish(outcome)
            if self._options.profile and job.report:
                self._progress.stages(job.report.stage_rows(), outcome.seconds, job.report.tiles)

    async def _outcome(self, job: VideoJob) -> Outcome:
        """Process one video; a failure that is only its own becomes its outcome."""
        try:
            return await job.run()
        except StreamError as error:
            return self._failure(job, error)

    def _failure(self, job: VideoJob, error: StreamError) -> Outcome:
        """Return the outcome of a video that gave no result; one stopped before its first frame has not failed."""
        if self._shutdown.requested and not (job.report and job.report.frames):
            return Outcome(input=str(job.path), status="interrupted")
        logger.error("video_failed", input=str(job.path), reason=error.reason, error=str(error))
        return Outcome(input=str(job.path), status="failed", exit_code=error.exit_code, error=str(error))
