"""Merges given boxes of tiles with other libraries, at every setting; runs in an environment of theirs.

A process of bench_mosaic: reads a file of `xyxy`, `score`, `label` (N, ...) and `count` (F,) boxes of each frame, and
writes one of `NAME|xyxy`, `NAME|count` and so on for every setting NAME of SAHI's and supervision's merges.

    python merging_peers.py IN.npz OUT.npz
"""

from __future__ import annotations

import sys
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import supervision as sv
from sahi.postprocess.combine import GreedyNMMPostprocess, NMMPostprocess, NMSPostprocess
from sahi.prediction import ObjectPrediction
from supervision.detection.utils.iou_and_nms import OverlapMetric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Boxes = NDArray[np.float32]
    Merge = Callable[[Boxes, Boxes, NDArray[np.int32]], Boxes]

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SAHI = {"NMS": NMSPostprocess, "NMM": NMMPostprocess, "GREEDYNMM": GreedyNMMPostprocess}
SHAPE = [1 << 15, 1 << 15]
"""A frame larger than any."""


def settings() -> Iterator[tuple[str, Merge]]:
    """Yield every setting's name and its merge."""
    for (name, kind), metric, threshold in product(SAHI.items(), ("IOU", "IOS"), THRESHOLDS):
        post = kind(match_threshold=threshold, match_metric=metric, class_agnostic=False)
        yield f"sahi {name} {metric} {threshold}", _sahi(post)
    for name, metric, threshold in product(("NMS", "NMM"), OverlapMetric, THRESHOLDS):
        yield f"supervision {name} {metric.value} {threshold}", _supervision(name, metric, threshold)


def _sahi(post: Callable[[Any], Any]) -> Merge:
    def merge(xyxy: Boxes, score: Boxes, label: NDArray[np.int32]) -> Boxes:
        rows = zip(xyxy.tolist(), score.tolist(), label.tolist(), strict=True)
        seen = [ObjectPrediction(b, int(c), str(c), score=s, shift_amount=[0, 0], full_shape=SHAPE) for b, s, c in rows]
        return np.array([item.bbox.to_xyxy() for item in post(seen)], np.float32).reshape(-1, 4)

    return merge


def _supervision(name: str, metric: Any, threshold: float) -> Merge:
    def merge(xyxy: Boxes, score: Boxes, label: NDArray[np.int32]) -> Boxes:
        seen = sv.Detections(xyxy=xyxy, confidence=score, class_id=label)
        joined = (seen.with_nms if name == "NMS" else seen.with_nmm)(threshold, overlap_metric=metric)
        return np.asarray(joined.xyxy, np.float32)

    return merge


def main() -> None:
    """Merge and write."""
    source, target = sys.argv[1:]
    with np.load(source) as file:
        ends = np.cumsum(file["count"])[:-1]
        frames = list(zip(*(np.split(file[name], ends) for name in ("xyxy", "score", "label")), strict=True))
    found: dict[str, Any] = {}
    for name, merge in settings():
        merged = [merge(*frame) for frame in frames]
        found[f"{name}|xyxy"] = np.concatenate(merged)
        found[f"{name}|count"] = np.array([len(boxes) for boxes in merged])
    np.savez(target, **found)


if __name__ == "__main__":
    main()
