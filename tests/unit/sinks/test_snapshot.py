"""A picture is taken while somebody looks, and no more often than anybody can see."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from tests.support.records import make_frame
from tilewatch.sinks.snapshot import Snapshot


def test_pictures_are_taken_only_while_somebody_looks() -> None:
    """Nothing before the first look, one a second after it, nothing once nobody has looked for a while."""
    now = 100.0
    snapshot = Snapshot(lambda: now)
    frame = make_frame(width=64, height=48)
    painted = np.full_like(frame.y, 235)
    snapshot.offer(frame, (painted, frame.u, frame.v))
    assert snapshot.look() is None
    numbers = []
    for now in (100.1, 100.2, 101.3, 130.0):  # noqa: B007 the clock reads it
        snapshot.offer(frame, (painted, frame.u, frame.v))
        found = snapshot._held  # noqa: SLF001 a look would keep it looking
        numbers.append(found and found[0])
    assert numbers == [1, 1, 2, 2]


def test_picture_is_what_was_painted() -> None:
    """A JPEG of the painted planes, not of the decoder's."""
    snapshot = Snapshot()
    snapshot.look()
    frame = make_frame(width=64, height=48)
    snapshot.offer(frame, (np.full_like(frame.y, 235), frame.u, frame.v))
    found = snapshot.look()
    assert found is not None
    with Image.open(io.BytesIO(found[1])) as picture:
        assert picture.size == (64, 48)
        assert np.asarray(picture).min() > 245
