"""What the tracker must do, in plain numpy.

ByteTrack (Zhang et al. 2022, https://arxiv.org/abs/2110.06864), as the original and as ultralytics run it, and our own
mode, which differs where `rules["own"]` is asked. Tracks are rows of one structured array: those in sight (tracked, or
tentative: seen once), then the lost ones. The order matters only where two assignments are equally good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tilewatch.native.reference import kalman
from tilewatch.native.reference.assign import assign
from tilewatch.native.reference.camera import shift

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    from tilewatch.records import F32, I32, I64, Bool

    Tracks: TypeAlias = NDArray[Any]
    Rules: TypeAlias = Any
    Index: TypeAlias = NDArray[np.intp]
    Shown: TypeAlias = tuple[F32, F32, I32, I64, I32]

TENTATIVE, TRACKED, LOST = 1, 2, 4
RIVALS = 4
"""Classes a track keeps count of."""
TRACK = np.dtype(
    [
        ("motion", "f8", 20),  # see kalman
        ("seen", "f8"),  # seconds of the last match
        ("votes", "f8", RIVALS),  # weight of each rival class, the leading one's first; 0: a free place
        ("rivals", "i4", RIVALS),
        ("id", "i8"),  # 0: none yet
        ("born", "i8"),  # frame of the first box
        ("last", "i8"),  # frame of the last match
        ("score", "f4"),
        ("label", "i4"),
        ("hits", "i4"),  # boxes taken in
        ("status", "i4"),
        ("purged", "i4"),  # expired once: goes for good at its next miss
        ("matched", "i4"),  # in this frame
    ],
    align=True,
)
"""A track, as the compiled core lays it out."""
RULES = np.dtype(
    [
        ("match", "f8"),  # limit of the first association
        ("buffer", "f8"),  # seconds (own) or frames a lost track is kept
        ("high", "f4"),
        ("low", "f4"),
        ("birth", "f4"),
        ("pixel", "f4"),  # 1: areas count whole pixels
        ("extra", "f4"),  # added to every union
        ("aspect", "i4"),  # the filter's third coordinate is w/h instead of w
        ("strict", "i4"),  # a high score is above `high` rather than at least `high`
        ("own", "i4"),  # our mode rather than a reference's
        ("lock", "i4"),  # a track shows its leading class rather than its last box's
    ],
    align=True,
)
"""Parameters and peculiarities of a tracker, as the compiled core lays them out."""
SECOND, UNCONFIRMED = 0.5, 0.7
"""Limits of the second and third association."""
DOUBLED = 0.15
"""1 - IoU below which a tracked and a lost track are one object."""
COVERED = 0.75
"""IoU from which a box shows the same object as another one."""
LATE = 1e-6
"""Rounding of timestamps, seconds."""
FARTHEST = 1e7
"""Pixels; beyond it a float32 no longer counts them one by one."""


class Frame:
    """One frame's work; the methods are the steps in their order."""

    def __init__(self, rules: Rules, tracks: Tracks, counts: I64, detections: tuple[F32, F32, I32]) -> None:
        self.rules = rules
        self.tracks = tracks[: counts[1]].copy()
        self.tracks["matched"] = 0
        self.tracked = int(counts[0])
        self.counts = counts
        self.xyxy, self.score, self.label = detections
        self.frame, self.now = 0, 0.0

    def at(self, frame: int, now: float) -> None:
        """Say which frame it is, counted from 1, and its time in seconds."""
        self.frame, self.now = frame, now

    def divide(self) -> tuple[Index, Index]:
        """Return the detections of high and of low score; refuse those that are no boxes, and count them."""
        rules, score = self.rules, self.score
        good = (np.abs(self.xyxy) < FARTHEST).all(axis=1) & np.isfinite(score)
        good &= (self.xyxy[:, 2:] > self.xyxy[:, :2]).all(axis=1)
        self.counts[3] += np.count_nonzero(~good)
        high = (score > rules["high"]) | ((score == rules["high"]) & (rules["strict"] == 0))
        low = (score > rules["low"]) & (score < rules["high"])
        return np.flatnonzero(good & high), np.flatnonzero(good & low)

    def expire(self) -> None:
        """Forget the lost tracks whose time is over."""
        keep = self.now - self.tracks["seen"] <= self.rules["buffer"] + LATE
        self.tracks = self.tracks[keep | (np.arange(len(keep)) < self.tracked)]

    def predict(self, steps: float) -> None:
        """Move the tracks on; those seen only once stay where they are for a whole step, as published."""
        status = self.tracks["status"]
        rows = np.flatnonzero((status != TENTATIVE) | (steps != 1))
        table = self.tracks["motion"][rows]
        kalman.predict(table, steps, status[rows] != LOST, aspect=self._aspect)
        self.tracks["motion"][rows] = table

    def follow_camera(self, high: Index) -> None:
        """Move all tracks by the shift of the picture, if there was one."""
        voters = (self.tracks["status"] == TRACKED) & (self.tracks["hits"] >= 2)
        boxes = self.xyxy[high].astype(np.float64)
        centres = np.column_stack([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 3] - boxes[:, 1]])
        move = shift(self.tracks["motion"][voters][:, [0, 1, 3]], centres)
        if move is not None:
            self.tracks["motion"][:, :2] += move

    def associate(self, wanted: int, free: Index, limit: float, *, fused: bool) -> Index:
        """Match tracks of the wanted states to free detections by IoU, or IoU x score; return those still free."""
        rows = np.flatnonzero((self.tracks["matched"] == 0) & (self.tracks["status"] & wanted != 0))
        iou = self._overlaps(self._boxes(self.tracks[rows]), self.xyxy[free]).astype(np.float64)
        cost = 1 - (iou * self.score[free] if fused else iou)
        column = assign(np.where(iou > 0, cost, np.inf), limit)
        hit = column >= 0
        self._take(rows[hit], free[column[hit]])
        return np.delete(free, column[hit])

    def _take(self, rows: Index, taken: Index) -> None:
        """Give detections to tracks."""
        tracks = self.tracks[rows]
        kalman.correct(tracks["motion"], self.xyxy[taken].astype(np.float64), aspect=self._aspect)
        tracks["status"], tracks["matched"], tracks["last"], tracks["seen"] = TRACKED, 1, self.frame, self.now
        tracks["score"], tracks["label"] = self.score[taken], self.label[taken]
        tracks["hits"] += 1
        vote_each(tracks)
        self.tracks[rows] = tracks

    def rearrange(self, free: Index) -> None:
        """Let the unmatched go or be lost, and start tracks at the free high detections."""
        matched, in_sight = self.tracks["matched"] != 0, np.arange(len(self.tracks)) < self.tracked
        newborn = self._give_birth(free)
        missed = self.tracks[in_sight & ~matched & (self.tracks["status"] == TRACKED) & (self.tracks["purged"] == 0)]
        missed["status"] = LOST
        waiting = self._still_waiting(self.tracks[~in_sight & ~matched])
        seen = np.concatenate([self.tracks[in_sight & matched], newborn, self.tracks[~in_sight & matched]])
        self.tracks, self.tracked = np.concatenate([seen, waiting, missed]), len(seen)

    def _still_waiting(self, lost: Tracks) -> Tracks:
        """Return the lost tracks that are kept; in the references one outlives its buffer by a frame."""
        kept: Tracks = lost[lost["purged"] == 0]
        if not self.rules["own"]:
            kept["purged"] = self.frame - kept["last"] > self.rules["buffer"]
        return kept

    def _give_birth(self, free: Index) -> Tracks:
        """Return new tracks; the references number them now, we once they are confirmed."""
        free = free[self.score[free] >= self.rules["birth"]]
        if self.rules["own"]:
            free = free[~self._is_double(free)]
        born = np.zeros(len(free), TRACK)
        born["motion"] = kalman.start(self.xyxy[free].astype(np.float64), aspect=self._aspect)
        born["status"] = TRACKED if self.frame == 1 else TENTATIVE
        born["score"], born["label"], born["hits"] = self.score[free], self.label[free], 1
        born["born"] = born["last"] = self.frame
        born["seen"] = self.now
        born["rivals"][:, 0] = born["label"]
        vote_each(born)
        if not self.rules["own"]:
            born["id"] = self._number(len(born))
        return born

    def _is_double(self, free: Index) -> Bool:
        """Return which candidates show what was matched, or what another, better candidate shows."""
        matched = self._boxes(self.tracks[self.tracks["matched"] != 0])
        on_matched = (self._overlaps(self.xyxy[free], matched) >= COVERED).any(axis=1)
        score, place = self.score[free], np.arange(len(free))
        better = (score[None] > score[:, None]) | ((score[None] == score[:, None]) & (place[None] < place[:, None]))
        covered = (self._overlaps(self.xyxy[free], self.xyxy[free]) >= COVERED) & better
        double: Bool = on_matched | covered.any(axis=1)
        return double

    def drop_doubles(self) -> None:
        """Where a tracked and a lost track lie on each other, drop the younger."""
        boxes, seen = self._boxes(self.tracks), self.tracked
        tracked, lost = np.nonzero(1 - self._overlaps(boxes[:seen], boxes[seen:]).astype(np.float64) < DOUBLED)
        age = self.tracks["last"] - self.tracks["born"]
        gone = np.where(age[tracked] > age[seen + lost], seen + lost, tracked)
        self.tracks, self.tracked = np.delete(self.tracks, gone), seen - np.count_nonzero(np.unique(gone) < seen)

    def show(self) -> Shown:
        """Return the confirmed tracks in sight by id, numbering new ones: boxes, score, label, id, age."""
        confirmed = np.flatnonzero(self.tracks["status"][: self.tracked] == TRACKED)
        unnumbered = confirmed[self.tracks["id"][confirmed] == 0]
        self.tracks["id"][unnumbered] = self._number(len(unnumbered))
        shown = self.tracks[confirmed[np.argsort(self.tracks["id"][confirmed])]]
        age = (self.frame - shown["born"]).astype(np.int32)
        label = shown["rivals"][:, 0] if self.rules["lock"] else shown["label"]
        return self._boxes(shown), shown["score"].copy(), label.copy(), shown["id"].copy(), age

    def _number(self, count: int) -> I64:
        """Return the next ids."""
        self.counts[2] += count
        return np.arange(self.counts[2] - count, self.counts[2])

    @property
    def _aspect(self) -> bool:
        return bool(self.rules["aspect"])

    def _boxes(self, tracks: Tracks) -> F32:
        """Return (N, 4) boxes of tracks."""
        return kalman.bounds(tracks["motion"], aspect=self._aspect).astype(np.float32)

    def _overlaps(self, ours: F32, theirs: F32) -> F32:
        """Return (N, M) IoU in float32; the original counts whole pixels, the others add a trifle to the union."""
        pixel, one = self.rules["pixel"], np.float32(0)
        low = np.maximum(ours[:, None, :2], theirs[None, :, :2])
        high = np.minimum(ours[:, None, 2:], theirs[None, :, 2:])
        inner = np.maximum(high - low + pixel, one).prod(axis=2)
        mine, other = ((box[:, 2:] - box[:, :2] + pixel).prod(axis=1) for box in (ours, theirs))
        iou: F32 = inner / (mine[:, None] + other[None] - inner + self.rules["extra"])
        return iou


