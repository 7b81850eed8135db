"""What is picked out of a submit's outputs is what the head would have found in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewatch.engines.heads import Columns, Detr, EndToEnd, Grid, Rows, grid_of
from tilewatch.engines.picker import Picker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.engines.heads import Head
    from tilewatch.records import F32

SIZE, ANCHORS, CLASSES = 64, 84, 4
HEADS: dict[str, tuple[Head, tuple[tuple[int, ...], ...]]] = {
    "columns": (Columns(CLASSES), ((4 + CLASSES, ANCHORS),)),
    "transposed": (Columns(CLASSES, transposed=True), ((ANCHORS, 4 + CLASSES),)),
    "rows": (Rows(CLASSES), ((ANCHORS, 5 + CLASSES),)),
    "raw": (Grid(CLASSES, SIZE, variant="raw", grid=grid_of(SIZE, ANCHORS)), ((ANCHORS, 5 + CLASSES),)),
    "end2end": (EndToEnd(), ((ANCHORS, 6),)),
    "detr": (Detr(CLASSES, SIZE, boxes=0, logits=False), ((ANCHORS, 4), (ANCHORS, CLASSES))),
}
SPECIAL = np.array([0, 0.25, 0.5, 0.5, 1, -1, np.nan, np.inf, -np.inf, 3e38], np.float32)
"""Ties, thresholds hit exactly, and what no score should be."""


def outputs_of(kind: str, tiles: int, seed: int) -> tuple[F32, ...]:
    """Return outputs of some tiles, every tenth value a special one."""
    random = np.random.default_rng(seed)
    found = []
    for shape in HEADS[kind][1]:
        output = random.random((tiles, *shape), np.float32)
        special = random.random(output.shape) < 0.1
        output[special] = random.choice(SPECIAL, int(special.sum()))
        if kind in {"rows", "raw"}:
            output[..., 5:] = np.minimum(output[..., 5:], 1)  # they take it that no class exceeds 1
        found.append(output)
    return tuple(found)


@given(
    kind=st.sampled_from(sorted(HEADS)),
    tiles=st.integers(1, 3),
    seed=st.integers(0, 2**31),
    above=st.sampled_from([0.0, 0.2]),
    wanted=st.one_of(st.none(), st.lists(st.booleans(), min_size=CLASSES, max_size=CLASSES)),
)
def test_the_candidates_are_those_of_the_whole_output(
    kind: str, tiles: int, seed: int, above: float, wanted: list[bool] | None
) -> None:
    """Bit by bit and in the same order, at the floor and above it, also of tiles without any."""
    head, outputs, floor = HEADS[kind][0], outputs_of(kind, tiles, seed), 0.25
    mask = None if wanted is None else np.array(wanted, np.bool_)
    picker = Picker(head, floor)
    found: Sequence[Any] = picker.head.decode(picker(outputs), floor + above, mask)
    known: Sequence[Any] = head.decode(outputs, floor + above, mask)
    for ours, theirs in zip(found, known, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


@pytest.mark.parametrize("kind", sorted(HEADS))
def test_only_what_counts_is_kept(kind: str) -> None:
    """Where nothing counts, nothing; a floor that sinks counts from the next submit on."""
    outputs = tuple(np.full_like(output, 0.5) for output in outputs_of(kind, 2, 0))
    picker = Picker(HEADS[kind][0], 0.9)
    assert picker(outputs)[0].shape == (2, 0, 8)
    picker.set_floor(0.1)
    assert picker(outputs)[0].shape[1] > 0
