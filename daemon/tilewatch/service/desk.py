"""The job store as the loop sees it: on a lane of its own, with a bell for new work and a gate for bad times."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from typing_extensions import ParamSpec

from tilewatch.flow.backports import timeout
from tilewatch.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tilewatch.flow.lane import Lane
    from tilewatch.jobs.store import Job, JobStore, State, Verdict
    from tilewatch.telemetry.health import Health
    from tilewatch.telemetry.metrics import Metrics

P = ParamSpec("P")
T = TypeVar("T")

LEASE_SECONDS = 60.0
"""A worker that says nothing for so long is dead; one of this machine that died is noticed at once."""
LOOK_SECONDS = 20.0
"""Workers look for work at least so often, since another daemon's jobs come free without a bell."""

logger = log.logger("service")


class Desk:
    """Where the watcher leaves jobs and workers take them.

    Args:
        store: of the jobs; it is used from `lane` alone.
        lane: its thread.
        health: is told why no work is taken.
        metrics: are told how many jobs there are.
    """

    def __init__(self, store: JobStore, lane: Lane, health: Health, metrics: Metrics) -> None:
        self._store = store
        self._lane = lane
        self._health = health
        self._metrics = metrics
        self._bell = asyncio.Event()
        self._closed: set[str] = set()

    @property
    def open(self) -> bool:
        """Whether work is taken at present."""
        return not self._closed

    def close(self, cause: str, text: str) -> None:
        """Take no more work for a cause (one word), told to the operator in one line."""
        if cause not in self._closed:
            logger.error("intake_paused", cause=cause, text=text)
        self._closed.add(cause)
        self._metrics.intake_paused.labels(cause=cause).set(1)
        self._health.degrade(cause, text)

    def reopen(self, cause: str) -> None:
        """Take work again as far as this cause is concerned."""
        if cause in self._closed:
            logger.info("intake_resumed", cause=cause)
            self._closed.discard(cause)
            self._metrics.intake_paused.labels(cause=cause).set(0)
            self._health.mend(cause)
            self.ring()

    def ring(self) -> None:
        """Wake up every worker that rests."""
        self._bell.set()

    async def rest(self) -> None:
        """Wait for the bell, or for a while."""
        self._bell.clear()
        with suppress(TimeoutError):
            async with timeout(LOOK_SECONDS):
                await self._bell.wait()

    async def offer(self, path: str, fingerprint: str) -> None:
        """Make known a finished file; raises SinkError while the store cannot be written."""
        job = await self._lane.call(self._store.offer, path, fingerprint)
        if job is not None:
            logger.info("job_found", job=job.id, path=path, state=job.state)
            await self.count()
            self.ring()

    async def claim(self, owner: str) -> Job | None:
        """Take the oldest job."""
        return await self._changing(self._store.claim, owner, LEASE_SECONDS)

    async def heartbeat(self, job: Job, owner: str, frames: int, total: int | None) -> Verdict:
        """Keep a claimed job and tell how far it is."""
        return await self._lane.call(self._store.heartbeat, job.id, owner, frames, total)

    async def finish(self, job: Job, owner: str, output: str) -> None:
        """Set a job to done."""
        await self._changing(self._store.finish, job.id, output, owner=owner)

    async def fail(self, job: Job, owner: str, reason: str, error: str) -> None:
        """Set a job to failed."""
        self._metrics.job_failures.labels(reason=reason).inc()
        await self._changing(self._store.fail, job.id, reason, error, owner=owner)

    async def release(self, job: Job, owner: str) -> None:
        """Give a job back as if it had not been taken, also when the caller is being cancelled."""
        await self._lane.clean_up(self._release, job, owner)

    async def count(self) -> None:
        """Bring the metrics up to date."""
        counts: Mapping[State, int] = await self._lane.call(self._store.counts)
        self._metrics.count_jobs({str(state): count for state, count in counts.items()})

    async def _changing(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        result = await self._lane.call(method, *args, **kwargs)
        await self.count()
        return result

    def _release(self, job: Job, owner: str) -> None:
        self._store.release(job.id, owner=owner)
