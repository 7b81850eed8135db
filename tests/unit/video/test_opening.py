"""Packets to the end of the file, whatever turns up on the way."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tilewatch.video.opening import packets_of

if TYPE_CHECKING:
    from collections.abc import Iterator


class Container:
    """Ends as PyAV does when streams have turned up that were not there at the start."""

    def demux(self, _stream: object) -> Iterator[Any]:
        """Give two packets, one of them empty, and fail."""
        yield SimpleNamespace(size=0)
        yield SimpleNamespace(size=7)
        raise IndexError


def test_further_stream_at_the_end_is_an_end() -> None:
    """What came before is given, empty packets left out, and nothing is raised."""
    container: Any = Container()
    stream: Any = object()
    assert [packet.size for packet in packets_of(container, stream)] == [7]
