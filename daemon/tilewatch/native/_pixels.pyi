"""Cutting tiles; see native.pixels. Releases the GIL and owns nothing."""

from numpy import int32, uint8
from numpy.typing import NDArray

def cut(
    y: NDArray[uint8],
    u: NDArray[uint8],
    v: NDArray[uint8],
    rects: NDArray[int32],
    fitted: NDArray[int32],
    terms: NDArray[int32],
    scratch: NDArray[int32],
    out: NDArray[uint8],
    by_pixel: bool,
) -> None:
    """Write T tiles into `out` (T, S, S, 3); `terms` as `colour_terms`, `scratch` of `scratch_size` integers.

    `by_pixel` computes every pixel by itself, as a GPU does: slow, the same bytes.
    """

def run_job(job: int, tiles: int) -> None:
    """Do what a GPU's threads do: the job at an address (a TileJob of ext/tile_kernel.h), for its first tiles.

    Every address in it must be the processor's. Releases the GIL.
    """

def job_bytes() -> int:
    """Return the size of a TileJob."""
