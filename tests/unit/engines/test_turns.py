"""Whose turn it is at a shared device."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tilewatch.engines.turns import MOST_URGENT_IN_A_ROW, Line, Turns

STEPS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 5)), max_size=40)
"""(line, items put, items taken): lines 0 and 1 are urgent."""


@given(STEPS)
def test_nothing_is_lost_doubled_or_overtaken_within_its_line(steps: list[tuple[int, int, int]]) -> None:
    """Whatever the turns, a line's items come out in the order in which they went in."""
    turns, put, taken = Turns[tuple[int, int]](), Counter[int](), []
    all_lines = [Line[tuple[int, int]](urgent=number < 2) for number in range(5)]
    for number, more, most in steps:
        turns.put(all_lines[number], [(number, put[number] + i) for i in range(more)])
        put[number] += more
        taken += turns.take(most)
        assert len(turns) == put.total() - len(taken)
    taken += turns.take(len(turns))
    assert not turns.take(1)
    for number in range(5):
        assert [item for line, item in taken if line == number] == list(range(put[number]))


@given(st.lists(st.integers(1, 30), min_size=2, max_size=5))
def test_lines_of_one_kind_take_turns_while_both_wait(lengths: list[int]) -> None:
    """As long as two lines wait, neither is ahead of the other by more than one item."""
    turns, all_lines, done = Turns[int](), [Line[int]() for _ in lengths], Counter[int]()
    for number, length in enumerate(lengths):
        turns.put(all_lines[number], [number] * length)
    while len(turns):
        done.update(turns.take(1))
        busy = [done[number] for number, length in enumerate(lengths) if done[number] < length]
        assert not busy or max(busy) - min(busy) <= 1


@given(STEPS)
def test_ordinary_lines_never_wait_longer_than_the_bound(steps: list[tuple[int, int, int]]) -> None:
    """While something ordinary waits, at most three urgent items pass it in a row."""
    turns, passed = Turns[int](), 0
    all_lines = [Line[int](urgent=number < 2) for number in range(5)]
    for number, more, most in steps:
        turns.put(all_lines[number], [number] * more)
        for _ in range(most):
            waiting = any(line.items for line in all_lines[2:])
            urgent = any(number < 2 for number in turns.take(1))
            passed = passed + 1 if urgent and waiting else 0
            assert passed <= MOST_URGENT_IN_A_ROW


def test_what_is_not_wanted_any_more_loses_its_turn() -> None:
    """A cancelled frame's tiles leave their line; a line left empty is out of the rotation."""
    turns, first, second = Turns[str](), Line[str](), Line[str]()
    turns.put(first, ["a1", "b1", "a2"])
    turns.put(second, ["a3"])
    turns.keep(first, lambda item: item.startswith("b"))
    turns.keep(second, lambda item: item.startswith("b"))
    assert len(turns) == 1
    assert turns.take(5) == ["b1"]
    turns.put(second, ["c"])
    assert turns.take(5) == ["c"]
