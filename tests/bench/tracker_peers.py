"""Times other trackers on given detections; runs in an environment of theirs, as a process of bench_tracker.

Reads lines `NAME FILE.npz` and answers each with a JSON list of the milliseconds of every update.
"""

from __future__ import annotations

import json
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

HIGH, LOW, NEW = 0.25, 0.1, 0.25


def ultralytics() -> tuple[Callable[[Any], object], Callable[..., Any]]:
    """Return the update of a fresh BYTETracker with its own defaults, and what makes its input."""
    from ultralytics.engine.results import Boxes  # noqa: PLC0415
    from ultralytics.trackers.byte_tracker import BYTETracker  # noqa: PLC0415

    settings = {"track_high_thresh": HIGH, "track_low_thresh": LOW, "new_track_thresh": NEW, "track_buffer": 30}
    tracker = BYTETracker(SimpleNamespace(**settings, match_thresh=0.8, fuse_score=True))

    def boxes(xyxy: NDArray[np.float32], score: NDArray[np.float32], label: NDArray[np.int32]) -> Any:
        return Boxes(np.column_stack([xyxy, score, label]).astype(np.float32), (1080, 1920))

    return tracker.update, boxes


def trackers() -> tuple[Callable[[Any], object], Callable[..., Any]]:
    """Return the update of a fresh ByteTrackTracker at the same thresholds, and what makes its input."""
    import supervision  # noqa: PLC0415
    from trackers import ByteTrackTracker  # noqa: PLC0415

    tracker = ByteTrackTracker(track_activation_threshold=NEW, high_conf_det_threshold=HIGH)

    def detections(xyxy: NDArray[np.float32], score: NDArray[np.float32], label: NDArray[np.int32]) -> Any:
        return supervision.Detections(xyxy=xyxy, confidence=score, class_id=label)

    return tracker.update, detections


PEERS = {"ultralytics": ultralytics, "trackers": trackers}


def frames(path: str) -> Iterator[tuple[Any, ...]]:
    """Yield boxes, scores and classes of each frame."""
    with np.load(path) as file:
        ends = np.cumsum(file["count"])[:-1]
        yield from zip(*(np.split(file[name], ends) for name in ("xyxy", "score", "label")), strict=True)


def measure(name: str, path: str) -> list[float]:
    """Return the milliseconds of every update."""
    update, make = PEERS[name]()
    took = []
    for seen in [make(*scene) for scene in frames(path)]:
        start = time.perf_counter()
        update(seen)
        took.append(1e3 * (time.perf_counter() - start))
    return took


def main() -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        name, path = line.rstrip("\n").split(" ", 1)
        print(json.dumps(measure(name, path)), flush=True)


if __name__ == "__main__":
    main()
