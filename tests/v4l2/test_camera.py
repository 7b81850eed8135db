"""A local camera on a real V4L2 device: what it gives, and how each way of losing it is told. See machine.py."""

from __future__ import annotations

import grp
import json
import os
import time
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from pydantic import SecretStr

from tests.support.daemon import Daemon
from tests.support.models import tiny_detector
from tests.v4l2 import vivid
from tilewatch.doctor import codecs
from tilewatch.doctor.finding import good
from tilewatch.errors import FrameError, InputError, StreamEndedError, StreamStalledError, UnreachableError
from tilewatch.settings import Camera, load
from tilewatch.video.live import LiveSource, Timeline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tilewatch.records import Frame

pytestmark = pytest.mark.timeout(600)

WAIT = 2.0
"""Seconds after which a silent camera counts as lost here."""
RATE = 5
"""Frames a second that the virtual camera gives by itself."""
SIDE = 320
"""Pixels of the model: one tile holds the whole picture, since an emulated processor is slow."""
STRANGER = 10001
HURRIED: dict[str, Any] = {
    "STREAM_TIMEOUT_SECONDS": WAIT,
    "STREAM_BACKOFF_SECONDS": 0.5,
    "STREAM_BACKOFF_CAP_SECONDS": 1.5,
    "SEGMENT_SECONDS": 3,
    "TILE_SIZE": SIDE,
    "CONFIDENCE_THRESHOLD": 1.0,  # few boxes: what is tested is the camera
    "DRAIN_SECONDS": 60,
}


@pytest.fixture(autouse=True)
def _camera() -> None:
    """Need the virtual camera, plugged in, at its smallest size."""
    if os.getuid() or not vivid.DRIVER.exists():
        pytest.skip("no virtual camera: `make v4l2` brings one up")
    vivid.plug()
    vivid.set_format(b"YU12")


@contextmanager
def connected(node: str = str(vivid.NODE)) -> Iterator[LiveSource]:
    """Yield a source that is open."""
    camera = Camera(name="gate", address=SecretStr(node))
    source = LiveSource(camera, Timeline(), max_pixels=1 << 24, timeout_seconds=WAIT)
    try:
        source.open()
        yield source
    finally:
        source.close()


def take(source: LiveSource, count: int = 1 << 30) -> list[Frame]:
    """Return the next frames, up to the end."""
    frames: list[Frame] = []
    while len(frames) < count and (frame := source.read()):
        frames.append(frame)
    return frames


def refusal(node: str = str(vivid.NODE)) -> str:
    """Return why it does not open."""
    with pytest.raises((UnreachableError, InputError)) as caught, connected(node):
        pass
    return str(caught.value)


def test_pictures_come_at_the_rate_of_the_device_and_are_dated() -> None:
    """None is missing, and the times have the camera's spacing."""
    with connected() as source:
        begun = time.time()
        frames = take(source, 16)
        spent = time.time() - begun
    assert [frame.index for frame in frames] == list(range(16))
    assert (frames[-1].seconds - frames[1].seconds) / 14 == pytest.approx(1 / RATE, abs=0.02)
    assert spent == pytest.approx(15 / RATE, abs=1.0)
    assert frames[-1].seconds == pytest.approx(time.time(), abs=2)


@pytest.mark.parametrize(
    ("set_to", "name"),
    [
        (b"YU12", "yuv420p"),
        (b"NV12", "nv12"),
        (b"YUYV", "yuyv422"),
        (b"UYVY", "uyvy422"),
        (b"422P", "yuv422p"),
        (b"RGB3", "rgb24"),
        (b"BGR3", "bgr24"),
        (b"GREY", "gray"),
        (b"RGGB", "yuv420p"),
    ],
)
def test_pixel_format_and_size_are_what_the_device_is_set_to(set_to: bytes, name: str) -> None:
    """One that FFmpeg does not read is exchanged for another; the colour bars are the same in all of them."""
    vivid.set_format(b"YU12", 640, 360)
    with connected() as source:
        bars = np.median(take(source, 1)[0].y, axis=0)
    vivid.set_format(set_to, 640, 360)
    with connected() as source:
        frame = take(source, 1)[0]
        assert source._stream.codec_context.pix_fmt == name  # noqa: SLF001 what came, before it was converted
    assert (frame.width, frame.height, frame.u.shape) == (640, 360, (180, 320))
    tolerance = 25 if name == "gray" else 8  # its grey is made by BT.709
    assert np.median(frame.y, axis=0)[20::40] == pytest.approx(bars[20::40], abs=tolerance)


def test_pictures_stay_valid_when_the_device_is_closed() -> None:
    """They are no longer the driver's memory, which goes with the connection."""
    vivid.set_format(b"YU12", 640, 360)
    with connected() as source:
        frames = take(source, 4)
        before = [int(frame.y.sum()) for frame in frames]
    assert [int(frame.y.sum()) for frame in frames] == before


def test_damaged_picture_is_counted_and_the_stream_goes_on() -> None:
    """The driver marks it; nothing of it is shown."""
    with connected() as source:
        take(source, 2)
        vivid.control(vivid.DAMAGED)
        with pytest.raises(FrameError, match="camera gate: a picture came damaged"):
            take(source, 5)
        assert take(source, 3)


