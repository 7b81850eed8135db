"""Ground truth and tracks of one video, brought together frame by frame as the metrics take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np

from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilewatch.scoring.motfile import F64, Boxes

    Index: TypeAlias = NDArray[np.intp]

Benchmark: TypeAlias = Literal["none", "MOT17"]

PEDESTRIAN = 1
DISTRACTORS = (2, 7, 8, 12)
"""Classes of MOT17 which a track may show without being wrong: on a vehicle, static, distractor, reflection."""
LIMIT = 0.5
"""IoU from which a box shows an object."""
EPSILON = float(np.finfo(np.float64).eps)


class Comparison(NamedTuple):
    """What is compared: for each of T frames G objects and M tracks."""

    truth: list[Index]
    """T arrays (G,) of objects, numbered from 0."""
    found: list[Index]
    """T arrays (M,) of tracks, numbered from 0."""
    overlap: list[F64]
    """T arrays (G, M) of IoU."""


def bring_together(truth: Boxes, found: Boxes, benchmark: Benchmark = "none") -> Comparison:
    """Return the frames in which there is anything.

    Truth whose confidence is 0 does not count. With `MOT17` the published preparation (Dendorfer et al. 2020,
    https://arxiv.org/abs/2010.07548) is done: tracks on something that is neither a person nor wrong to find are taken
    away, then only people count.

    Raises:
        ConfigError: MOT17 is asked for, and the truth has no classes.
    """
    if benchmark == "MOT17" and np.isnan(truth.label).any():
        raise ConfigError("--benchmark MOT17 needs a class in column 8 of every row of the ground truth: leave it out")
    objects, tracks = _number(truth.identity), _number(found.identity)
    counts = truth.confidence != 0
    if benchmark == "MOT17":
        counts &= truth.label == PEDESTRIAN
    result = Comparison([], [], [])
    frames = np.union1d(truth.frame, found.frame)
    for here, everything in zip(_rows_of(frames, truth.frame), _rows_of(frames, found.frame), strict=True):
        iou = overlaps(truth.box[here], found.box[everything])
        gone = _on_distractors(iou, truth.label[here]) if benchmark == "MOT17" else np.zeros(0, np.intp)
        result.truth.append(objects[here[counts[here]]])
        result.found.append(np.delete(tracks[everything], gone))
        result.overlap.append(np.delete(iou[counts[here]], gone, axis=1))
    return result._replace(truth=_without_gaps(result.truth), found=_without_gaps(result.found))


def overlaps(ours: F64, theirs: F64) -> F64:
    """Return (N, M) IoU of boxes (N, 4) and (M, 4) left, top, width, height; 0 where neither has an area."""
    low = np.maximum(ours[:, None, :2], theirs[None, :, :2])
    high = np.minimum(ours[:, None, :2] + ours[:, None, 2:], theirs[None, :, :2] + theirs[None, :, 2:])
    inner = np.clip(high - low, 0, None).prod(axis=2)
    union = ours[:, 2:].prod(axis=1)[:, None] + theirs[:, 2:].prod(axis=1)[None] - inner
    iou: F64 = np.divide(inner, union, out=np.zeros_like(inner), where=union > 0)
    return iou


def _on_distractors(iou: F64, label: F64) -> Index:
    """Return the tracks that are matched to a distractor when every object may be found, distractors too."""
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415  (as optional as TrackEval, which needs it)

    good = np.where(iou >= LIMIT - EPSILON, iou, 0.0)
    rows, columns = linear_sum_assignment(-good)
    taken: Index = columns[(good[rows, columns] > EPSILON) & np.isin(label[rows], DISTRACTORS)]
    return taken


def _rows_of(frames: F64, frame: F64) -> list[Index]:
    """Return which boxes are in each of the frames, which are sorted and all there are."""
    order = np.argsort(frame, kind="stable")
    return np.split(order, np.searchsorted(frame[order], frames[1:]))


def _number(identity: F64) -> Index:
    """Return identities as numbers from 0."""
    number: Index = np.unique(identity, return_inverse=True)[1].astype(np.intp).reshape(-1)
    return number


def _without_gaps(frames: list[Index]) -> list[Index]:
    """Return the numbers that are left, counted from 0 again."""
    every = np.unique(np.concatenate(frames)) if frames else np.zeros(0, np.intp)
    return [np.searchsorted(every, here).astype(np.intp) for here in frames]
