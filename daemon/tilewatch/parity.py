"""Does an engine find what the reference finds? Both see the same tiles, through the program's own heads and merge."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from tilewatch.engines.base import Engine
from tilewatch.records import RawHeads, TileBatch
from tilewatch.stages.track import Tracker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tilewatch.engines.heads import Head
    from tilewatch.records import F32, Tracks
    from tilewatch.sampling import Sample
    from tilewatch.settings import Settings

SAME_OBJECT_IOU = 0.5
SOME_BOXES, ENOUGH_BOXES = 5, 20
"""Boxes of the reference from which finding nothing of them is no chance, and from which agreement is none."""
CLASS_F1 = 0.5
"""A class of enough boxes below this is another class, or none."""


LEAST_F1 = {"fp32": 0.97, "fp16": 0.95, "int8": 0.80}
"""Agreement with the reference, over all boxes, that an engine of each precision must reach.

Arithmetic of 32 and 16 bits moves only boxes near the threshold; eight bits were measured at 0.87 to 0.96.
"""


class ReadyEngine(Engine, Protocol):
    """An engine that is open and warm, and knows how to read its outputs."""

    @property
    def head(self) -> Head:
        """How to read its outputs."""


@dataclass(slots=True)
class Agreement:
    """How far two lists of boxes of one class agree."""

    reference: int = 0
    candidate: int = 0
    matched: int = 0
    drift: float = 0.0
    """Sum of the absolute differences of the scores of matched boxes."""

    @property
    def precision(self) -> float:
        """Share of the candidate's boxes that the reference has too; 1 where it has none."""
        return self.matched / self.candidate if self.candidate else 1.0

    @property
    def recall(self) -> float:
        """Share of the reference's boxes that the candidate has too; 1 where it has none."""
        return self.matched / self.reference if self.reference else 1.0

    @property
    def f1(self) -> float:
        """2 matched / (all boxes of both); 1 where there are none."""
        boxes = self.reference + self.candidate
        return 2 * self.matched / boxes if boxes else 1.0

    @property
    def mean_drift(self) -> float:
        """Mean absolute difference of matched scores."""
        return self.drift / self.matched if self.matched else 0.0

    def add(self, other: Agreement) -> None:
        """Count another agreement in."""
        self.reference += other.reference
        self.candidate += other.candidate
        self.matched += other.matched
        self.drift += other.drift


