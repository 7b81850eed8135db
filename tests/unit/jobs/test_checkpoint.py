"""A checkpoint is there whole or not at all, and counts for the same work only."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tilewatch.jobs.checkpoint import EARLIER, FILE, Checkpoint, keep, load

if TYPE_CHECKING:
    from pathlib import Path

POINT = Checkpoint(
    identity="a",
    next_index=250,
    journal_bytes=4711,
    segments=[("segment-000000.mp4", 240, -7)],
    codec="libx264",
    state=bytes(range(256)),
    skips={"frame_damaged": 10},
)


def test_saved_checkpoint_comes_back(tmp_path: Path) -> None:
    """Every field, the state to the byte; a later one replaces it and leaves nothing else behind."""
    Checkpoint(identity="a", next_index=1, journal_bytes=0, segments=[], codec="", state=b"").save(tmp_path)
    POINT.save(tmp_path)
    assert load(tmp_path, "a") == POINT
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_checkpoint_of_other_settings_does_not_count(tmp_path: Path) -> None:
    """Half a result with one model and half with another is none."""
    POINT.save(tmp_path)
    assert load(tmp_path, "b") is None


def test_damaged_or_missing_checkpoint_means_starting_over(tmp_path: Path) -> None:
    """Whatever bytes are there."""
    assert load(tmp_path, "a") is None
    for content in (b"", b"{", b"[]", b'{"schema": 2}', b'{"schema": 1}', b"\xff\xfe"):
        (tmp_path / FILE).write_bytes(content)
        assert load(tmp_path, "a") is None


def test_earlier_checkpoint_is_kept_beside_the_next(tmp_path: Path) -> None:
    """Work that cannot be done again has one to go back to; without a first one there is nothing to keep."""
    keep(tmp_path)
    assert load(tmp_path, "a", EARLIER) is None
    POINT.save(tmp_path)
    keep(tmp_path)
    replace(POINT, next_index=500).save(tmp_path)
    (tmp_path / FILE).write_bytes(b"{")
    assert load(tmp_path, "a") is None
    assert load(tmp_path, "a", EARLIER) == POINT
