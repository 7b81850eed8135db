"""When two engines agree, and when one of them is refused."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tilewatch.engines.base import EngineInfo, Feeding
from tilewatch.engines.heads import EndToEnd
from tilewatch.parity import Parity, compare
from tilewatch.records import Frame, Tiles
from tilewatch.sampling import Sample
from tilewatch.settings import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.engines.base import Slot
    from tilewatch.records import F32

SIDE = 64
Row = tuple[float, float, float, float, float, float]
PEOPLE: list[Row] = [(x, y, x + 10, y + 10, 0.5 + x / 200, 0) for x in range(0, 60, 12) for y in range(0, 60, 12)]


@dataclass
class ScriptedEngine:
    """Sees the same rows in every tile: x0 y0 x1 y1 score class."""

    rows: list[Row]
    batch: int = 2
    head: EndToEnd = field(default_factory=EndToEnd)
    calls: deque[int] = field(default_factory=deque)
    most: int = 0

    @property
    def info(self) -> EngineInfo:
        """Not asked for."""
        raise NotImplementedError

    @property
    def feeding(self) -> Feeding:
        """Two calls in flight."""
        return Feeding(batch=self.batch, in_flight=2)

    def open(self) -> None:
        """Nothing to do."""

    def warm_up(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def cut(self, frame: Frame, tiles: Tiles) -> Any:
        """Keep nothing of the frame."""
        del frame
        return tiles

    def release(self, slot: Slot) -> None:
        """Nothing to do."""

    def submit(self, parts: Sequence[tuple[Slot, int]]) -> None:
        """Count the tiles."""
        assert len(parts) <= self.batch
        self.calls.append(len(parts))
        self.most = max(self.most, len(self.calls))

    def collect(self) -> tuple[F32, ...]:
        """Give the rows for every tile of the oldest call."""
        count = self.calls.popleft()
        rows = np.array(self.rows, np.float32).reshape(-1, 6)
        return (np.repeat(rows[None], count, axis=0),)


def sample() -> Sample:
    """Return a grey frame with three tiles side by side, none of which overlaps another."""
    width = 3 * SIDE
    grey, half = np.full((SIDE, width), 114, np.uint8), np.full((SIDE // 2, width // 2), 128, np.uint8)
    frame = Frame(
        stream="s", index=0, pts=0, time_base=Fraction(1, 25), captured_ns=0, width=width, height=SIDE, y=grey, u=half,
        v=half, full_range=True, matrix="bt601", keyframe=True,
    )  # fmt: skip
    rects = np.array([(x, 0, x + SIDE, SIDE) for x in range(0, width, SIDE)], np.int32)
    tiles = Tiles(
        rects=rects,
        inner=np.zeros((3, 4), np.bool_),
        fitted=np.full((3, 2), SIDE, np.int32),
        scale=np.ones(3, np.float32),
        full_frame=np.zeros(3, np.bool_),
    )
    return Sample(frame, tiles)


def compared(candidate: list[Row], reference: list[Row] = PEOPLE) -> Parity:
    """Let two scripted engines look at a sample."""
    return compare(ScriptedEngine(reference), ScriptedEngine(candidate), [sample()], load())


def shifted(rows: list[Row], *, by: float = 0.0, score: float = 0.0, label: float = 0.0) -> list[Row]:
    """Return the rows moved to the right, with other scores or classes."""
    return [(x0 + by, y0, x1 + by, y1, s + score, c + label) for x0, y0, x1, y1, s, c in rows]


def test_engines_that_say_the_same_agree() -> None:
    """All tiles are looked at, as many in flight as the engine likes."""
    engine = ScriptedEngine(PEOPLE)
    parity = compare(ScriptedEngine(PEOPLE), engine, [sample()], load())
    assert (parity.total.reference, parity.total.matched, parity.total.f1) == (3 * len(PEOPLE), 3 * len(PEOPLE), 1)
    assert parity.total.mean_drift == 0
    assert (engine.most, parity.candidate.tiles) == (2, 3)
    assert not parity.refusal("fp32")


def test_scores_that_drift_are_told() -> None:
    """Boxes agree, scores lie 0.1 apart."""
    assert compared(shifted(PEOPLE, score=0.1)).total.mean_drift == pytest.approx(0.1, abs=1e-5)


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        ([], "finds nothing"),
        (shifted(PEOPLE, by=8), "F1"),
        (shifted(PEOPLE, label=1), "F1"),
        (shifted(PEOPLE, score=-0.45), "F1"),
        (PEOPLE[::2], "F1"),
    ],
)
def test_an_engine_that_finds_nothing_or_something_else_is_refused(candidate: list[Row], reason: str) -> None:
    """Whatever its precision."""
    for precision in ("fp32", "fp16", "int8"):
        assert reason in compared(candidate).refusal(precision)


def test_eight_bits_may_lose_some() -> None:
    """One in ten is what they lose."""
    fewer = [row for index, row in enumerate(PEOPLE) if index % 10]
    parity = compared(fewer)
    assert parity.refusal("fp32")
    assert not parity.refusal("int8")


def test_a_class_that_is_lost_counts_though_another_is_frequent() -> None:
    """The mean over all boxes would hide it."""
    few = [(0.0, 0.0, 8.0, 8.0, 0.9, 1.0)] * 1 + [
        (0.0, y, 8.0, y + 8, 0.9, 1.0) for y in (10.0, 20.0, 30.0, 40.0, 50.0, 56.0)
    ]
    many = [(float(x), float(y), x + 3.0, y + 3.0, 0.9, 0.0) for x in range(12, 60, 4) for y in range(0, 60, 4)]
    assert "class 1" in compared(many, many + few).refusal("int8")


def test_too_few_objects_are_no_judgement() -> None:
    """An engine is not refused over an empty street, unless it sees crowds there."""
    assert not compared([], PEOPLE[:1]).conclusive
    assert not compared([], PEOPLE[:1]).refusal("fp32")
    assert "among the reference's 0" in compared(PEOPLE, []).refusal("fp32")


@pytest.mark.parametrize("candidate", [[], shifted(PEOPLE[:4], by=8)])
def test_a_few_objects_are_enough_to_see_that_none_is_found(candidate: list[Row]) -> None:
    """A dozen boxes, and not one of them."""
    parity = compared(candidate, PEOPLE[:4])
    assert not parity.conclusive
    assert parity.refusal("int8")
