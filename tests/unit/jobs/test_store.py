"""What every job store does; a further adapter is one more parameter of the fixture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tilewatch.errors import InputError
from tilewatch.jobs.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tilewatch.jobs.store import Job, JobStore

LEASE = 60.0
ODD = "mappe/\u00fc\n\udcff" + "x" * 200 + ".mp4"


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return the store's clock."""
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[JobStore]:
    """Return an empty store that allows three attempts."""
    with Ledger.open(tmp_path, max_attempts=3, clock=clock) as ledger:
        yield ledger


def offered(store: JobStore, path: str, fingerprint: str) -> Job:
    """Offer what is new, and return its job."""
    job = store.offer(path, fingerprint)
    assert job is not None
    return job


def claimed(store: JobStore, owner: str = "a") -> Job:
    """Claim what is there."""
    job = store.claim(owner, LEASE)
    assert job is not None
    return job


def now(store: JobStore, job: Job) -> Job:
    """Return a job as it is now."""
    found = store.get(job.id)
    assert found is not None
    return found


def test_job_runs_from_offer_to_done(store: JobStore, clock: Clock) -> None:
    """Every field tells what has happened."""
    job = offered(store, ODD, "1-a")
    assert (job.path, job.state, job.attempts, job.created, job.started) == (ODD, "ready", 0, 1000, None)
    clock.now = 1001
    job = claimed(store)
    assert (job.state, job.attempts, job.started) == ("running", 1, 1001)
    clock.now = 1002
    assert store.heartbeat(job.id, "a", 5, 10) == "go_on"
    assert store.finish(job.id, "out/\udcff", owner="a")
    job = now(store, job)
    assert (job.state, job.output, job.finished, job.frames_done, job.frames_total) == (
        "done",
        "out/\udcff",
        1002,
        5,
        10,
    )
    assert store.claim("a", LEASE) is None


def test_known_content_is_not_offered_twice(store: JobStore) -> None:
    """The same path and content is one job, whatever became of it; a changed file is a new one."""
    job = offered(store, "a.mp4", "1-a")
    assert store.offer("a.mp4", "1-a") is None
    store.claim("a", LEASE)
    assert store.fail(job.id, "bad_input", "no video")
    assert store.offer("a.mp4", "1-a") is None
    assert offered(store, "a.mp4", "2-b").state == "ready"


def test_content_done_elsewhere_is_done_with_a_reference(store: JobStore) -> None:
    """A copy of a finished video costs nothing and says where the result is."""
    first = offered(store, "a.mp4", "1-a")
    store.claim("a", LEASE)
    store.finish(first.id, "out/a")
    assert store.offer("b.mp4", "1-a") is None
    copy = store.list(["done"])[0]
    assert (copy.path, copy.reason, copy.same_as, copy.output) == ("b.mp4", "duplicate", first.id, "out/a")


def test_copies_that_come_together_are_worked_on_once(store: JobStore) -> None:
    """A second job of a content that is not done yet waits, and shares the first one's fate."""
    first, copy = offered(store, "a.mp4", "1-a"), offered(store, "b.mp4", "1-a")
    assert (copy.state, copy.same_as) == ("waiting", first.id)
    store.claim("a", LEASE)
    assert store.claim("a", LEASE) is None
    store.finish(first.id, "out/a")
    assert (now(store, copy).state, now(store, copy).output) == ("done", "out/a")


def test_copies_fail_with_the_first_and_follow_a_cancelled_one(store: JobStore) -> None:
    """What fails for its content fails under every name; what was cancelled was meant by its name."""
    first, copy, third = (offered(store, f"{name}.mp4", "1-a") for name in "abc")
    store.cancel(first.id)
    assert (now(store, copy).state, now(store, copy).same_as) == ("ready", None)
    assert now(store, third).same_as == copy.id
    assert claimed(store).id == copy.id
    store.fail(copy.id, "bad_input", "no video")
    assert (now(store, third).state, now(store, third).reason) == ("failed", "bad_input")


def test_file_that_changes_before_its_turn_is_done_once(store: JobStore) -> None:
    """Work on content that is no longer there would fail; content that comes back has its turn after all."""
    early = offered(store, "a.mp4", "1-a")
    late = offered(store, "a.mp4", "2-b")
    assert (now(store, early).state, now(store, early).reason) == ("cancelled", "replaced")
    again = offered(store, "a.mp4", "1-a")
    assert (again.id, again.state, now(store, late).state) == (early.id, "ready", "cancelled")


