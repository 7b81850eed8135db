"""The ledger's one table as records: transactions, look-ups and changes, no rules."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tilewatch.jobs import schema
from tilewatch.jobs.store import Job

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

COLUMNS = ", ".join(Job.__dataclass_fields__)
FRESH: dict[str, object] = {
    "state": "ready",
    "attempts": 0,
    "reason": "",
    "error": "",
    "frames_done": 0,
    "frames_total": None,
    "started": None,
    "finished": None,
    "output": b"",
    "same_as": None,
    "owner": "",
}
"""A job before its first attempt."""


class Table:
    """The jobs behind a connection. Conditions are SQL with placeholders; column names never come from outside.

    Args:
        path: the file, for messages.
        connection: to it.
        clock: Unix seconds.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self.connection = connection
        self._path = path
        self._clock = clock

    @contextmanager
    def change(self) -> Iterator[float]:
        """Give the time; all changes of the block take place together at its end, or none does.

        Raises:
            DiskFullError, SinkError, ProcessError: see `schema.asking`.
        """
        with schema.asking(self._path):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._clock()
                self.connection.execute("COMMIT")
            finally:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")

    def one(self, condition: str, *values: object) -> Job | None:
        """Return the oldest job that meets a condition."""
        found = self.all(f"{condition} ORDER BY id LIMIT 1", *values)
        return found[0] if found else None

    def all(self, condition: str, *values: object) -> list[Job]:
        """Return the jobs that meet a condition."""
        rows = self.connection.execute(f"SELECT {COLUMNS} FROM jobs WHERE {condition}", values)  # noqa: S608
        return [_job(row) for row in rows]

    def add(self, path: str, fingerprint: str, now: float) -> int:
        """Add a fresh job unless it is known, and return its id."""
        self.connection.execute(
            "INSERT OR IGNORE INTO jobs (path, fingerprint, state, created, updated) VALUES (?, ?, 'ready', ?, ?)",
            (os.fsencode(path), fingerprint, now, now),
        )
        found = self.one("path = ? AND fingerprint = ?", os.fsencode(path), fingerprint)
        assert found is not None  # noqa: S101  (for the type checker: the line above has made it)
        return found.id

    def put(self, job_id: int, now: float, **values: object) -> None:
        """Change columns of a job."""
        names = ", ".join(f"{name} = ?" for name in values)
        self.connection.execute(
            f"UPDATE jobs SET {names}, updated = ? WHERE id = ?",  # noqa: S608
            (*values.values(), now, job_id),
        )

    def lease(self, job_id: int, owner: str, seconds: float, now: float) -> None:
        """Give a job to an owner for some time."""
        self.put(job_id, now, owner=owner, lease_seconds=seconds, lease_until=now + seconds)

    def renew(self, job_id: int, now: float) -> None:
        """Begin a job's lease anew."""
        self.connection.execute("UPDATE jobs SET lease_until = ? + lease_seconds WHERE id = ?", (now, job_id))

    def end_leases(self, owners: Iterable[str]) -> None:
        """Take all jobs from owners that have died."""
        ended = [(owner,) for owner in owners]
        self.connection.executemany("UPDATE jobs SET lease_until = 0 WHERE state = 'running' AND owner = ?", ended)

    def owners(self) -> set[str]:
        """Return who works on anything."""
        return {owner for (owner,) in self.connection.execute("SELECT owner FROM jobs WHERE state = 'running'")}

    def counts(self) -> dict[str, int]:
        """Return how many jobs are in each state that any is in."""
        return dict(self.connection.execute("SELECT state, count(*) FROM jobs GROUP BY state"))

    def remove(self, job_id: int) -> None:
        """Forget a job."""
        self.connection.execute("DELETE FROM jobs WHERE id = ?", (job_id,))


def _job(row: tuple[Any, ...]) -> Job:
    values = dict(zip(Job.__dataclass_fields__, row, strict=True))
    return Job(**values | {"path": os.fsdecode(values["path"]), "output": os.fsdecode(values["output"])})
