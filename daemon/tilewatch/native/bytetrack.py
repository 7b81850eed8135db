"""Objects keep their identity from frame to frame: ByteTrack (Zhang et al. 2022, https://arxiv.org/abs/2110.06864).

Two modes on one code path. `parity` gives what the published trackers give, frame by frame, in the `flavour` of
ultralytics or of the original. `default` adds what makes it better on real footage: the camera's own movement is told
from the boxes, prediction follows the timestamps rather than a count of frames, the patience with lost objects is in
seconds, a box on top of a matched object starts nothing, ids are given once an object is confirmed, and an object is of
the class that most of its boxes speak for.

The rules are in `reference.bytetrack`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np

from tilewatch.native import COMPILED
from tilewatch.native.clock import Clock
from tilewatch.native.reference import bytetrack as reference
from tilewatch.native.reference.bytetrack import RULES, TRACK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilewatch.records import F32, I32, I64

if COMPILED:
    from tilewatch.native import _bytetrack

Mode: TypeAlias = Literal["default", "parity"]
Flavour: TypeAlias = Literal["ultralytics", "original"]

STATE = np.dtype([("magic", "S8"), ("own", "i4"), ("pixel", "f4"), ("clock", "f8", 6), ("counts", "i8", 4)])
"""What stands before the tracks in a saved state."""
MAGIC = b"twtrack2"


class TrackArrays(NamedTuple):
    """M confirmed objects seen in this frame, ordered by id."""

    xyxy: F32
    """(M, 4) left top right bottom of the filtered box, frame pixels, right/bottom exclusive; may reach outside."""
    score: F32
    """(M,) score of the detection taken in this frame."""
    label: I32
    """(M,) class index: the one that leads by score over the track's life, or that of the last detection."""
    track_id: I64
    """(M,) from 1."""
    age: I32
    """(M,) frames since the track was born."""


