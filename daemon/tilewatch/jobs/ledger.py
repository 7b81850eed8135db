"""The job store in one SQLite file of the output volume: what happened to which file, on the disk before it is said."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeAlias

from tilewatch.errors import InputError
from tilewatch.jobs import schema, turns
from tilewatch.jobs.owners import Owners
from tilewatch.jobs.store import FINAL_STATES, OPERATOR, REBUILT, REPLACED, STATES
from tilewatch.jobs.table import FRESH, Table
from tilewatch.sinks.disk import writing

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Iterable, Sequence
    from pathlib import Path

    from typing_extensions import Self

    from tilewatch.jobs.store import FinalState, Job, State, Verdict

Results: TypeAlias = "Callable[[], Iterable[tuple[str, str, str]]]"
FOLDER = ".tilewatch"
FILE = "ledger.db"


def ledger_path(output: Path) -> Path:
    """Return where the ledger of an output folder lies."""
    return output / FOLDER / FILE


class Ledger:
    """The ledger of an output folder; see `JobStore` for the methods. One thread at a time may use it.

    Args:
        path: its file.
        connection: to it; the tables are brought to the newest version.
        max_attempts: how often work on one job may die.
        results: gives path, fingerprint and output of what is done, for a ledger that is empty.
        clock: Unix seconds.

    Raises:
        ConfigError: it was written by a newer tilewatch.
        DiskFullError, SinkError: it cannot be written.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        *,
        max_attempts: int = 3,
        results: Results = tuple,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._table = Table(path, connection, clock)
        self._max_attempts = max_attempts
        self._owners = Owners(path.parent)
        if schema.version(connection) != len(schema.MIGRATIONS):
            self._migrate(results)

    @classmethod
    def open(
        cls,
        output: Path,
        *,
        max_attempts: int = 3,
        results: Results = tuple,
        clock: Callable[[], float] = time.time,
    ) -> Ledger:
        """Open the ledger of an output folder for the service: a damaged one is set aside, a missing one rebuilt.

        Raises:
            ConfigError: it was written by a newer tilewatch.
            DiskFullError, SinkError: the output folder cannot be written.
        """
        path = ledger_path(output)
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with schema.alone(path), schema.asking(path), ExitStack() as undo:
                connection = schema.connect_or_set_aside(path, clock())
                undo.callback(connection.close)
                ledger = cls(path, connection, max_attempts=max_attempts, results=results, clock=clock)
                undo.pop_all()
        return ledger

    @classmethod
    def existing(cls, output: Path) -> Ledger:
        """Open the ledger for an operator: nothing is made, rebuilt or set aside.

        Raises:
            InputError: there is none.
            ConfigError: it was written by a newer tilewatch.
            DiskFullError, SinkError, ProcessError: it cannot be used, or is damaged.
        """
        path = ledger_path(output)
        if not path.is_file():
            raise InputError(f"{path}: there is no ledger: name the output folder of the service with --output")
        with schema.asking(path), ExitStack() as undo:
            connection = schema.connect(path)
            undo.callback(connection.close)
            ledger = cls(path, connection)
            undo.pop_all()
        return ledger

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the file; jobs that still run here are free for others at once. Idempotent."""
        self._owners.close()
        self._table.connection.close()

    def offer(self, path: str, fingerprint: str) -> Job | None:
        """Make known a finished file."""
        with self._table.change() as now:
            known = self._table.one("path = ? AND fingerprint = ?", os.fsencode(path), fingerprint)
            if known and known.reason != REPLACED:
                return None
            turns.replace_earlier(self._table, path, now)
            job_id = known.id if known else self._table.add(path, fingerprint, now)
            return turns.admit(self._table, job_id, fingerprint, now)

    def claim(self, owner: str, lease_seconds: float) -> Job | None:
        """Take the oldest job that is ready or whose worker died."""
        with writing(self._path), self._table.change() as now:
            self._end_leases_of_the_dead(owner)
            job = turns.next_job(self._table, self._max_attempts, now)
            if job is None:
                return None
            self._table.put(job.id, now, state="running", attempts=job.attempts + 1, started=now)
            self._table.lease(job.id, owner, lease_seconds, now)
            return self._table.one("id = ?", job.id)

    def heartbeat(self, job_id: int, owner: str, frames_done: int, frames_total: int | None) -> Verdict:
        """Keep a claimed job and tell how far it is."""
        with self._table.change() as now:
            if self._running(job_id, owner):
                self._table.put(job_id, now, frames_done=frames_done, frames_total=frames_total)
                self._table.renew(job_id, now)
                return "go_on"
            cancelled = self._table.one("id = ? AND owner = ? AND state = 'cancelled'", job_id, owner)
        return "cancelled" if cancelled else "lost"

    def finish(self, job_id: int, output: str, *, owner: str | None = None) -> bool:
        """Set a running job to done."""
        with self._table.change() as now:
            if job := self._running(job_id, owner):
                turns.finish(self._table, job, output, now)
        return job is not None

    def fail(self, job_id: int, reason: str, error: str, *, owner: str | None = None) -> bool:
        """Set a running job to failed."""
        with self._table.change() as now:
            if job := self._running(job_id, owner):
                turns.fail(self._table, job, reason, error, now)
        return job is not None

    def release(self, job_id: int, *, owner: str | None = None) -> bool:
        """Give a running job back as if this attempt had not been."""
        with self._table.change() as now:
            if job := self._running(job_id, owner):
                self._table.put(job.id, now, state="ready", attempts=job.attempts - 1, owner="")
        return job is not None

    def retry(self, job_id: int) -> Job:
        """Set a finished job to ready with all attempts before it."""
        with self._table.change() as now:
            job = self._must(job_id)
            if job.state not in FINAL_STATES:
                raise InputError(f"job {job_id} is {job.state}: only a finished one can be tried again")
            self._table.put(job_id, now, **FRESH)
            return self._must(job_id)

    def cancel(self, job_id: int) -> Job:
        """Set a job that is not finished to cancelled."""
        with self._table.change() as now:
            job = self._must(job_id)
            if job.state in FINAL_STATES:
                raise InputError(f"job {job_id} is {job.state} already: there is nothing to cancel")
            turns.cancel(self._table, job, OPERATOR, now)
            return self._must(job_id)

    def prune(
        self, older_than_seconds: float, states: Collection[FinalState], *, keep: Callable[[Job], bool] | None = None
    ) -> int:
        """Forget jobs that finished longer ago, and return how many."""
        with self._table.change() as now:
            old = self._in(states, "AND finished <= ?", now - older_than_seconds)
            gone = [job for job in old if not (keep and keep(job))]
            for job in gone:
                self._table.remove(job.id)
        return len(gone)

    def get(self, job_id: int) -> Job | None:
        """Return one job."""
        with schema.asking(self._path):
            return self._table.one("id = ?", job_id)

    def counts(self) -> dict[State, int]:
        """Return how many jobs are in each state."""
        with schema.asking(self._path):
            found = self._table.counts()
        return {state: found.get(state, 0) for state in STATES}

    def _migrate(self, results: Results) -> None:
        """Bring the tables to the newest version; a new ledger learns what the results tell."""
        with self._table.change() as now:
            empty = schema.version(self._table.connection) == 0
            schema.migrate(self._table.connection, self._path)
            for path, fingerprint, output in results() if empty else ():
                job_id = self._table.add(path, fingerprint, now)
                values = {"reason": REBUILT, "output": os.fsencode(output), "finished": now}
                self._table.put(job_id, now, state="done", **values)

    def _end_leases_of_the_dead(self, owner: str) -> None:
        """Free the jobs of dead owners at once; what runs under a name that has just begun is a predecessor's."""
        at_work = self._table.owners()
        if self._owners.hold(owner):
            self._owners.tidy(at_work)
            self._table.end_leases({owner})
        self._table.end_leases(self._owners.dead(at_work))

    def _running(self, job_id: int, owner: str | None) -> Job | None:
        """Return a job if it runs under this owner (None: whoever)."""
        return self._table.one("id = ? AND state = 'running' AND owner = coalesce(?, owner)", job_id, owner)

    def _in(self, states: Collection[str], rest: str, *values: object) -> list[Job]:
        """Return the jobs in some states that meet a further condition."""
        marks = ", ".join("?" for _ in states)
        return self._table.all(f"state IN ({marks}) {rest}", *states, *values)

    def _must(self, job_id: int) -> Job:
        job = self._table.one("id = ?", job_id)
        if job is None:
            raise InputError(f"job {job_id}: {self._path} has no such job: see `tilewatch jobs list`")
        return job

    def list(self, states: Collection[State] = STATES, limit: int | None = None) -> Sequence[Job]:
        """Return the newest jobs in these states, newest first."""
        with schema.asking(self._path):
            return self._in(states, "ORDER BY id DESC LIMIT ?", -1 if limit is None else limit)