def test_silent_device_is_a_stall() -> None:
    """Noticed in the time-out, in the middle and at the beginning, though the driver itself waits without end."""
    with connected() as source:
        take(source, 2)
        with vivid.silence():
            begun = time.monotonic()
            take(source)
            assert time.monotonic() - begun == pytest.approx(WAIT, abs=1)
            assert isinstance(source.lost, StreamStalledError)
            source.close()
            with pytest.raises(StreamStalledError), connected():
                pass
    with connected() as source:
        assert take(source, 2)


def test_device_that_fails_is_an_end_and_opens_again() -> None:
    """The driver gives up; the next connection works."""
    with connected() as source:
        take(source, 2)
        vivid.control(vivid.FATAL)
        take(source)
    assert isinstance(source.lost, StreamEndedError)
    with connected() as source:
        assert take(source, 2)


def test_device_that_does_not_start_is_free_again() -> None:
    """What FFmpeg leaves mapped then would keep it busy for as long as the program runs."""
    vivid.control(vivid.NO_START)
    assert "does not start" in refusal()
    with connected() as source:
        assert take(source, 2)


def test_unplugged_device_comes_back_as_the_same_one() -> None:
    """Lost at once; told as missing while it is away; nothing holds its node so that it would get another name."""
    with connected() as source:
        take(source, 2)
        with vivid.unplugged():
            take(source)
            assert isinstance(source.lost, StreamEndedError)
            source.close()
            assert "there is no such device: plug it in" in refusal()
    with connected() as source:
        assert take(source, 2)


def test_device_in_use_is_told() -> None:
    """By the name of the camera, and what to do."""
    with connected() as source:
        assert refusal() == "camera gate: is in use by another program: end that one"
        assert take(source, 2)


def test_group_of_the_node_is_what_a_user_needs() -> None:
    """As docker-compose.camera.yml has it: without it the message names the number of the group."""
    group = grp.getgrnam(vivid.GROUP).gr_gid
    mine = os.getgroups(), os.getegid(), os.geteuid()
    try:
        os.setgroups([])
        os.setegid(STRANGER)
        os.seteuid(STRANGER)
        told = refusal()
        os.seteuid(0)
        os.setgroups([group])
        os.seteuid(STRANGER)
        with connected() as source:
            assert take(source, 2)
    finally:
        os.seteuid(mine[2])
        os.setegid(mine[1])
        os.setgroups(mine[0])
    assert told.endswith(f"may not be opened by {STRANGER}:{STRANGER}: add the user to its group, number {group}")


def test_doctor_looks_at_the_device() -> None:
    """What can be opened, and what is gone."""
    settings = load(overrides={"SOURCES": f"yard={vivid.NODE}"})
    yard = settings.source.sources[0]
    assert codecs._camera(yard, settings) == good("camera yard", "can be opened")  # noqa: SLF001 the codecs take long
    with vivid.unplugged():
        assert codecs._camera(yard, settings).text == "there is no such device"  # noqa: SLF001


def test_what_is_no_camera_is_told() -> None:
    """A device for something else."""
    assert "gives no pictures" in refusal("/dev/null")


def test_service_records_over_unplugging_and_silence(tmp_path: Path) -> None:
    """`SOURCES=0`: results by the clock that play, every frame accounted for, a stop that drains."""
    model = tiny_detector(tmp_path / "tiny.onnx", side=SIDE)
    with Daemon(tmp_path, model, SOURCES="0", **HURRIED) as daemon:
        daemon.until("stream_connected", stream="camera-1", codec="rawvideo", width=320, height=180)
        daemon.until("segment_done")
        with vivid.unplugged():
            daemon.until("stream_lost", reason="ended")
            daemon.until("stream_lost", reason="unreachable")
        daemon.until("stream_connected")
        with vivid.silence():
            daemon.until("stream_lost", reason="stalled")
        daemon.until("stream_connected")
        daemon.until("segment_done")
        assert daemon.stop() == 0
        assert daemon.litter() == set()
    closed = next(event for event in daemon.events if event["event"] == "stream_closed")
    folders = sorted(path.parent for path in daemon.out.glob("camera-1/*/manifest.json"))
    rows = [[json.loads(line) for line in (folder / "tracks.jsonl").read_text().splitlines()] for folder in folders]
    assert closed["frames_in"] == closed["written"] + closed["dropped"]
    assert closed["written"] == sum(map(len, rows)) > RATE
    assert [shown(next(folder.glob("*.mp4"))) for folder in folders] == [len(lines) for lines in rows]
    times = [line["time"] for lines in rows for line in lines]
    assert all(after > before for before, after in pairwise(times))
    assert all(lines[-1]["time"] - lines[0]["time"] <= HURRIED["SEGMENT_SECONDS"] for lines in rows)


def test_service_stops_in_good_order_while_the_device_is_silent(tmp_path: Path) -> None:
    """`SOURCES=yard=/dev/video0`: the stop comes while a picture is waited for."""
    model = tiny_detector(tmp_path / "tiny.onnx", side=SIDE)
    with Daemon(tmp_path, model, SOURCES=f"yard={vivid.NODE}", **{**HURRIED, "STREAM_TIMEOUT_SECONDS": 10}) as daemon:
        daemon.until("stream_connected", stream="yard")
        daemon.until("segment_done")
        with vivid.silence():
            assert daemon.stop() == 0
        assert daemon.told()[-1] == "service_stopped"
        assert daemon.litter() == set()


def shown(video: Path) -> int:
    """Return how many pictures a video shows."""
    with av.open(str(video)) as container:
        return sum(1 for _ in container.decode(video=0))
