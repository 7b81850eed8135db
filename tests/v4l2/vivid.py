"""The kernel's virtual camera: what it can be told by V4L2's ioctls, and how it is unplugged."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

DRIVER = Path("/sys/bus/platform/drivers/vivid")
DEVICE = "vivid.0"
NODE = Path("/dev/video0")
GROUP = "video"
VIDIOC_S_FMT, VIDIOC_S_CTRL = 0xC0D05605, 0xC008561C
FORMAT = struct.Struct("@IxxxxII4s188x")
CAPTURE = 1
NODE_SECONDS = 10

# Of vivid-ctrls.c, VIVID_CID_VIVID_BASE and what is counted from it.
DROPPED_PERCENT = 0xF0F040
DAMAGED = 0xF0F042
NO_START = 0xF0F045
FATAL = 0xF0F046


def set_format(pixel_format: bytes, width: int = 320, height: int = 180) -> None:
    """Set what it gives, as v4l2-ctl does: it stays set."""
    _tell(VIDIOC_S_FMT, FORMAT.pack(CAPTURE, width, height, pixel_format))


def control(number: int, value: int = 1) -> None:
    """Set a control, or press a button."""
    _tell(VIDIOC_S_CTRL, struct.pack("=Ii", number, value))


@contextmanager
def silence() -> Iterator[None]:
    """Let it be there and give no pictures."""
    control(DROPPED_PERCENT, 100)
    try:
        yield
    finally:
        control(DROPPED_PERCENT, 0)


@contextmanager
def unplugged() -> Iterator[None]:
    """Let it be gone from the machine."""
    (DRIVER / "unbind").write_text(DEVICE)
    try:
        yield
    finally:
        plug()


def plug() -> None:
    """Bring it back; its node gets the group and the mode that udev's rule gives it (50-udev-default.rules)."""
    if not (DRIVER / DEVICE).exists():
        (DRIVER / "bind").write_text(DEVICE)
    deadline = time.monotonic() + NODE_SECONDS
    while not NODE.exists():
        assert time.monotonic() < deadline, f"it came back as another node than {NODE}: somebody holds that one open"
    shutil.chown(NODE, group=GROUP)
    NODE.chmod(0o660)


def _tell(request: int, message: bytes) -> None:
    descriptor = os.open(NODE, os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(descriptor, request, message)
    finally:
        os.close(descriptor)
