"""The ledger's file: how it is opened, its tables over the versions of the program, and what is done with damage."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tilewatch.errors import ConfigError, DiskFullError, ProcessError, SinkError
from tilewatch.jobs.mounts import is_network
from tilewatch.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY_MS = 30_000
"""For how long a call waits for another process's transaction."""
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE jobs (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            path BLOB NOT NULL,
            fingerprint TEXT NOT NULL,
            state TEXT NOT NULL,
            attempts INTEGER NOT NULL DEFAULT 0,
            reason TEXT NOT NULL DEFAULT '',
            error TEXT NOT NULL DEFAULT '',
            frames_done INTEGER NOT NULL DEFAULT 0,
            frames_total INTEGER,
            created REAL NOT NULL,
            updated REAL NOT NULL,
            started REAL,
            finished REAL,
            output BLOB NOT NULL DEFAULT x'',
            same_as INTEGER,
            owner TEXT NOT NULL DEFAULT '',
            lease_seconds REAL NOT NULL DEFAULT 0,
            lease_until REAL NOT NULL DEFAULT 0,
            UNIQUE (path, fingerprint)
        )
        """,
        "CREATE INDEX jobs_by_state ON jobs (state, id)",
        "CREATE INDEX jobs_by_content ON jobs (fingerprint, state)",
    ),
)
"""Statements that lead from each version to the next; what has been released is never changed, only followed."""

logger = log.logger("jobs")


@contextmanager
def asking(path: Path) -> Iterator[None]:
    """Turn SQLite's errors in the block into ours.

    Raises:
        DiskFullError: there is no space for the change.
        SinkError: the file cannot be read or written for now, or another process holds it too long.
        ProcessError: the file is damaged; whoever opens it next sets it aside.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        if "full" in str(error):
            raise DiskFullError(f"{path}: no space left on the output volume: free some") from error
        raise SinkError(f"{path}: the ledger cannot be used ({error}): mend the output volume") from error
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            raise ProcessError(f"{path}: the ledger is damaged ({error}): start again to rebuild it") from error
        raise


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Tell a damaged file from what its volume or our statements are to blame for: SQLite has no class of its own."""
    return type(error) is sqlite3.DatabaseError


def connect(path: Path) -> sqlite3.Connection:
    """Open a ledger that is whole, or make an empty one; every commit is on the disk when it returns.

    Raises:
        sqlite3.Error: the file cannot be opened, or (see `is_damage`) is damaged.
    """
    connection = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection, path)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    wanted = "DELETE" if is_network(path.parent) else "WAL"
    (mode,) = connection.execute(f"PRAGMA journal_mode={wanted}").fetchone()
    if mode.upper() != wanted:
        logger.warning("ledger_journal_refused", wanted=wanted, got=mode)
    connection.execute("PRAGMA synchronous=FULL")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)


def version(connection: sqlite3.Connection) -> int:
    """Return the stored version of the tables; 0: there are none."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Lead the tables to the newest version, within the caller's transaction.

    Raises:
        ConfigError: they are newer than this program.
    """
    stored = version(connection)
    if stored > len(MIGRATIONS):
        raise ConfigError(
            f"{path}: was written by a newer tilewatch (version {stored}, known: {len(MIGRATIONS)}): update this one"
        )
    for statements in MIGRATIONS[stored:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version={len(MIGRATIONS)}")


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold back other processes that open the ledger; where the file system has no locks, nobody is held back."""
    handle = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def connect_or_set_aside(path: Path, now: float) -> sqlite3.Connection:
    """Open a ledger; a damaged one gives way to an empty one.

    Raises:
        sqlite3.Error: it cannot be opened or made.
        OSError: the damaged one cannot be renamed.
    """
    try:
        return connect(path)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        _set_aside(path, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now)), error)
        return connect(path)


def _set_aside(path: Path, stamp: str, cause: sqlite3.DatabaseError) -> None:
    """Rename a damaged ledger and its journals, so that nobody reads them and nothing is lost."""
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    for ending in ("-wal", "-shm", "-journal", ""):
        part = path.with_name(path.name + ending)
        if part.exists():
            part.rename(aside.with_name(aside.name + ending))
    logger.error("ledger_damaged", ledger=str(path), set_aside=aside.name, error=str(cause))
