"""The peers of bench_merge, run by an interpreter that has them; needs nothing of this project.

python merge_peers.py CASES.npz

The file holds arrays `NAME/K/xyxy`, `NAME/K/score` and `NAME/K/label`. Says first which peers there are, as a JSON
list; then answers each line "[peer, name, K]" by the CPU milliseconds of a call.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[[], object]

THRESHOLD = 0.5
BURST = 4.0
"""CPU milliseconds of calls, at least, in one measurement."""


def torchvision_batched(torch: Any, boxes: Any, score: Any, label: Any) -> Call:
    """Return a call of suppression class by class."""
    ops, columns = importlib.import_module("torchvision.ops"), [torch.from_numpy(a) for a in (boxes, score, label)]
    return lambda: ops.batched_nms(*columns, THRESHOLD)


def torchvision_offsets(torch: Any, boxes: Any, score: Any, label: Any) -> Call:
    """Return a call of suppression with the classes moved apart."""
    ops, (x, s, c) = importlib.import_module("torchvision.ops"), [torch.from_numpy(a) for a in (boxes, score, label)]
    return lambda: ops.nms(x + (c * (x.max() + 1))[:, None], s, THRESHOLD)


def sahi(name: str) -> Callable[..., Call]:
    """Return what prepares a call of one of SAHI's mergers."""

    def prepare(_: Any, boxes: Any, score: Any, label: Any) -> Call:
        merge = getattr(importlib.import_module("sahi.postprocess.combine"), name)
        rows = np.column_stack([boxes, score, label]).astype(np.float32)
        return lambda: merge(rows, "IOU", THRESHOLD)

    return prepare


def supervision(_: Any, boxes: Any, score: Any, label: Any) -> Call:
    """Return a call of supervision's suppression."""
    suppress = importlib.import_module("supervision").box_non_max_suppression
    rows = np.column_stack([boxes, score, label])
    return lambda: suppress(rows, THRESHOLD)


def ultralytics(torch: Any, boxes: Any, score: Any, label: Any) -> Call:
    """Return a call of suppression from a head's output."""
    suppress = importlib.import_module("ultralytics.utils.nms").non_max_suppression
    head = np.zeros((1, 84, len(boxes)), np.float32)
    head[0, :2], head[0, 2:4] = ((boxes[:, :2] + boxes[:, 2:]) / 2).T, (boxes[:, 2:] - boxes[:, :2]).T
    head[0, 4 + label, np.arange(len(boxes))] = score
    rows = torch.from_numpy(head)
    # It works on its input, so each call gets a copy: 3 MB at 10,000 boxes.
    return lambda: suppress(rows.clone(), 0.05, THRESHOLD, max_det=100_000, max_nms=100_000)


PEERS = {
    "torchvision batched_nms": ("torchvision", torchvision_batched),
    "torchvision nms, offsets": ("torchvision", torchvision_offsets),
    "ultralytics": ("ultralytics", ultralytics),
    "sahi batched NMS": ("sahi", sahi("batched_nms")),
    "sahi greedy NMM": ("sahi", sahi("batched_greedy_nmm")),
    "sahi NMM": ("sahi", sahi("batched_nmm")),
    "supervision NMS": ("supervision", supervision),
}


def main() -> None:
    """Serve."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    there = [name for name, (module, _) in PEERS.items() if find_spec(module)]
    arrays = np.load(sys.argv[1])
    say(there)
    for line in sys.stdin:
        peer, name, number = json.loads(line)
        columns = (arrays[f"{name}/{number}/{column}"] for column in ("xyxy", "score", "label"))
        call = PEERS[peer][1](torch, *columns)
        say(cpu_ms(call))


def cpu_ms(call: Call) -> float:
    """Return the mean CPU time of a call, all threads, over a short burst; a first call warms the caches up."""
    call()
    start, calls, spent = time.process_time(), 0, 0.0
    while spent < BURST:
        call()
        calls += 1
        spent = 1e3 * (time.process_time() - start)
    return spent / calls


def say(what: object) -> None:
    """Write one line of JSON."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
