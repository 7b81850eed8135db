"""A local camera without one: what its refusals say, and what is done with what comes. With one: tests/v4l2."""

from __future__ import annotations

import errno
import os
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from av.error import BlockingIOError as NothingYetError
from av.packet import Packet

from tilewatch.errors import InputError, StreamError, UnreachableError
from tilewatch.video import v4l2
from tilewatch.video.v4l2 import V4l2Device

if TYPE_CHECKING:
    from pathlib import Path

MICROSECOND = Fraction(1, 1_000_000)


def device(path: object, *, timeout_seconds: float = 0.05) -> V4l2Device:
    """Return a device that is not open."""
    return V4l2Device("camera gate", str(path), timeout_seconds=timeout_seconds)


def refusal(wanted: V4l2Device) -> StreamError:
    """Return why it does not open."""
    with pytest.raises(StreamError) as caught:
        wanted.open({})
    return caught.value


@pytest.mark.parametrize(
    ("code", "kind", "remedy"),
    [
        (errno.ENOENT, UnreachableError, "there is no such device: plug it in"),
        (errno.ENODEV, UnreachableError, "there is no such device: plug it in"),
        (errno.EBUSY, UnreachableError, "is in use by another program: end that one"),
        (errno.EPERM, UnreachableError, "this container may not use it: hand it over"),
        (errno.ENOSPC, UnreachableError, "its USB bus is full: plug it into another port"),
        (errno.EIO, UnreachableError, "does not start (Input/output error): plug it in anew"),
        (errno.ENOTTY, InputError, "gives no pictures: name another one in SOURCES"),
    ],
)
def test_refusal_says_what_to_do(
    code: int, kind: type[StreamError], remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the kernel's number of the error, as the virtual camera and real ones give it."""

    def refuse(_: V4l2Device) -> NoReturn:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(V4l2Device, "_look", refuse)
    found = refusal(device(tmp_path / "video0"))
    assert isinstance(found, kind)
    assert str(found).startswith(f"camera gate: {remedy}")
    assert str(tmp_path) not in str(found)


def test_user_who_may_not_open_it_is_told_the_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number, which is what a container is given."""
    node = tmp_path / "video0"
    node.touch()

    def refuse(_: V4l2Device) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(V4l2Device, "_look", refuse)
    user = f"{os.geteuid()}:{os.getegid()}"
    group = node.stat().st_gid
    assert (
        str(refusal(device(node)))
        == f"camera gate: may not be opened by {user}: add the user to its group, number {group}"
    )


def test_what_is_no_camera_is_refused_before_ffmpeg_sees_it(tmp_path: Path) -> None:
    """A device for something else, and none at all."""
    assert isinstance(refusal(device("/dev/null")), InputError)
    assert "there is no such device" in str(refusal(device(tmp_path / "video0")))


def test_packets_are_in_memory_of_their_own() -> None:
    """The driver's goes with the connection; an empty one, which stands for a damaged picture, keeps its time."""
    packet: Any = Packet(b"picture")
    packet.pts, packet.dts, packet.time_base = 7, 6, MICROSECOND
    copy = v4l2._copied(packet)  # noqa: SLF001 needs no device
    assert (bytes(copy), copy.pts, copy.dts, copy.time_base) == (b"picture", 7, 6, packet.time_base)
    assert copy.buffer_ptr != packet.buffer_ptr
    assert bytes(packet) == b"picture"
    packet = Packet()
    packet.pts, packet.time_base = 8, MICROSECOND
    assert (v4l2._copied(packet).size, v4l2._copied(packet).pts) == (0, 8)  # noqa: SLF001


class Silent:
    """A device that never has anything yet, as FFmpeg tells it."""

    def demux(self, _: object) -> Any:
        """Fail as FFmpeg does where it would have to wait."""
        raise NothingYetError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def test_silence_ends_in_the_time_out() -> None:
    """FFmpeg itself would wait without end."""
    silent: Any = Silent()
    with pytest.raises(TimeoutError):
        next(device("/dev/video0").packets(silent, silent))
