"""The motion gate's measure of change; see native.gate. Releases the GIL and owns nothing."""

from numpy import int32, int64, uint8, uint16
from numpy.typing import NDArray

def block_means(y: NDArray[uint8], columns: NDArray[uint16], means: NDArray[uint16]) -> None:
    """Write the (R, C) means of 8x8 blocks; `columns` is room for W values. The rows of `y` are contiguous."""

def compare(
    now: NDArray[uint16],
    before: NDArray[uint16],
    start: NDArray[int64],
    windows: NDArray[int32],
    least: int,
    histogram: NDArray[int32],
    changed: NDArray[uint8],
    found: NDArray[int64],
) -> None:
    """Write which blocks changed and (T, 3) strength, blocks, noise; `histogram` is room for 2048 values."""
