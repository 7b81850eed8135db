"""What the records can do beside travelling."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tilewatch import records
from tilewatch.records import Frame


@pytest.mark.parametrize("size", [(1, 1), (7, 129), (33, 128), (64, 64)])
@pytest.mark.parametrize("full_range", [False, True])
def test_a_still_is_the_same_in_bands_as_at_once(
    size: tuple[int, int], full_range: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the last band is a part of one, or one odd row."""
    width, height = size
    random = np.random.default_rng(0)
    half = ((height + 1) // 2, (width + 1) // 2)
    y, u, v = (random.integers(0, 256, shape, np.uint8) for shape in ((height, width), half, half))
    frame = Frame(
        stream="s", index=0, pts=0, time_base=Fraction(1, 25), captured_ns=0, width=width, height=height, y=y, u=u, v=v,
        full_range=full_range, matrix="bt709", keyframe=True,
    )  # fmt: skip
    banded = frame.bgr()
    monkeypatch.setattr(records, "BAND", 1 << 20)
    assert banded.shape == (height, width, 3)
    np.testing.assert_array_equal(banded, frame.bgr())
