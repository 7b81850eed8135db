"""GStreamer's data protocol: messages come out as they went in, however a pipe cuts them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewatch.video import gdp


def through(data: bytes, pieces: int) -> list[tuple[bytes, int | None, str]]:
    """Send bytes through a reader, at most so many at a time; returns content, time and caps of each buffer."""
    reader, found, at = gdp.Reader(), [], 0
    while at < len(data):
        room = reader.room()
        count = min(len(room), pieces, len(data) - at)
        room[:count] = data[at : at + count]
        at += count
        if buffer := reader.filled(count):
            found.append((bytes(buffer.content), buffer.pts, buffer.caps))
            reader.give_back(buffer)
    return found


@given(st.lists(st.tuples(st.binary(max_size=300), st.integers(0, 1 << 60)), max_size=6), st.integers(1, 500))
def test_buffers_come_out_as_they_went_in(buffers: list[tuple[bytes, int]], pieces: int) -> None:
    """Content, times and caps, empty ones included; memory that is used again holds nothing of before."""
    sent = b"".join(gdp.header_of(len(content), pts) + content for content, pts in buffers)
    found = through(gdp.opening("video/x-raw, width=(int)4") + sent, pieces)
    assert found == [(content, pts, "video/x-raw, width=(int)4") for content, pts in buffers]


def test_another_protocol_is_refused() -> None:
    """A pipeline that prints something else."""
    with pytest.raises(ValueError, match="data protocol"):
        through(b"WARNING: something else came out of the pipe, long enough for a header", 1000)
