"""Kernels of ext/heads.pyx. Each writes to the front of the output arrays, returns how many, and holds no GIL.

The caller owns every array. Outputs (`xyxy` (N, 4) float32, `score` (N,) float32, `label` (N,) int32, `tile` (N,)
int16) have room for one candidate of every anchor, at least one; `wanted` is (C,) uint8, or empty for all classes.
"""

from tilewatch.records import F32, I16, I32, U8

def columns(output: F32, threshold: float, wanted: U8, xyxy: F32, score: F32, label: I32, tile: I16) -> int:
    """Decode (B, 4+C, A): centre, size in pixels, then scores, each a row over the anchors."""

def rows(output: F32, grid: F32, threshold: float, wanted: U8, xyxy: F32, score: F32, label: I32, tile: I16) -> int:
    """Decode (B, A, 5+C); `grid` is (A, 3) column, row, stride for raw offsets, (0, 3) for boxes in pixels."""

def end2end(output: F32, threshold: float, wanted: U8, xyxy: F32, score: F32, label: I32, tile: I16) -> int:
    """Decode (B, K, 6): left top right bottom in pixels, score, class."""

def detr(
    boxes: F32,
    scores: F32,
    logits: bool,
    size: float,
    threshold: float,
    wanted: U8,
    xyxy: F32,
    score: F32,
    label: I32,
    tile: I16,
) -> int:
    """Decode (B, Q, 4) centre and size as fractions of the input's side, with (B, Q, C) scores or logits."""

def run_filter(task: int, tiles: int) -> None:
    """Do what a GPU's threads do: the HeadFilter (ext/head_kernel.h) at an address, for its first tiles.

    Every address in it must be the processor's. Releases the GIL.
    """

def filter_bytes() -> int:
    """Return the size of a HeadFilter."""
