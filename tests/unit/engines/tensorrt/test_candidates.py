"""What the device picks is what the head would have found in the model's own outputs."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewatch.engines.cuda.layout import ROW, HeadFilter
from tilewatch.engines.heads import Columns, Detr, EndToEnd, Grid, Rows, grid_of
from tilewatch.engines.tensorrt.candidates import PickedHead, layout_of, used
from tilewatch.native import _heads

if TYPE_CHECKING:
    from tilewatch.engines.heads import Head
    from tilewatch.engines.tensorrt.candidates import Layout
    from tilewatch.records import F32

SIZE, ANCHORS = 64, 84
CLASSES = 4
HEADS: dict[str, Head] = {
    "columns": Columns(CLASSES),
    "transposed": Columns(CLASSES, transposed=True),
    "rows": Rows(CLASSES),
    "decoded": Grid(CLASSES, SIZE, variant="decoded"),
    "raw": Grid(CLASSES, SIZE, variant="raw", grid=grid_of(SIZE, ANCHORS)),
}
SPECIAL = np.array([0, 0.25, 0.5, 0.5, 1, -1, np.nan, np.inf, -np.inf, 3e38], np.float32)
"""Ties, thresholds hit exactly, and what no score should be."""


def picked(layout: Layout, output: F32, floor: float, room: int) -> F32:
    """Return what the device would have brought down."""
    tiles = len(output)
    rows = np.full((tiles, room, ROW), np.nan, np.float32)
    counts = np.zeros(tiles, np.int32)
    grid = layout.grid
    task = HeadFilter(
        output=output.ctypes.data, grid=None if grid is None else grid.ctypes.data, rows=rows.ctypes.data,
        counts=counts.ctypes.data, tile_step=layout.tile_step, anchor_step=layout.anchor_step,
        value_step=layout.value_step, anchors=layout.anchors, classes=layout.classes, objectness=layout.objectness,
        room=room, threshold=floor,
    )  # fmt: skip
    _heads.run_filter(ctypes.addressof(task), tiles)
    kept = used(rows, np.minimum(counts, room).tolist())
    shuffled = np.random.default_rng(0).permutation(kept.shape[1])  # the device's threads come in no order
    return np.ascontiguousarray(kept[:, shuffled])


@given(
    kind=st.sampled_from(sorted(HEADS)),
    tiles=st.integers(1, 4),
    seed=st.integers(0, 2**31),
    floor=st.sampled_from([1e-3, 0.25, 0.5]),
    above=st.sampled_from([0.0, 0.1, 0.3]),
    wanted=st.one_of(st.none(), st.lists(st.booleans(), max_size=6)),
)
def test_picked_candidates_are_the_heads_own(
    kind: str, tiles: int, seed: int, floor: float, above: float, wanted: list[bool] | None
) -> None:
    """To the bit and in the same order, for every layout, any threshold from the floor up, any classes."""
    rng = np.random.default_rng(seed)
    head = HEADS[kind]
    width = CLASSES + (4 if isinstance(head, Columns) else 5)
    values = rng.random((tiles, ANCHORS, width), np.float32)
    values[..., :4] = rng.normal(0, 8, (tiles, ANCHORS, 4))
    strange = rng.random(values.shape) < 0.2
    values[strange] = rng.choice(SPECIAL, int(strange.sum()))
    if above:  # an objectness below the threshold ends it, since no class exceeds 1: only then is that the same
        values[..., 4:][values[..., 4:] > 1] = 1
    output = (
        values if not isinstance(head, Columns) or head.transposed else np.ascontiguousarray(values.transpose(0, 2, 1))
    )
    layout = layout_of(head, output.shape[1:])
    assert layout is not None
    assert layout.tile_step == output[0].size
    mask = None if wanted is None else np.array(wanted, bool)
    theirs = head.decode([output], floor + above, mask)
    ours = PickedHead(head).decode([picked(layout, output, floor, ANCHORS)], floor + above, mask)
    for field in ours._fields:
        mine, own = getattr(ours, field), getattr(theirs, field)
        assert mine.dtype == own.dtype
        np.testing.assert_array_equal(mine, own)


def test_rows_beyond_the_room_are_counted_and_not_written() -> None:
    """So that it is known how much room was wanted, and nothing else is overwritten."""
    layout = layout_of(Rows(1), (ANCHORS, 6))
    assert layout is not None
    output, rows, counts = (
        np.ones((2, ANCHORS, 6), np.float32),
        np.zeros((2, 3, ROW), np.float32),
        np.zeros(2, np.int32),
    )
    task = HeadFilter(
        output=output.ctypes.data, grid=None, rows=rows.ctypes.data, counts=counts.ctypes.data,
        tile_step=layout.tile_step, anchor_step=layout.anchor_step, value_step=layout.value_step, anchors=ANCHORS,
        classes=1, objectness=1, room=3, threshold=0.5,
    )  # fmt: skip
    _heads.run_filter(ctypes.addressof(task), 2)
    assert counts.tolist() == [ANCHORS, ANCHORS]
    assert rows[..., 6].tolist() == [[0, 1, 2], [0, 1, 2]]


@pytest.mark.parametrize("head", [EndToEnd(), Detr(3, SIZE, 0, logits=True)])
def test_heads_of_few_rows_are_left_alone(head: Head) -> None:
    """There is nothing to save."""
    assert layout_of(head, (300, 6)) is None


def test_picked_head_speaks_for_the_models_own() -> None:
    """Name, classes; no outputs are no candidates; a threshold must be positive."""
    head = PickedHead(HEADS["raw"])
    assert (head.name, head.classes, head.settle([])) == ("yolox raw", CLASSES, head)
    assert len(head.decode([], 0.5).score) == 0
    assert len(head.decode([np.zeros((2, 0, ROW), np.float32)], 0.5).score) == 0
    with pytest.raises(ValueError, match="must be positive"):
        head.decode([], 0.0)
