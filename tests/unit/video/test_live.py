"""When a camera that sends counts as silent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import av
import pytest
from av.packet import Packet
from pydantic import SecretStr

from tilewatch.errors import FrameError, StreamStalledError
from tilewatch.settings import Camera
from tilewatch.video import live
from tilewatch.video.live import LiveSource, Timeline

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT = 10.0


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock that the source goes by."""
    clock = Clock()
    monkeypatch.setattr(live, "time", clock)
    return clock


def received(packets: Iterator[Packet[Any]]) -> tuple[LiveSource, Iterator[Any]]:
    """Return a source of these packets, and what it makes of them: a picture of each that is not empty."""
    source = LiveSource(
        Camera(name="gate", address=SecretStr("/dev/video0")), Timeline(), max_pixels=1 << 20, timeout_seconds=TIMEOUT
    )
    source._packets = packets  # noqa: SLF001 needs no camera
    decoder: Any = SimpleNamespace(name="software", decode=lambda _: [av.VideoFrame(16, 16)])
    return source, source._received(decoder)  # noqa: SLF001


def test_pictures_that_are_taken_late_are_no_silence_of_the_camera(clock: Clock) -> None:
    """A pipeline that takes long to start does not lose its camera by that."""
    source, pictures = received(iter([Packet(b"a"), Packet(b"b"), Packet(b"c")]))
    for _ in range(3):
        assert isinstance(next(pictures), av.VideoFrame)
        clock.now += 6 * TIMEOUT
    assert next(pictures, None) is None
    assert not isinstance(source.lost, StreamStalledError)


def test_nothing_but_damaged_pictures_is_a_silence(clock: Clock) -> None:
    """Each is counted; after the time-out the connection is given up."""

    def damaged() -> Iterator[Packet[Any]]:
        while True:
            clock.now += 3
            yield Packet()

    source, pictures = received(damaged())
    found = list(pictures)
    assert all(isinstance(one, FrameError) for one in found)
    assert len(found) == TIMEOUT // 3 + 1
    assert isinstance(source.lost, StreamStalledError)
