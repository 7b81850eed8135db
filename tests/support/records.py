"""Factories of what travels between the stages."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tilewatch.records import BoxCount, Frame, StreamInfo, Tracks
from tilewatch.sinks.base import SinkContext

if TYPE_CHECKING:
    from collections.abc import Sequence

TIME_BASE = Fraction(1, 10)
NAMES = ("person", 'say "hi", car', "Vélo")


def make_info(*, width: int = 320, height: int = 240, path: Path = Path("clip.mp4")) -> StreamInfo:
    """Return what is known of a clip of 10 frames a second."""
    return StreamInfo(
        stream=path.stem,
        path=path,
        container="mov,mp4",
        codec="h264",
        pixel_format="yuv420p",
        width=width,
        height=height,
        rotation=0,
        time_base=TIME_BASE,
        average_rate=Fraction(10),
        start_pts=0,
        frame_count=None,
        duration_seconds=None,
        audio_codec=None,
    )


def make_context(*, tracking: bool = True, width: int = 320, height: int = 240) -> SinkContext:
    """Return a context with three classes, one of them with a name that needs care."""
    return SinkContext(info=make_info(width=width, height=height), names=NAMES, tracking=tracking)


def make_frame(index: int = 0, *, width: int = 320, height: int = 240) -> Frame:
    """Return a grey frame."""
    chroma = (height + 1) // 2, (width + 1) // 2
    return Frame(
        stream="clip",
        index=index,
        pts=index,
        time_base=TIME_BASE,
        captured_ns=0,
        width=width,
        height=height,
        y=np.full((height, width), 90, np.uint8),
        u=np.full(chroma, 128, np.uint8),
        v=np.full(chroma, 128, np.uint8),
        full_range=False,
        matrix="bt601",
        keyframe=True,
    )


def make_tracks(
    index: int, rows: Sequence[tuple[int, int, float, float, float, float, float]] = (), *, frame: Frame | None = None
) -> Tracks:
    """Return a frame's tracks from rows of id, label, score, x0, y0, x1, y1."""
    table = np.array(rows, np.float64).reshape(-1, 7)
    return Tracks(
        frame=frame or make_frame(index),
        xyxy=table[:, 3:].astype(np.float32),
        score=table[:, 2].astype(np.float32),
        label=table[:, 1].astype(np.int32),
        track_id=table[:, 0].astype(np.int64),
        age=np.zeros(len(table), np.int32),
        count=BoxCount(found=len(table) + 2, kept=len(table), merged=1, suppressed=1),
    )
