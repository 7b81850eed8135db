"""A local camera (V4L2), read through FFmpeg: opened as it is set, waited for, and let go of.

What FFmpeg's reader leaves to us, seen with the kernel's virtual camera:

- it knows no time-out: it is opened so that it never blocks, and what it waits for is waited for here;
- its packets are the driver's memory, gone with the connection: whoever looks at them then crashes, so they are copied;
- where a device does not start, its memory stays mapped, which keeps the device busy until the process ends: unmapped
  here;
- it takes the first pixel format of a list of its own: it is told the one that is set, which the rate may depend on.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.error import BlockingIOError as NothingYetError
from av.error import FFmpegError
from av.packet import Packet

from tilewatch.errors import InputError, StreamError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer
    from av.video.stream import VideoStream

OPTIONS = {
    "protocol_whitelist": "file",
    "fflags": "+4",  # AVFMT_FLAG_NONBLOCK, which has no name among the options
    # what is needed is known without a picture, and looking for one would be waiting for it
    "max_ts_probe": "0",
    "fpsprobesize": "0",
}
VIDIOC_G_FMT = 0xC0D05604
CAPTURE = 1
"""V4L2_BUF_TYPE_VIDEO_CAPTURE."""
FORMAT = struct.Struct("@IxxxxIII188x")
"""struct v4l2_format: type, width, height, pixel format."""
PIXEL_FORMATS = {
    b"YU12": "yuv420p",
    b"NV12": "nv12",
    b"YUYV": "yuyv422",
    b"UYVY": "uyvy422",
    b"422P": "yuv422p",
    b"GREY": "gray",
    b"RGB3": "rgb24",
    b"BGR3": "bgr24",
    b"MJPG": "mjpeg",
    b"JPEG": "mjpeg",
    b"H264": "h264",
    b"HEVC": "hevc",
}
"""FFmpeg's names; of another one than these FFmpeg chooses by itself what it can read."""
MISSING = (
    "there is no such device: plug it in, correct SOURCES, or hand it to the container (docker-compose.camera.yml)"
)
NO_CAMERA = "gives no pictures: name another one in SOURCES (a camera has several /dev/video*, one of them is right)"
REFUSALS = {
    errno.ENOENT: MISSING,
    errno.ENODEV: MISSING,
    errno.ENXIO: MISSING,
    errno.EBUSY: "is in use by another program: end that one",
    errno.EPERM: "this container may not use it: hand it over (docker-compose.camera.yml)",
    errno.ENOSPC: "its USB bus is full: plug it into another port, or set it to a smaller size or to MJPEG",
}


class V4l2Device:
    """One connection to a local camera. Blocking; not thread-safe.

    Args:
        name: what to call it in errors.
        path: of its node.
        timeout_seconds: longest wait for a picture.
    """

    def __init__(self, name: str, path: str, *, timeout_seconds: float) -> None:
        self._name = name
        self._path = path
        self._timeout = timeout_seconds
        self._number = 0
        self._waiting = select.poll()

    def check(self) -> None:
        """See whether it can be opened, without a picture.

        Raises:
            UnreachableError: it is not there, or not ours to use.
            InputError: it is no camera.
        """
        try:
            self._look()
        except OSError as error:
            raise self._refusal(error) from None

    def open(self, options: dict[str, str]) -> InputContainer:
        """Open it at the size, the rate and in the pixel format that it is set to.

        Raises:
            UnreachableError: it is not there, in use, not ours to use, or does not start.
            InputError: it is no camera.
        """
        try:
            pixel_format = PIXEL_FORMATS.get(self._look())
        except OSError as error:
            raise self._refusal(error) from None
        chosen = {"input_format": pixel_format} if pixel_format else {}
        container: Any = None
        try:
            container = av.open(
                self._path,
                "r",
                format="v4l2",
                options={**OPTIONS, **chosen, **options},
                timeout=(self._timeout, self._timeout),
            )
            self._waiting.register(self._descriptor(), select.POLLIN)
        except (FFmpegError, OSError) as error:
            if container is not None:
                container.close()
            self._unmap()
            raise self._refusal(error) from None
        opened: InputContainer = container
        return opened

    def packets(self, container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
        """Yield what the camera takes, in memory of ours; an empty packet is a picture that came damaged.

        Raises:
            TimeoutError: nothing came in time.
            FFmpegError: the device is gone, or has failed.
        """
        while (packet := _copied(self._next(container, stream))).pts is not None:  # PyAV's last one has no time
            yield packet

    def _next(self, container: InputContainer, stream: VideoStream) -> Packet[VideoStream]:
        """Wait for the driver's next packet."""
        deadline = time.monotonic() + self._timeout
        while True:
            left = max(0.0, deadline - time.monotonic())
            self._waiting.poll(left * 1000)
            with suppress(NothingYetError):
                return next(container.demux(stream))
            if not left:
                raise TimeoutError

    def _look(self) -> bytes:
        """Return the pixel format it is set to, and take note of what it is.

        Raises:
            OSError: it cannot be opened, or is no camera.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_NONBLOCK)
        try:
            self._number = os.fstat(descriptor).st_rdev
            told = bytearray(FORMAT.pack(CAPTURE, 0, 0, 0))
            try:
                fcntl.ioctl(descriptor, VIDIOC_G_FMT, told)
            except OSError as error:  # of what is no V4L2 device, or of one that is for something else
                code = errno.ENODEV if error.errno == errno.ENODEV else errno.ENOTTY
                raise OSError(code, error.strerror) from None
        finally:
            os.close(descriptor)
        return struct.pack("I", FORMAT.unpack(told)[3])

    def _refusal(self, error: FFmpegError | OSError) -> StreamError:
        """Return why there is no connection, without FFmpeg's text."""
        code, text = error.errno or 0, error.strerror
        if code == errno.ENOTTY:
            return InputError(f"{self._name}: {NO_CAMERA}")
        if code == errno.EACCES:
            return UnreachableError(f"{self._name}: {self._forbidden()}")
        return UnreachableError(f"{self._name}: {REFUSALS.get(code, f'does not start ({text}): plug it in anew')}")

    def _forbidden(self) -> str:
        """Return what a user who may not open the device is to do."""
        with suppress(OSError):
            group = Path(self._path).stat().st_gid
            return f"may not be opened by {os.geteuid()}:{os.getegid()}: add the user to its group, number {group}"
        return MISSING

    def _descriptor(self) -> int:
        """Return FFmpeg's descriptor of the device.

        Raises:
            OSError: there is none: the device was exchanged for another meanwhile.
        """
        found = next(self._descriptors(), None)
        if found is None:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        return found

    def _descriptors(self) -> Iterator[int]:
        """Yield the descriptors of the device in this process."""
        for entry in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                if entry.stat().st_rdev == self._number:
                    yield int(entry.name)

    def _unmap(self) -> None:
        """Give back what FFmpeg has left behind where the device did not start: memory without a descriptor."""
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
        if next(self._descriptors(), None) is not None:
            return  # another source reads it
        system = ctypes.CDLL(None)
        place = os.path.realpath(self._path)
        for line in lines:
            bounds, *_, path = line.split(maxsplit=5)
            if path.removesuffix(" (deleted)") == place:
                start, end = (int(bound, 16) for bound in bounds.split("-"))
                system.munmap(ctypes.c_void_p(start), ctypes.c_size_t(end - start))


def _copied(packet: Packet[VideoStream]) -> Packet[VideoStream]:
    """Return a packet in memory of its own, which `Packet(packet)` would not be."""
    copy: Any = Packet(packet.size)
    copy.update(packet)
    copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
    whole: Packet[VideoStream] = copy
    return whole
