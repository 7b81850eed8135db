"""Several processes share a ledger, and any of them may be killed at any moment."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support import ledger_worker
from tests.support.program import environment
from tilewatch.jobs.ledger import Ledger, ledger_path

if TYPE_CHECKING:
    from pathlib import Path


def worker(output: Path, owner: str) -> subprocess.Popen[str]:
    """Start a worker."""
    return subprocess.Popen(
        [sys.executable, ledger_worker.__file__, str(output), owner],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def fill(output: Path, jobs: int) -> None:
    """Offer so many jobs."""
    with Ledger.open(output) as ledger:
        for n in range(jobs):
            assert ledger.offer(f"{n}.mp4", f"1-{n}")


def test_two_processes_get_every_job_exactly_once(tmp_path: Path) -> None:
    """200 jobs, two workers: all done, none given twice."""
    fill(tmp_path, 200)
    with worker(tmp_path, "a") as first, worker(tmp_path, "b") as second:
        (one, complaints), (other, more) = first.communicate(timeout=60), second.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0), complaints + more
    assert sorted(map(int, one.split() + other.split())) == list(range(1, 201))
    with Ledger.existing(tmp_path) as ledger:
        assert ledger.counts()["done"] == 200
        assert {job.attempts for job in ledger.list()} == {1}


def test_killed_workers_leave_a_whole_ledger(tmp_path: Path) -> None:
    """A kill -9 after some jobs, over and over: what was said to be done stays done, the rest is done in the end."""
    fill(tmp_path, 120)
    chance = random.Random(5)  # noqa: S311
    done = 0
    for life in range(8):
        with worker(tmp_path, f"life-{life}") as process:
            assert process.stdout is not None
            for _ in range(chance.randint(1, 14)):
                process.stdout.readline()
            process.kill()
        with Ledger.existing(tmp_path) as ledger:
            counts = ledger.counts()
        assert sum(counts.values()) == 120
        assert counts["running"] <= 1
        assert counts["done"] >= done
        done = counts["done"]
    with worker(tmp_path, "last") as process:
        _, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    with Ledger.existing(tmp_path) as ledger:
        assert ledger.counts()["done"] == 120
        assert all(job.output == f"out/{job.path}" for job in ledger.list())
    assert not list(ledger_path(tmp_path).parent.glob("*.damaged-*"))
