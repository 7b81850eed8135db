"""The register of work: the one that holds an item for too long is blamed, those that wait are not."""

from __future__ import annotations

import pytest

from tilewatch.telemetry.health import Health
from tilewatch.telemetry.status import health_facts


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    """Return a warm service where nothing may take longer than 60 s."""
    made = Health(60, clock)
    made.warmed_up()
    return made


def test_the_one_that_holds_an_item_is_named_not_those_that_wait(health: Health, clock: Clock) -> None:
    """Red names the stream and the stage that stands still, and nobody else."""
    with health.watch("file-0", {"decode": lambda: None, "track": lambda: None, "encode": lambda: 1000.0}):
        clock.now = 1060
        assert health.live()
        clock.now = 1061
        assert not health.live()
        assert health.live().reasons == ("file-0: encode has not moved for 61 s (allowed: 60 s)",)
        assert not health.ready()
        assert health.state == "degraded"
    assert health.live()
    assert health.ready()


def test_a_beat_is_progress_and_rest_is_innocence(health: Health, clock: Clock) -> None:
    """Who beats moves; who rests cannot stall; the time asked for counts, not the time of the asking."""
    health.beat("daemon", "loop")
    clock.now = 1050
    health.beat("daemon", "loop")
    assert health.live(1110)
    assert not health.live(1111)
    health.rest("daemon", "loop")
    assert health.live(9999)


def test_long_work_may_be_allowed_its_time(health: Health, clock: Clock) -> None:
    """Building an engine takes minutes and is no stall, until it has had its own time; its end forgets it."""
    with health.working("engine", "build", allowed=600):
        clock.now = 1600
        assert health.live()
        clock.now = 1601
        assert health.live().reasons == ("engine: build has not moved for 601 s (allowed: 600 s)",)
        health.beat("engine", "build")
        assert health.live()
    clock.now = 9999
    assert health.live()


def test_ready_follows_the_life_of_the_service(clock: Clock) -> None:
    """Red before the engine is warm and from the stop signal on; a trouble told of leaves it green."""
    health = Health(60, clock)
    full = "/output: 0.1 GB free is below DISK_RESERVE=1 GB"

    def now() -> tuple[str, bool, tuple[str, ...]]:
        facts = health_facts(health)
        return facts["state"], facts["ready"], facts["reasons"]

    assert now() == ("starting", False, ("starting: the engine is not warm yet",))
    health.warmed_up()
    health.degrade("disk", full)
    assert now() == ("degraded", True, (full,))
    health.mend("disk")
    assert now() == ("ready", True, ())
    health.drain()
    assert now() == ("draining", False, ("draining: no new work is taken",))
