"""A file is finished when it is quiet: seen to be, or by its own time when it comes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tilewatch.jobs.folder import Stamp
from tilewatch.jobs.sweep import Sweep

SETTLE = 5.0
WALL = 1_000_000.0


def stamp(size: int, age: float = 0.0, at: float = 0.0) -> Stamp:
    """Return a stamp of a file that was written `age` seconds before the time `at`."""
    return Stamp(size, round((WALL + at - age) * 1e9))


def look(sweep: Sweep, at: float, **files: Stamp) -> list[str]:
    """Return what is due at a time at which these files were found."""
    sweep.update(files, at, WALL + at)
    return sweep.due(at)


def test_file_that_is_written_is_taken_once_it_is_quiet() -> None:
    """Every change, of size or time, begins the wait anew."""
    sweep = Sweep(SETTLE)
    assert look(sweep, 0, a=stamp(1)) == []
    assert look(sweep, 4, a=stamp(2, at=4)) == []
    assert look(sweep, 8, a=stamp(2, at=8)) == []
    assert sweep.next_due() == 8 + SETTLE
    assert look(sweep, 12.9, a=stamp(2, at=8)) == []
    assert look(sweep, 13, a=stamp(2, at=8)) == ["a"]


def test_file_renamed_into_place_is_taken_at_once() -> None:
    """Its own time tells that it was finished before it came."""
    assert look(Sweep(SETTLE), 0, a=stamp(1, age=SETTLE + 1)) == ["a"]


def test_file_seen_growing_is_judged_by_what_was_seen() -> None:
    """Even if its server's clock is an hour behind or ahead."""
    for age in (3600, -3600):
        sweep = Sweep(SETTLE)
        look(sweep, 0, a=stamp(1, age=age))
        assert look(sweep, 3, a=stamp(2, age=age)) == []
        assert look(sweep, 8, a=stamp(2, age=age)) == ["a"]


def test_offered_file_is_left_alone_until_it_changes() -> None:
    """And known no more once it has gone."""
    sweep, old = Sweep(SETTLE), stamp(1, age=60)
    look(sweep, 0, a=old)
    sweep.settle("a")
    assert (look(sweep, 1000, a=old), sweep.waiting, sweep.next_due()) == ([], 0, None)
    assert look(sweep, 1001, a=stamp(2, at=1001)) == []
    assert look(sweep, 1006, a=stamp(2, at=1001)) == ["a"]
    sweep.settle("a")
    look(sweep, 1007)
    assert look(sweep, 1008, a=stamp(2, age=60)) == ["a"]


def test_file_that_does_not_open_is_waited_for() -> None:
    """A copy may pause: it is looked into again and again for a minute of quiet, then seldom."""
    sweep, paused = Sweep(SETTLE), stamp(1)
    look(sweep, 0, a=paused)
    looks = 0
    for second in range(60):
        if look(sweep, second, a=paused):
            looks += 1
            assert sweep.has_patience("a", second)
            sweep.postpone("a", second)
    assert looks == 11
    assert not sweep.has_patience("a", 60)
    sweep.postpone("a", 60)
    assert sweep.next_due() == 120


def test_patience_grows_with_the_settle_time() -> None:
    """A folder in which copies make long pauses is one with a long settle time."""
    sweep = Sweep(60)
    look(sweep, 0, a=stamp(1))
    assert sweep.has_patience("a", 599)
    assert not sweep.has_patience("a", 600)


def test_finished_files_come_oldest_first() -> None:
    """In the order in which they were written, names aside."""
    assert look(Sweep(SETTLE), 0, b=stamp(1, age=30), a=stamp(1, age=20), c=stamp(1, age=40)) == ["c", "b", "a"]


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(1, 3)), min_size=1, max_size=30))
def test_growing_file_is_never_taken_early(steps: list[tuple[float, int]]) -> None:
    """Whenever it is due, its last change was seen at least the settle time ago."""
    sweep, now, size, changed = Sweep(SETTLE), 0.0, 0, 0.0
    for pause, growth in steps:
        now += pause
        if growth > 1 or not size:
            size, changed = size + growth, now
        due = look(sweep, now, a=stamp(size, at=changed))
        assert not due or now - changed >= SETTLE - 1e-6
