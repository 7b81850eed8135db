"""The journal gives back every frame's result to the bit, up to the byte that a checkpoint vouches for."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.records import make_frame, make_tracks
from tilewatch.errors import SinkError
from tilewatch.sinks.journal import JournalSink, entries

if TYPE_CHECKING:
    from pathlib import Path

    from tilewatch.records import Tracks

THIRD = 1 / 3
FRAMES = [
    make_tracks(0, [(1, 2, THIRD, 0.1, THIRD, 20.7, 30), (7, 0, 0.9, -3, 4, 5, 6)]),
    make_tracks(1),
    make_tracks(4, [(2**40, 1, 0.5, 1, 2, 3, 4)]),
]


def written(path: Path, frames: list[Tracks]) -> JournalSink:
    """Return a journal of some frames, on the disk."""
    journal = JournalSink(path)
    for tracks in frames:
        journal.write(tracks)
    journal.sync()
    journal.close()
    return journal


def assert_same(one: Tracks, other: Tracks) -> None:
    """Compare all arrays to the bit, and the account."""
    for name in ("xyxy", "score", "label", "track_id", "age"):
        left, right = getattr(one, name), getattr(other, name)
        assert left.dtype == right.dtype
        assert np.array_equal(left, right)
    assert asdict(one.count) == asdict(other.count)


def test_every_frame_comes_back_to_the_bit(tmp_path: Path) -> None:
    """Arrays with their types, the box account, index, time and size; also of a frame without objects."""
    journal = written(tmp_path / "journal", FRAMES)
    found = list(entries(tmp_path / "journal", journal.length))
    frames = [tracks.frame for tracks in FRAMES]
    told = [(entry.index, entry.pts, entry.width, entry.height) for entry in found]
    assert told == [(frame.index, frame.pts, frame.width, frame.height) for frame in frames]
    for entry, tracks in zip(found, FRAMES, strict=True):
        assert_same(entry.tracks(make_frame(entry.index)), tracks)


def test_what_lies_behind_the_checkpoint_is_cut_off(tmp_path: Path) -> None:
    """A process that died in the middle of a record leaves bytes that mean nothing."""
    path = tmp_path / "journal"
    length = written(path, FRAMES[:1]).length
    written(path, FRAMES[:2])
    path.write_bytes(path.read_bytes()[:-5])
    resumed = JournalSink(path, length)
    resumed.write(FRAMES[2])
    resumed.close()
    assert [entry.index for entry in entries(path, resumed.length)] == [0, 4]


def test_journal_shorter_than_promised_is_refused(tmp_path: Path) -> None:
    """Going on from it would lose frames without a word."""
    path = tmp_path / "journal"
    length = written(path, FRAMES).length
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SinkError, match="less than its checkpoint"):
        JournalSink(path, length)
    with pytest.raises(SinkError, match="middle of a frame"):
        list(entries(path, length))