class ByteTrack:
    """The tracker of one stream. Nothing is shared between instances; one thread at a time.

    Scores from `high` are matched first, those above `low` may continue a track, those from `new` may begin one.
    `match` is the limit of 1 - IoU x score up to which track and box belong together. A lost track waits
    `buffer_seconds` (default) or `buffer_frames` (parity). `flavour` matters in parity mode only. With `lock_class` a
    track shows the class with the largest sum of scores so far, of equal ones the one that led before; without it, and
    in parity mode always, that of its last box. Ids count from `first_id`.

    Raises ValueError for an unknown mode or flavour, or ids that do not count from 1 or more.
    """

    def __init__(  # noqa: PLR0913 -- the published parameters
        self,
        *,
        mode: Mode = "default",
        flavour: Flavour = "ultralytics",
        high: float = 0.25,
        low: float = 0.1,
        new: float = 0.25,
        match: float = 0.8,
        buffer_seconds: float = 1.5,
        buffer_frames: int = 30,
        lock_class: bool = True,
        first_id: int = 1,
    ) -> None:
        if mode not in {"default", "parity"} or flavour not in {"ultralytics", "original"}:
            raise ValueError(f"mode {mode!r}, flavour {flavour!r}: no such tracker")
        if first_id < 1:
            raise ValueError(f"first id {first_id}: ids count from 1 or more")
        own, pixels = mode == "default", mode == "parity" and flavour == "original"
        self._rules = np.zeros(1, RULES)
        buffer, extra = buffer_seconds if own else buffer_frames, 0 if pixels else 1e-7
        own_rules = (own, own and lock_class)
        self._rules[0] = (match, buffer, high, low, new, pixels, extra, not own, pixels, *own_rules)
        self._clock = Clock()
        self._counts = np.array([0, 0, first_id, 0], np.int64)  # tracked, tracked and lost, next id, refused
        self._tracks = np.zeros(0, TRACK)
        self._spare = np.zeros(0, TRACK)
        self._scratch: tuple[I32, NDArray[np.float64], F32] = (
            np.zeros(0, np.intc),
            np.zeros(0),
            np.zeros(0, np.float32),
        )

    @property
    def next_id(self) -> int:
        """The id that the next new object will get."""
        return int(self._counts[2])

    @property
    def newest(self) -> float:
        """Time of the newest frame, seconds; -inf before the first."""
        return self._clock.newest

    @property
    def refused(self) -> int:
        """Boxes refused so far: not finite, beyond any picture, or without area."""
        return int(self._counts[3])

    @property
    def late(self) -> int:
        """Timestamps so far that were not after the one before, or no number."""
        return self._clock.late

    def update(self, xyxy: F32, score: F32, label: I32, seconds: float) -> TrackArrays:
        """Take in the detections of the next frame and return the objects seen in it. The GIL is released.

        `xyxy` (N, 4) float32 frame pixels, `score` (N,) float32, `label` (N,) int32; N may be 0. `seconds` is the
        frame's time. Bad boxes are refused and counted; a timestamp that is not after the last one stands for a gap
        like the one before. Raises ValueError for arrays that do not fit together.
        """
        boxes, scores = np.ascontiguousarray(xyxy, np.float32), np.ascontiguousarray(score, np.float32)
        labels = np.ascontiguousarray(label, np.int32)
        count = len(scores)
        if boxes.shape != (count, 4) or scores.shape != (count,) or labels.shape != (count,):
            raise ValueError(f"boxes {boxes.shape}, scores {scores.shape}, labels {labels.shape}: do not fit together")
        steps = self._clock.advance(seconds)
        steps = steps if self._rules["own"][0] else 1.0
        if COMPILED:
            return self._update(boxes, scores, labels, steps)
        rules, frame, now = self._rules[0], self._clock.frame, self._clock.now
        self._tracks, shown = reference.update(
            rules, self._counts, self._tracks, boxes, scores, labels, frame, now, steps
        )
        return TrackArrays(*shown)

    def _update(self, boxes: F32, scores: F32, labels: I32, steps: float) -> TrackArrays:
        """Do a frame in the compiled core, which writes the tracks that go on into the spare array."""
        out = self._reserve(len(scores))
        ints, reals, floats = self._scratch
        count = _bytetrack.update(
            self._rules,
            self._counts,
            self._tracks,
            self._spare,
            ints,
            reals,
            floats,
            boxes,
            scores,
            labels,
            self._clock.frame,
            self._clock.now,
            steps,
            out.xyxy,
            out.score,
            out.label,
            out.track_id,
            out.age,
        )
        self._tracks, self._spare = self._spare, self._tracks
        return TrackArrays(
            out.xyxy[:count], out.score[:count], out.label[:count], out.track_id[:count], out.age[:count]
        )

    def _reserve(self, detections: int) -> TrackArrays:
        """Make room for this frame and return it for what will be shown; untouched pages cost nothing."""
        alive = int(self._counts[1])
        most = alive + detections
        if most >= len(self._spare) or most >= len(self._tracks):
            grown = np.zeros(max(64, 2 * most), TRACK)
            grown[:alive] = self._tracks[:alive]
            self._tracks, self._spare = grown, np.zeros_like(grown)
        needs, (ints, reals, floats) = _bytetrack.room(alive, detections), self._scratch
        if needs[0] >= len(ints) or needs[1] >= len(reals) or needs[2] >= len(floats):
            sizes = [2 * need + 64 for need in needs]
            self._scratch = (np.empty(sizes[0], np.intc), np.empty(sizes[1]), np.empty(sizes[2], np.float32))
        return TrackArrays(
            np.empty((most, 4), np.float32),
            np.empty(most, np.float32),
            np.empty(most, np.int32),
            np.empty(most, np.int64),
            np.empty(most, np.int32),
        )

    def state(self) -> bytes:
        """Return all that the next frames depend on, except the parameters."""
        head = np.zeros(1, STATE)
        rules = self._rules[0]
        head[0] = (MAGIC, rules["own"], rules["pixel"], self._clock.state(), self._counts)
        return head.tobytes() + self._tracks[: self._counts[1]].tobytes()

    def restore(self, state: bytes) -> None:
        """Go on from a state of a tracker of the same mode and flavour, exactly as that one would have.

        Raises ValueError for bytes that are no such state; the tracker is then as it was.
        """
        head = np.frombuffer(state[: STATE.itemsize], STATE) if len(state) >= STATE.itemsize else np.zeros(1, STATE)
        own, pixel, counts = head["own"][0], head["pixel"][0], head["counts"][0]
        fits = own == self._rules["own"][0] and pixel == self._rules["pixel"][0]
        if head["magic"][0] != MAGIC or not fits or len(state) != STATE.itemsize + int(counts[1]) * TRACK.itemsize:
            raise ValueError(f"{len(state)} bytes: no state of a tracker like this one")
        self._counts = counts.copy()
        self._clock.restore(tuple(head["clock"][0].tolist()))
        self._tracks = np.frombuffer(state[STATE.itemsize :], TRACK).copy()
        self._spare = np.zeros(0, TRACK)
