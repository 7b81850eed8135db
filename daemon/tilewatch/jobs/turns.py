"""Whose turn it is: what a job's change means for those of the same content, and who comes next."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tilewatch.jobs.store import CRASHED, DUPLICATE, REPLACED
from tilewatch.jobs.table import FRESH

if TYPE_CHECKING:
    from tilewatch.jobs.store import Job
    from tilewatch.jobs.table import Table


def admit(table: Table, job_id: int, fingerprint: str, now: float) -> Job | None:
    """Give a new job its place among those of the same content; None: it is done with one of them."""
    table.put(job_id, now, **FRESH)
    same = "fingerprint = ? AND id != ? AND state"
    if done := table.one(f"{same} = 'done'", fingerprint, job_id):
        _finish(table, job_id, done.output, now, reason=DUPLICATE, same_as=done.id)
        return None
    if ahead := table.one(f"{same} IN ('ready', 'running')", fingerprint, job_id):
        table.put(job_id, now, state="waiting", same_as=ahead.id)
    return table.one("id = ?", job_id)


def replace_earlier(table: Table, path: str, now: float) -> None:
    """Cancel the jobs of a path's earlier content that have not begun."""
    for job in table.all("path = ? AND state IN ('waiting', 'ready')", os.fsencode(path)):
        cancel(table, job, REPLACED, now)


def next_job(table: Table, max_attempts: int, now: float) -> Job | None:
    """Return the job to work on; those whose last allowed attempt died are set aside on the way."""
    while True:
        ready = table.one("state = 'ready'")
        orphan = table.one("state = 'running' AND lease_until <= ?", now)
        job = min((job for job in (ready, orphan) if job), key=lambda job: job.id, default=None)
        if job is None or job.state == "ready" or job.attempts < max_attempts:
            return job
        fail(table, job, CRASHED, f"the program died {job.attempts} times while it worked on it", now)


def finish(table: Table, job: Job, output: str, now: float) -> None:
    """Set a job to done, and with it those of the same content."""
    _finish(table, job.id, output, now)
    for other in _waiting_for(table, job):
        _finish(table, other.id, output, now, reason=DUPLICATE)


def fail(table: Table, job: Job, reason: str, error: str, now: float) -> None:
    """Set a job to failed, and with it those of the same content: they would fail alike."""
    table.put(job.id, now, state="failed", reason=reason, error=error, finished=now)
    for other in _waiting_for(table, job):
        same = f"same content as job {job.id}: {error}"
        table.put(other.id, now, state="failed", reason=reason, error=same, finished=now)


def cancel(table: Table, job: Job, reason: str, now: float) -> None:
    """Set a job to cancelled; the oldest of the same content takes its place."""
    table.put(job.id, now, state="cancelled", reason=reason, finished=now)
    waiting = _waiting_for(table, job)
    for position, other in enumerate(waiting):
        first = position == 0
        table.put(other.id, now, state="ready" if first else "waiting", same_as=None if first else waiting[0].id)


def _finish(table: Table, job_id: int, output: str, now: float, **values: object) -> None:
    table.put(job_id, now, state="done", output=os.fsencode(output), finished=now, **values)


def _waiting_for(table: Table, job: Job) -> list[Job]:
    return table.all("state = 'waiting' AND same_as = ? ORDER BY id", job.id)
