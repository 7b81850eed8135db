"""Turns a decoded picture into three upright 8-bit 4:2:0 planes; the common formats are not copied."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import ColorRange

from tilewatch.records import Frame

if TYPE_CHECKING:
    from fractions import Fraction

    import av

    from tilewatch.records import U8, Matrix

PLANAR = frozenset({"yuv420p", "yuvj420p"})
SEMI_PLANAR = "nv12"
HD_WIDTH, HD_HEIGHT = 1280, 720
"""From this size on an untagged video is taken as BT.709, as players do."""

MATRICES: dict[int, Matrix] = {
    1: "bt709",
    4: "bt601",
    5: "bt601",
    6: "bt601",
    7: "bt709",
    9: "bt2020",
    10: "bt2020",
}
"""By AVColorSpace (ITU-T H.273); SMPTE 240M (7) lies nearest to BT.709, FCC (4) to BT.601."""

SWS_COLORSPACES: dict[Matrix, int] = {"bt601": 5, "bt709": 1, "bt2020": 9}
"""swscale's SWS_CS_* by matrix; PyAV names all of them only since version 18."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """Planes as `records.Frame` describes them, read-only, and what their numbers mean."""

    y: U8
    u: U8
    v: U8
    full_range: bool
    matrix: Matrix
    keyframe: bool


def frame_of(picture: Picture, *, stream: str, index: int, pts: int, time_base: Fraction) -> Frame:
    """Return a picture as the record that travels, captured now."""
    height, width = picture.y.shape
    return Frame(
        stream=stream,
        index=index,
        pts=pts,
        time_base=time_base,
        captured_ns=time.monotonic_ns(),
        width=width,
        height=height,
        y=picture.y,
        u=picture.u,
        v=picture.v,
        full_range=picture.full_range,
        matrix=picture.matrix,
        keyframe=picture.keyframe,
    )


@dataclass(frozen=True, slots=True)
class Turn:
    """How a stored picture is set upright: transposed first, then mirrored."""

    transpose: bool = False
    mirror_rows: bool = False
    mirror_columns: bool = False

    @property
    def degrees(self) -> int:
        """Clockwise turn in degrees (0, 90, 180, 270); a mirrored picture counts as the nearest turn."""
        if self.transpose:
            return 90 if self.mirror_columns else 270
        return 180 if self.mirror_rows and self.mirror_columns else 0

    def apply(self, plane: U8) -> U8:
        """Return the plane upright, a copy with contiguous rows unless nothing is to be done."""
        if self == Turn():
            return plane
        stood = plane.T if self.transpose else plane
        return np.ascontiguousarray(stood[:: -1 if self.mirror_rows else 1, :: -1 if self.mirror_columns else 1])


def turn_of(frame: av.VideoFrame) -> Turn:
    """Read a frame's display matrix (ISO/IEC 14496-12, 6.2.2): x' = a·x + c·y, y' = b·x + d·y, 16.16 fixed point."""
    side_data = frame.side_data
    if Type.DISPLAYMATRIX not in side_data:
        return Turn()
    matrix = side_data[Type.DISPLAYMATRIX]  # type: ignore[typeddict-item]  # stubs lack it
    a, b, _, c, d = np.frombuffer(bytes(matrix), dtype=np.int32)[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Turn(transpose=True, mirror_rows=b < 0, mirror_columns=c < 0)
    return Turn(mirror_rows=d < 0, mirror_columns=a < 0)


def picture_of(frame: av.VideoFrame, turn: Turn) -> Picture:
    """Return a frame's planes upright; views that keep the frame alive where its format allows.

    Raises:
        FFmpegError: the pixel format cannot be converted.
    """
    full_range, matrix, keyframe = is_full_range(frame), matrix_of(frame), frame.key_frame
    frame = _as_8bit_420(frame, matrix, full_range=full_range)
    planes = [turn.apply(plane) for plane in _views(frame)]
    for plane in planes:
        plane.flags.writeable = False
    y, u, v = planes
    return Picture(y=y, u=u, v=v, full_range=full_range, matrix=matrix, keyframe=keyframe)


def is_full_range(frame: av.VideoFrame) -> bool:
    """Whether luma spans 0-255 (in 8 bits): as tagged, else by the pixel format."""
    if frame.format.is_rgb:
        return False  # converted to limited range
    return bool(frame.color_range == ColorRange.JPEG) or frame.format.name.startswith("yuvj")


def matrix_of(frame: av.VideoFrame) -> Matrix:
    """The YCbCr matrix: as tagged, else by the size of the picture."""
    by_size: Matrix = "bt709" if frame.width >= HD_WIDTH or frame.height >= HD_HEIGHT else "bt601"
    return by_size if frame.format.is_rgb else MATRICES.get(frame.colorspace, by_size)


def plane_view(frame: av.VideoFrame, index: int) -> U8:
    """Return plane `index` of an 8-bit frame as (rows, bytes of a row) uint8, without its padding at the right."""
    plane = frame.planes[index]
    width = plane.width * (2 if frame.format.name == SEMI_PLANAR and index else 1)
    rows: U8 = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, :width]


def _views(frame: av.VideoFrame) -> tuple[U8, U8, U8]:
    if frame.format.name == SEMI_PLANAR:
        both = plane_view(frame, 1)
        return plane_view(frame, 0), both[:, 0::2], both[:, 1::2]
    return plane_view(frame, 0), plane_view(frame, 1), plane_view(frame, 2)


def _as_8bit_420(frame: av.VideoFrame, matrix: Matrix, *, full_range: bool) -> av.VideoFrame:
    """Return the frame if its planes can be used as they are, else converted by swscale, range and matrix kept."""
    usable = frame.format.name in PLANAR or frame.format.name == SEMI_PLANAR
    if usable and all(plane.line_size > 0 for plane in frame.planes):
        return frame
    numbers = ColorRange.JPEG if full_range else ColorRange.MPEG
    return frame.reformat(
        format="yuv420p",
        src_colorspace=SWS_COLORSPACES[matrix],
        dst_colorspace=SWS_COLORSPACES[matrix],
        src_color_range=ColorRange.JPEG if frame.format.is_rgb else numbers,
        dst_color_range=numbers,
    )