def vote_each(tracks: Tracks) -> None:
    """Count the score of each track's last box for its class, in place."""
    for row in range(len(tracks)):
        vote(tracks["rivals"][row], tracks["votes"][row], tracks["label"][row], float(tracks["score"][row]))


def vote(rivals: I32, votes: NDArray[np.float64], label: int, weight: float) -> None:
    """Count a box for its class; (RIVALS,) classes and weights, in place, the leading class first.

    A class without a place takes as much from all rivals as the lightest can give, and that one's place once it is
    free (Misra and Gries 1982, with weights). Differences between the rivals stay what they were, and a class with more
    than a fifth of all weight is never forgotten. Only who gets more than the leading class leads instead of it.
    """
    weight = max(weight, 0.0)
    places = np.flatnonzero((rivals == label) & (votes > 0))
    place = int(places[0]) if len(places) else int(votes.argmin())
    if not len(places):
        taken = min(weight, votes[place])
        votes -= taken
        weight -= taken
        if weight > 0:
            rivals[place] = label
    votes[place] += weight
    if votes[place] > votes[0]:
        rivals[[0, place]], votes[[0, place]] = rivals[[place, 0]], votes[[place, 0]]


def update(
    rules: Rules,
    counts: I64,
    tracks: Tracks,
    xyxy: F32,
    score: F32,
    label: I32,
    frame: int,
    now: float,
    steps: float,
) -> tuple[Tracks, Shown]:
    """Take in one frame: return the tracks afterwards and what is shown of them.

    `counts` (in sight, all, next id, refused) is brought up to date; `tracks` is left as it was.
    """
    work = Frame(rules, tracks, counts, (xyxy, score, label))
    work.at(frame, now)
    high, low = work.divide()
    if rules["own"]:
        work.expire()
    work.predict(steps)
    if rules["own"]:
        work.follow_camera(high)
    high = work.associate(TRACKED | LOST, high, rules["match"], fused=True)
    work.associate(TRACKED, low, SECOND, fused=False)
    high = work.associate(TENTATIVE, high, UNCONFIRMED, fused=True)
    work.rearrange(high)
    work.drop_doubles()
    shown = work.show()
    counts[0], counts[1] = work.tracked, len(work.tracks)
    return work.tracks, shown
