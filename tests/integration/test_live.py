"""One connection to a real RTSP server: what it gives, and how each way of losing it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from tests.support.camera import HEIGHT, RATE, WIDTH, FaultyCamera
from tests.support.clips import number_of
from tests.support.pipelines import children, needs_gstreamer, stand_in
from tilewatch.errors import DecoderError, LoginRefusedError, StreamEndedError, StreamStalledError, UnreachableError
from tilewatch.settings import Camera
from tilewatch.video import decoders as video_decoders
from tilewatch.video.decoders import Decoders
from tilewatch.video.live import LiveSource, Timeline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tilewatch.errors import StreamError
    from tilewatch.records import Frame

WAIT = 0.7
"""Seconds after which a silent camera counts as lost here."""


@pytest.fixture
def camera() -> Iterator[FaultyCamera]:
    """Return a camera that works, so far."""
    with FaultyCamera() as camera:
        yield camera


def connect(
    camera: FaultyCamera, *, timeline: Timeline | None = None, password: str = "", decoders: Decoders | None = None
) -> LiveSource:
    """Return a source that is not open yet."""
    wanted = Camera(name="gate", address=SecretStr(camera.address(password)))
    line = timeline or Timeline()
    return LiveSource(wanted, line, max_pixels=1 << 20, timeout_seconds=WAIT, decoders=decoders)


def take(source: LiveSource, count: int = 1 << 30) -> list[Frame]:
    """Return the next frames, up to the end."""
    frames: list[Frame] = []
    while len(frames) < count and (frame := source.read()):
        frames.append(frame)
    return frames


def refusal(source: LiveSource) -> StreamError:
    """Return why it does not open."""
    with pytest.raises((LoginRefusedError, StreamStalledError, UnreachableError)) as caught:
        source.open()
    source.close()
    found: StreamError = caught.value
    return found


def test_pictures_come_whole_in_order_and_are_dated(camera: FaultyCamera) -> None:
    """Every picture from the first one on, its number legible, at rising Unix times with the camera's spacing."""
    source = connect(camera)
    info = source.open()
    frames = take(source, 12)
    source.close()
    assert (info.width, info.height, float(info.average_rate), info.live) == (WIDTH, HEIGHT, RATE, True)
    numbers = [number_of(frame.y) for frame in frames]
    assert numbers == list(range(numbers[0], numbers[0] + 12))
    assert [frame.index for frame in frames] == list(range(12))
    assert frames[-1].seconds - frames[2].seconds == pytest.approx(9 / RATE, abs=0.1)


def test_dropped_connection_is_an_end_and_counting_goes_on_behind_it(camera: FaultyCamera) -> None:
    """What was received is given out; index and time go on over the next connection."""
    timeline = Timeline()
    first = connect(camera, timeline=timeline)
    first.open()
    before = take(first, 5)
    camera.drop()
    before += take(first)
    first.close()
    assert isinstance(first.lost, StreamEndedError)
    second = connect(camera, timeline=timeline)
    second.open()
    after = take(second, 3)
    second.close()
    assert [frame.index for frame in (*before, *after)] == list(range(len(before) + 3))
    assert after[0].pts > before[-1].pts


def test_silence_on_an_open_connection_is_a_stall(camera: FaultyCamera) -> None:
    """Noticed in about the time-out, in the middle of a stream and at its beginning."""
    source = connect(camera)
    source.open()
    take(source, 5)
    camera.stall()
    take(source)
    source.close()
    assert isinstance(source.lost, StreamStalledError)
    assert isinstance(refusal(connect(camera)), StreamStalledError)


def test_refusals_are_told_apart_and_name_no_address(camera: FaultyCamera) -> None:
    """Wrong login, nobody listening, nobody there: each with its reason and remedy, none with the password."""
    errors = [refusal(connect(camera, password="guessed"))]  # noqa: S106 a pretended one
    camera.refuse()
    errors.append(refusal(connect(camera)))
    camera.vanish()
    errors.append(refusal(connect(camera)))
    assert [error.reason for error in errors] == ["login_refused", "unreachable", "unreachable"]
    for error in errors:
        assert "camera gate" in str(error)
        assert not any(word in f"{error} {error.__cause__}" for word in ("127.0.0.1", "hush", "guessed", "rtsp:"))


@pytest.fixture
def hardware(monkeypatch: pytest.MonkeyPatch) -> Decoders:
    """Let GStreamer's elements of software be the hardware of this machine."""
    monkeypatch.setitem(video_decoders.MAKERS, "nvv4l2", stand_in)
    monkeypatch.setattr(video_decoders, "best", lambda: "nvv4l2")
    return Decoders("auto")


@needs_gstreamer
def test_hardware_gives_the_same_pictures(camera: FaultyCamera, hardware: Decoders) -> None:
    """From the first one on, though software has decoded that one already; what decodes is told."""
    source = connect(camera, decoders=hardware)
    info = source.open()
    numbers = [number_of(frame.y) for frame in take(source, 12)]
    source.close()
    assert info.decoder == "nvv4l2"
    assert numbers == list(range(numbers[0], numbers[0] + 12))
    assert children() == []


@needs_gstreamer
def test_hardware_that_dies_is_a_lost_connection(camera: FaultyCamera, hardware: Decoders) -> None:
    """The camera is connected anew; after three times in software."""
    timeline, decoders = Timeline(), []
    for _ in range(4):
        source = connect(camera, timeline=timeline, decoders=hardware)
        decoders.append(source.open().decoder)
        take(source, 2)
        for child in children():
            child.kill()
        take(source, 20)
        source.close()
        assert isinstance(source.lost, DecoderError) == (decoders[-1] == "nvv4l2")
    assert decoders == ["nvv4l2"] * 3 + ["software"]
