"""Takes one job after the other and sees each to its end, whatever that is."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tilewatch.errors import ConfigError, DiskFullError, StreamError
from tilewatch.flow.backports import BaseExceptionGroup, TaskGroup, timeout
from tilewatch.flow.supervisor import verdict
from tilewatch.job import VideoJob
from tilewatch.service import places
from tilewatch.service.desk import LEASE_SECONDS
from tilewatch.sinks.manifest import settings_values
from tilewatch.sinks.result import ResultFolder
from tilewatch.telemetry import log
from tilewatch.telemetry.rate import Rate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tilewatch.detector import Detector
    from tilewatch.flow.lane import Lane
    from tilewatch.job import Session
    from tilewatch.jobs.store import Job
    from tilewatch.service.desk import Desk
    from tilewatch.telemetry.progress import Outcome
    from tilewatch.telemetry.streams import Queue

BEAT_SECONDS = 5.0
assert BEAT_SECONDS < LEASE_SECONDS  # noqa: S101

logger = log.logger("service")


class JobCancelledError(StreamError):
    """The operator does not want the job any more."""

    reason = "cancelled"


class PlaceTakenError(StreamError):
    """The result would go where another one is being made."""

    reason = "place_taken"


class JobLostError(StreamError):
    """Another daemon has taken the job over, since this one did not keep its lease."""

    reason = "lost"


@dataclass(slots=True, eq=False)
class Running:
    """A job in work, as the status shows it; the progress of its video."""

    job: Job
    frames: int = 0
    total: int | None = None
    place: Path | None = None
    """Where its result appears; None before that is known."""
    video: VideoJob | None = None
    """None before it is open."""
    rate: Rate = field(default_factory=Rate)
    label: str = ""
    """In the metrics; empty before the video is open."""
    channels: Sequence[Queue] = ()

    def begin(self, name: str, total: int | None) -> Running:  # noqa: ARG002 it goes by its path
        """Take note that the video is open."""
        self.total = total
        return self

    def flow(self, label: str, channels: Sequence[Queue]) -> None:
        """Take note of its stream."""
        self.label, self.channels = label, channels

    def advance(self, frames: int = 1) -> None:
        """Take note that so many more frames are written."""
        self.frames += frames
        self.rate.count(frames)

    def end(self) -> None:
        """Nothing is shown any more once the job has ended."""


class Worker:
    """One of the places at which videos are worked on.

    Args:
        owner: its name in the ledger.
        desk: where jobs come from.
        detector: open and warm.
        session: shared with the other workers; each job gets its own progress in it.
        lane: for what blocks and is no part of a pipeline.
        running: where the job in work is shown.
    """

    def __init__(  # noqa: PLR0913, PLR0917 the parts of the service that it works with
        self, owner: str, desk: Desk, detector: Detector, session: Session, lane: Lane, running: dict[int, Running]
    ) -> None:
        self._owner = owner
        self._desk = desk
        self._detector = detector
        self._session = session
        self._lane = lane
        self._running = running
        self._watched = detector.settings.watch.watch_dir
        self._output = detector.settings.path.output_dir

    async def run(self) -> None:
        """Work until a stop is asked for; a job in work is then kept at its last frame.

        Raises:
            ProcessError: the engine failed.
        """
        while not self._session.stop.is_set():
            job = await self._claim()
            if job is None:
                await self._desk.rest()
            else:
                await self._see_through(job)

    async def _claim(self) -> Job | None:
        if not self._desk.open:
            return None
        try:
            return await self._desk.claim(self._owner)
        except StreamError as error:
            self._desk.close("output", str(error))
            return None

    async def _see_through(self, job: Job) -> None:
        """Work on a job and tell the desk how it ended."""
        logger.info("job_started", job=job.id, path=job.path, attempt=job.attempts)
        self._running[job.id] = running = Running(job)
        try:
            await self._conclude(job, running, await self._attempt(job, running))
        except PlaceTakenError:
            await self._desk.release(job, self._owner)
            await self._desk.rest()
        except JobCancelledError:
            logger.info("job_cancelled", job=job.id, path=job.path)
            await self._forget_work(job)
        except JobLostError as error:
            logger.warning("job_lost", job=job.id, error=str(error))
        except (StreamError, ConfigError) as error:
            await self._fail(job, error)
        except asyncio.CancelledError:
            await self._desk.release(job, self._owner)
            raise
        finally:
            del self._running[job.id]

    async def _attempt(self, job: Job, running: Running) -> Outcome | None:
        """Process the video; None where its result is there already.

        Raises:
            PlaceTakenError: an earlier content of the same file is still in work.
        """
        folder, name = await self._lane.call(places.place_of, job, self._watched, self._output)
        if any(other.place == folder / name for other in self._running.values()):
            raise PlaceTakenError(f"{folder / name}: is in work")
        running.place = folder / name
        if job.attempts > 1 and await self._lane.call(self._is_done, job, running.place):
            return None
        path = self._watched / job.path
        result = await self._lane.call(ResultFolder.for_directory, folder, name, source=path)
        try:
            session = replace(self._session, progress=running)
            running.video = VideoJob(self._detector, session, path, result, places.work_of(job, self._output))
            return await self._kept(job, running, running.video)
        finally:
            await self._lane.clean_up(result.discard)

    def _is_done(self, job: Job, result: Path) -> bool:
        settings, model = settings_values(self._detector.settings), self._detector.engine.info.model_sha256
        return places.is_done(job, result, settings, model)

    async def _is_done_after_all(self, job: Job) -> bool:
        """Tell whether the daemon from whom the job was taken over has completed it, which spoils our own attempt."""
        place = self._running[job.id].place
        return job.attempts > 1 and place is not None and await self._lane.call(self._is_done, job, place)

    async def _kept(self, job: Job, running: Running, video: VideoJob) -> Outcome:
        """Run a video while the ledger is told how far it is."""
        done = asyncio.Event()
        try:
            async with TaskGroup() as group:
                group.create_task(self._keep(job, running, done), name=f"lease-{job.id}")
                outcome = await video.run()
                done.set()
        except BaseExceptionGroup as group_error:
            raise verdict(group_error) from group_error
        return outcome

    async def _keep(self, job: Job, running: Running, done: asyncio.Event) -> None:
        """Renew the lease until the work is done.

        Raises:
            JobCancelledError, JobLostError: it is not ours any more.
        """
        while not done.is_set():
            answer = await self._desk.heartbeat(job, self._owner, running.frames, running.total)
            if answer == "cancelled":
                raise JobCancelledError(f"{job.path}: cancelled by the operator")
            if answer == "lost":
                raise JobLostError(f"{job.path}: taken over by another daemon")
            with suppress(TimeoutError):
                async with timeout(BEAT_SECONDS):
                    await done.wait()

    async def _conclude(self, job: Job, running: Running, outcome: Outcome | None) -> None:
        if outcome is not None and outcome.status == "suspended":
            await self._desk.release(job, self._owner)
            logger.info("job_suspended", job=job.id, path=job.path, frames=outcome.frames)
            return
        await self._desk.finish(job, self._owner, str(running.place))
        facts = {"frames": outcome.frames, "tracks": outcome.tracks, "seconds": outcome.seconds} if outcome else {}
        logger.info("job_done", job=job.id, path=job.path, output=str(running.place), **facts)

    async def _fail(self, job: Job, error: StreamError | ConfigError) -> None:
        """Set the job aside, or give it back where the fault is the output volume's and not its own."""
        if isinstance(error, DiskFullError):
            await self._give_back(job, "disk", error)
        elif not await self._lane.call(places.is_writable, self._output):
            await self._give_back(job, "output", error)
        elif self._session.stop.is_set() and not self._running[job.id].frames:
            await self._desk.release(job, self._owner)  # stopped before its first frame
        elif await self._is_done_after_all(job):
            await self._conclude(job, self._running[job.id], None)
        else:
            logger.error("job_failed", job=job.id, path=job.path, reason=error.reason, error=str(error))
            await self._forget_work(job)
            await self._desk.fail(job, self._owner, error.reason, str(error))

    async def _forget_work(self, job: Job) -> None:
        await self._lane.call(places.forget, places.work_of(job, self._output))

    async def _give_back(self, job: Job, cause: str, error: StreamError | ConfigError) -> None:
        self._desk.close(cause, str(error))
        await self._desk.release(job, self._owner)
