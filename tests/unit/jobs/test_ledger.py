"""The ledger's file survives damage, older programs, dead workers and volumes that refuse."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from tilewatch.errors import ConfigError, DiskFullError, InputError, ProcessError, SinkError
from tilewatch.jobs import schema
from tilewatch.jobs.ledger import Ledger, ledger_path
from tilewatch.jobs.owners import owner_name

if TYPE_CHECKING:
    from pathlib import Path

RESULTS = [("a.mp4", "1-a", "out/a"), ("sub/b.mp4", "2-b", "out/sub/b")]
FOREVER = 1e9


def test_ledger_outlives_its_process(tmp_path: Path) -> None:
    """What was said is there after reopening, in full-sync WAL."""
    with Ledger.open(tmp_path) as ledger:
        ledger.offer("a.mp4", "1-a")
    with Ledger.open(tmp_path) as ledger:
        assert [job.path for job in ledger.list()] == ["a.mp4"]
        connection = ledger._table.connection  # noqa: SLF001
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


@pytest.mark.parametrize("damage", [b"no database at all" * 100, None], ids=["garbage", "torn pages"])
def test_damaged_ledger_is_set_aside_and_rebuilt(tmp_path: Path, damage: bytes | None) -> None:
    """The results in the output say what is done; the damaged file stays for whoever wants to look."""
    with Ledger.open(tmp_path) as ledger:
        for n in range(8):
            ledger.offer(f"{n}{'x' * 3000}.mp4", f"1-{n}")
    path = ledger_path(tmp_path)
    content = path.read_bytes()
    path.write_bytes(damage or content[:4096] + b"\xff" * 4096 + content[8192:])
    with Ledger.open(tmp_path, results=lambda: RESULTS, clock=lambda: 0.0) as ledger:
        jobs = ledger.list(["done"])
        assert [(job.path, job.fingerprint, job.output) for job in reversed(jobs)] == RESULTS
        assert {job.reason for job in jobs} == {"rebuilt"}
        assert ledger.offer("a.mp4", "1-a") is None
    assert path.with_name("ledger.db.damaged-19700101T000000Z").is_file()


def test_missing_ledger_is_built_from_the_results_once(tmp_path: Path) -> None:
    """One that is there, empty or not, is trusted."""
    with Ledger.open(tmp_path, results=lambda: RESULTS) as ledger:
        assert ledger.prune(-1, ["done"]) == 2
    with Ledger.open(tmp_path, results=lambda: RESULTS) as ledger:
        assert ledger.list() == []


def test_rebuilding_that_fails_leaves_nothing_half_done(tmp_path: Path) -> None:
    """A crash while the results are read is followed by reading them again."""

    def broken() -> list[tuple[str, str, str]]:
        raise SinkError("gone")

    with pytest.raises(SinkError):
        Ledger.open(tmp_path, results=broken)
    with Ledger.open(tmp_path, results=lambda: RESULTS) as ledger:
        assert ledger.counts()["done"] == 2


def test_older_ledger_is_migrated_and_a_newer_one_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its jobs stay; a program that does not know the tables leaves them alone."""
    with Ledger.open(tmp_path) as ledger:
        ledger.offer("a.mp4", "1-a")
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("ALTER TABLE jobs ADD COLUMN later TEXT",)))
        with Ledger.open(tmp_path, results=lambda: RESULTS) as ledger:
            assert [job.path for job in ledger.list()] == ["a.mp4"]
            assert ledger._table.connection.execute("SELECT later FROM jobs").fetchall() == [(None,)]  # noqa: SLF001
    with pytest.raises(ConfigError, match=r"newer tilewatch \(version 2, known: 1\)"):
        Ledger.open(tmp_path)


def test_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All its statements or none."""
    Ledger.open(tmp_path).close()
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("ALTER TABLE jobs ADD COLUMN later TEXT", "broken")))
        with pytest.raises(SinkError):
            Ledger.open(tmp_path)
    with Ledger.open(tmp_path) as ledger:
        columns = [row[1] for row in ledger._table.connection.execute("PRAGMA table_info(jobs)")]  # noqa: SLF001
        assert "later" not in columns


def test_dead_owner_loses_its_jobs_at_once(tmp_path: Path) -> None:
    """A restart goes on where the crash was, without waiting for the lease; a living owner keeps what it has."""
    first, second = Ledger.open(tmp_path), Ledger.open(tmp_path)
    first.offer("a.mp4", "1-a")
    assert first.claim(owner_name(), FOREVER)
    assert second.claim("b", FOREVER) is None
    first.close()
    job = second.claim("b", FOREVER)
    assert job is not None
    assert job.attempts == 2
    second.close()


def test_owner_that_comes_back_under_its_name_takes_up_its_job(tmp_path: Path) -> None:
    """What runs under a name that has just begun is a dead predecessor's."""
    for attempt in (1, 2):
        with Ledger.open(tmp_path) as ledger:
            ledger.offer("a.mp4", "1-a")
            job = ledger.claim("host", FOREVER)
            assert job is not None
            assert job.attempts == attempt


def test_two_living_workers_of_one_name_are_refused(tmp_path: Path) -> None:
    """They would take each other's work."""
    with Ledger.open(tmp_path) as first, Ledger.open(tmp_path) as second:
        first.claim("host", 1)
        with pytest.raises(ProcessError, match="host: another living worker has that name"):
            second.claim("host", 1)


def test_locks_of_the_dead_are_cleared(tmp_path: Path) -> None:
    """A year of restarts leaves no heap of files."""
    for _ in range(5):
        with Ledger.open(tmp_path) as ledger:
            ledger.claim(owner_name(), 1)
    assert len(list((ledger_path(tmp_path).parent / "owners").iterdir())) == 1


def test_volume_that_refuses_is_told_from_a_damaged_ledger(tmp_path: Path) -> None:
    """A full disk asks to wait, another failure to mend the volume; nothing was changed in either case."""
    with Ledger.open(tmp_path) as ledger:
        connection = ledger._table.connection  # noqa: SLF001
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(DiskFullError, match="no space left"):
            ledger.offer("x" * 100_000, "1-a")
        connection.execute("PRAGMA query_only=1")
        with pytest.raises(SinkError, match="ledger cannot be used"):
            ledger.offer("a.mp4", "1-a")
        connection.execute("PRAGMA query_only=0")
        assert ledger.list() == []


def test_damage_found_at_work_asks_for_a_restart(tmp_path: Path) -> None:
    """The restart sets the file aside; to go on would make it worse."""
    with pytest.raises(ProcessError, match="start again"), schema.asking(tmp_path):
        raise sqlite3.DatabaseError("database disk image is malformed")


def test_operator_never_makes_a_ledger(tmp_path: Path) -> None:
    """A wrong folder is an error, not a new empty ledger."""
    with pytest.raises(InputError, match="there is no ledger"):
        Ledger.existing(tmp_path)
    assert list(tmp_path.iterdir()) == []