def test_oldest_job_comes_first_and_to_one_owner_only(store: JobStore) -> None:
    """In the order of their coming, each once."""
    jobs = [offered(store, f"{n}.mp4", f"1-{n}") for n in range(4)]
    taken = [claimed(store, owner) for owner in ("a", "b", "a", "b")]
    assert [job.id for job in taken] == [job.id for job in jobs]
    assert store.claim("a", LEASE) is None


def test_worker_without_heartbeat_loses_its_job(store: JobStore, clock: Clock) -> None:
    """A lease that has ended is somebody else's chance, and the late worker changes nothing any more."""
    job = offered(store, "a.mp4", "1-a")
    store.claim("a", LEASE)
    clock.now += LEASE - 1
    assert store.heartbeat(job.id, "a", 1, None) == "go_on"
    clock.now += LEASE - 1
    assert store.claim("b", LEASE) is None
    clock.now += 1
    assert claimed(store, "b").attempts == 2
    assert store.heartbeat(job.id, "a", 1, None) == "lost"
    assert not store.finish(job.id, "x", owner="a")
    assert not store.fail(job.id, "bad_input", "x", owner="a")
    assert not store.release(job.id, owner="a")
    assert store.finish(job.id, "y", owner="b")


def test_poisonous_file_is_set_aside_and_the_rest_goes_on(store: JobStore, clock: Clock) -> None:
    """A job whose workers died as often as is allowed fails, so that it cannot stop the service."""
    poison, good = offered(store, "a.mp4", "1-a"), offered(store, "b.mp4", "1-b")
    for _ in range(3):
        assert claimed(store).id == poison.id
        clock.now += LEASE
    assert claimed(store).id == good.id
    job = now(store, poison)
    assert (job.state, job.reason, job.attempts) == ("failed", "crashed", 3)
    assert "died 3 times" in job.error


def test_released_job_has_not_lost_an_attempt(store: JobStore) -> None:
    """Stop, drain and a full disk are not the file's fault."""
    job = offered(store, "a.mp4", "1-a")
    for _ in range(10):
        assert claimed(store).attempts == 1
        assert store.release(job.id)
    assert not store.release(job.id)
    assert now(store, job).attempts == 0


def test_cancelled_job_is_told_to_its_worker(store: JobStore) -> None:
    """And stays cancelled whatever the worker says after that."""
    job = offered(store, "a.mp4", "1-a")
    store.claim("a", LEASE)
    assert store.cancel(job.id).state == "cancelled"
    assert store.heartbeat(job.id, "a", 1, None) == "cancelled"
    assert not store.finish(job.id, "x")
    with pytest.raises(InputError, match=rf"job {job.id} is cancelled already"):
        store.cancel(job.id)


def test_retried_job_starts_anew(store: JobStore) -> None:
    """With all attempts before it; one that has not ended cannot be retried."""
    job = offered(store, "a.mp4", "1-a")
    with pytest.raises(InputError, match=rf"job {job.id} is ready"):
        store.retry(job.id)
    store.claim("a", LEASE)
    store.fail(job.id, "bad_input", "no video")
    job = store.retry(job.id)
    assert (job.state, job.attempts, job.reason, job.error, job.finished) == ("ready", 0, "", "", None)
    with pytest.raises(InputError, match="no such job"):
        store.retry(99)


def test_prune_forgets_old_outcomes_only(store: JobStore, clock: Clock) -> None:
    """Old enough, of a state that was named, and not to be kept."""
    for name in "abc":
        offered(store, f"{name}.mp4", f"1-{name}")
        store.claim("a", LEASE)
        store.finish(store.list()[0].id, "x")
        clock.now += 10
    offered(store, "d.mp4", "1-d")
    assert store.prune(15, ["failed"]) == 0
    assert store.prune(15, ["done"], keep=lambda job: job.path == "a.mp4") == 1
    assert [job.path for job in store.list()] == ["d.mp4", "c.mp4", "a.mp4"]


def test_list_and_counts_tell_what_is_there(store: JobStore) -> None:
    """Newest first, by state, no more than asked; every state has a count."""
    for name in "abc":
        offered(store, name, f"1-{name}")
    claimed(store)
    assert [job.path for job in store.list(limit=2)] == ["c", "b"]
    assert [job.path for job in store.list(["running"])] == ["a"]
    assert store.list([]) == []
    assert store.counts() == {"waiting": 0, "ready": 2, "running": 1, "done": 0, "failed": 0, "cancelled": 0}
