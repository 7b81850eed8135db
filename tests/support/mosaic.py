"""Large pictures of small people with exact truth: a mosaic of time-shifted copies of vtest.avi."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import av
import numpy as np

from tests.support.data import data_path

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CELL_WIDTH, CELL_HEIGHT = 768, 576
RATE = 10


class Person(NamedTuple):
    """One annotated person of a frame."""

    identity: int
    left: float
    top: float
    width: float
    height: float
    counted: bool
    """False: in the picture, but not to be scored by trackers."""


def truth() -> dict[int, list[Person]]:
    """Return the people of vtest.avi by 0-based frame (MOTChallenge PETS09-S2L1)."""
    found: dict[int, list[Person]] = defaultdict(list)
    for line in data_path("mot/PETS09-S2L1/gt.txt").read_text().splitlines():
        frame, identity, left, top, width, height, counted, *_ = line.split(",")
        box = float(left), float(top), float(width), float(height)
        found[int(frame) - 1].append(Person(int(identity), *box, counted=float(counted) > 0))
    return found


def make_mosaic(
    path: Path, *, columns: int, rows: int, frames: int, size: tuple[int, int] | None = None, still: int = 0
) -> dict[int, list[Person]]:
    """Write an H.264 mosaic of columns x rows cells, cut to `size` from the top left, and return its people by frame.

    The last `still` cells show one frozen picture. Identities are cell * 100 + the person's own.
    """
    pictures = _pictures()
    people = truth()
    shift = (len(pictures) - frames) // max(1, columns * rows - 1)
    width, height = size or (columns * CELL_WIDTH, rows * CELL_HEIGHT)
    found: dict[int, list[Person]] = {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frames):
            canvas = np.zeros((rows * CELL_HEIGHT, columns * CELL_WIDTH, 3), np.uint8)
            found[index] = []
            for cell in range(columns * rows):
                y, x = (cell // columns) * CELL_HEIGHT, (cell % columns) * CELL_WIDTH
                source = (index if cell < columns * rows - still else 0) + cell * shift
                canvas[y : y + CELL_HEIGHT, x : x + CELL_WIDTH] = pictures[source]
                found[index] += [
                    p._replace(identity=cell * 100 + p.identity, left=p.left + x, top=p.top + y) for p in people[source]
                ]
            picture = np.ascontiguousarray(canvas[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return found


def _pictures() -> list[NDArray[np.uint8]]:
    with av.open(str(data_path("clips/vtest.avi"))) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