@dataclass(slots=True)
class Speed:
    """How long an engine took."""

    tiles: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    """CPU time of the whole process meanwhile: on a busy machine the steadier figure of the two."""

    @property
    def wall_ms(self) -> float:
        """Milliseconds a tile."""
        return 1000 * self.wall_seconds / max(1, self.tiles)

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds a tile."""
        return 1000 * self.cpu_seconds / max(1, self.tiles)


@dataclass(slots=True)
class Parity:
    """What two engines made of the same tiles."""

    classes: dict[int, Agreement] = field(default_factory=lambda: defaultdict(Agreement))
    """By class index."""
    reference: Speed = field(default_factory=Speed)
    candidate: Speed = field(default_factory=Speed)

    @property
    def total(self) -> Agreement:
        """All classes together."""
        together = Agreement()
        for agreement in self.classes.values():
            together.add(agreement)
        return together

    @property
    def conclusive(self) -> bool:
        """Whether the reference found enough for a judgement."""
        return self.total.reference >= ENOUGH_BOXES

    def refusal(self, precision: str) -> str:
        """Return why an engine of 'fp32', 'fp16' or 'int8' must not be used, '' when it may; one clause."""
        total, least = self.total, LEAST_F1[precision]
        if total.reference >= SOME_BOXES and not total.candidate:
            return f"it finds nothing where the reference finds {total.reference} objects"
        if not self.conclusive:
            strange = total.candidate > total.reference + ENOUGH_BOXES
            strange = strange or (total.reference >= SOME_BOXES and total.f1 < CLASS_F1)
            found = (
                f"it finds {total.candidate} objects, {total.matched} of them among the reference's {total.reference}"
            )
            return found if strange else ""
        if total.f1 < least:
            return f"its F1 against the reference is {total.f1:.3f}, below {least:.2f} for {precision}"
        poor = [label for label, one in self.classes.items() if one.reference >= ENOUGH_BOXES and one.f1 < CLASS_F1]
        return f"its F1 for class {poor[0]} is {self.classes[poor[0]].f1:.3f}, below {CLASS_F1:.2f}" if poor else ""


def compare(reference: ReadyEngine, candidate: ReadyEngine, samples: Iterable[Sample], settings: Settings) -> Parity:
    """Let both engines look at every sample. Both must be open and warm; blocking.

    Raises:
        EngineError: one of the engines failed.
    """
    parity, settings = Parity(), _boxes_only(settings)
    ours, theirs = (
        Tracker(partial(e.head.decode, threshold=settings.score_floor), settings) for e in (reference, candidate)
    )
    for sample in samples:
        expected = ours(_infer(reference, sample, parity.reference))
        found = theirs(_infer(candidate, sample, parity.candidate))
        for label in set(expected.label.tolist()) | set(found.label.tolist()):
            parity.classes[label].add(_agreement(expected, found, label))
    return parity


def _boxes_only(settings: Settings) -> Settings:
    """Return the settings for single frames: without memory of earlier ones."""
    return settings.model_copy(
        update={
            "tracking": settings.tracking.model_copy(update={"enable_tracking": False}),
            "tile": settings.tile.model_copy(update={"gate": "off"}),
        }
    )


def _infer(engine: ReadyEngine, sample: Sample, speed: Speed) -> RawHeads:
    """Return what an engine says about a sample's tiles, fed as it likes."""
    slot = engine.cut(sample.frame, sample.tiles)
    batch, most, rows = engine.feeding.batch, engine.feeding.in_flight, len(sample.tiles)
    waiting = deque(range(start, min(start + batch, rows)) for start in range(0, rows, batch))
    outputs: list[tuple[F32, ...]] = []
    wall, cpu, in_flight = time.perf_counter(), time.process_time(), 0
    while waiting or in_flight:
        if waiting and in_flight < most:
            engine.submit([(slot, row) for row in waiting.popleft()])
            in_flight += 1
            continue
        outputs.append(tuple(output.copy() for output in engine.collect()))
        in_flight -= 1
    speed.wall_seconds += time.perf_counter() - wall
    speed.cpu_seconds += time.process_time() - cpu
    speed.tiles += rows
    engine.release(slot)
    nothing = sample.tiles.take(np.zeros(0, np.intp))
    taken = TileBatch(frame=sample.frame, tiles=sample.tiles, skipped=nothing, skip_reasons=(), slot=None)
    return RawHeads(batch=taken, outputs=tuple(map(_joined, zip(*outputs, strict=True))))


def _joined(outputs: tuple[F32, ...]) -> F32:
    """Return several calls' outputs as one; where a device picked candidates, 0 fills up to the most there are."""
    most = max(output.shape[1] for output in outputs)
    rest = [((0, 0),) * (output.ndim - 2) for output in outputs]
    padded = [
        np.pad(output, ((0, 0), (0, most - output.shape[1]), *more)) for output, more in zip(outputs, rest, strict=True)
    ]
    joined: F32 = np.concatenate(padded)
    return joined


def _agreement(expected: Tracks, found: Tracks, label: int) -> Agreement:
    """Pair the boxes of one class, the candidate's surest first, each with the free one it overlaps most."""
    ours, theirs = expected.label == label, found.label == label
    scores, sure = expected.score[ours], found.score[theirs]
    overlap = _overlaps(found.xyxy[theirs], expected.xyxy[ours])
    result = Agreement(reference=len(scores), candidate=len(sure))
    for row in np.argsort(-sure, kind="stable") if len(scores) else ():
        best = int(overlap[row].argmax())
        if overlap[row, best] >= SAME_OBJECT_IOU:
            overlap[:, best] = 0
            result.matched += 1
            result.drift += abs(float(sure[row]) - float(scores[best]))
    return result


def _overlaps(ours: F32, theirs: F32) -> F32:
    """Return (N, M) IoU of boxes (N, 4) and (M, 4) left, top, right, bottom."""
    low = np.maximum(ours[:, None, :2], theirs[None, :, :2])
    high = np.minimum(ours[:, None, 2:], theirs[None, :, 2:])
    inner = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (ours, theirs)]
    iou: F32 = inner / np.maximum(areas[0][:, None] + areas[1][None] - inner, np.finfo(np.float32).tiny)
    return iou
