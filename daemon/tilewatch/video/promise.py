"""What a container's index promises of a stream, held against what came."""

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction

    import av
    from av.video.stream import VideoStream

SLACK_SECONDS = 0.5
"""Durations are rounded, and estimated by some writers; a gap below this is no proof of missing frames."""
SLACK_FRAMES = 2


class Promise:
    """Counts the packets of a stream and tells at the end whether some are missing.

    ISO files (MP4, MOV) list every sample, after their edit list, so there packets are counted; elsewhere the promised
    duration is compared with the time reached. Streams without any promise (MPEG-TS, raw) can't be broken.

    Args:
        stream: of a container just opened.
        rate: its frames per second.
    """

    def __init__(self, stream: VideoStream, rate: Fraction) -> None:
        self._rate = rate
        self._indexed = len(stream.index_entries) if stream.container.format.name.startswith("mov") else 0
        self._packets = 0
        self._end: int | None = None
        self.frames: int | None = self._indexed - _dropped(stream) if self._indexed else stream.frames or None
        """Frames that should come, None where the container does not say."""
        self.seconds: float | None = _duration(stream, self.frames, rate)
        """Duration of the stream, seconds, None where the container does not say."""

    @property
    def by_packets(self) -> bool:
        """Whether every packet is one picture (ISO files), so that a missing picture can be told from the packets."""
        return bool(self._indexed)

    def take(self, packet: av.Packet[VideoStream]) -> None:
        """Count a packet."""
        self._packets += 1
        at = packet.pts if packet.pts is not None else packet.dts
        if at is not None:
            self._end = max(at, self._end or at)

    def broken(self, stream: VideoStream) -> str:
        """Return in one line what is missing, '' when nothing is."""
        if self._indexed:
            short = self._packets < self._indexed
            return f"the file holds {self._packets} of the {self._indexed} pictures its index lists" if short else ""
        reached = self._reached(stream)
        if self.seconds is None or reached is None:
            return ""
        slack = max(SLACK_SECONDS, float(SLACK_FRAMES / self._rate))
        short = reached < self.seconds - slack
        return f"the file ends at {reached:.1f} s of the {self.seconds:.1f} s it promises" if short else ""

    def _reached(self, stream: VideoStream) -> float | None:
        """Seconds of the stream that came, the last picture's own duration included."""
        if self._end is None or stream.time_base is None:
            return None
        return float((self._end - (stream.start_time or 0)) * stream.time_base + 1 / self._rate)


def _dropped(stream: VideoStream) -> int:
    """Return how many samples at either end the edit list drops: they are decoded but not shown."""
    entries = stream.index_entries
    count = len(entries)
    head = sum(1 for _ in takewhile(lambda i: entries[i].is_discard, range(count)))
    tail = sum(1 for _ in takewhile(lambda i: entries[i].is_discard, range(count - 1, head, -1)))
    return head + tail


def _duration(stream: VideoStream, frames: int | None, rate: Fraction) -> float | None:
    """Return the video's own duration: of the stream, of its Matroska tag, or of its frames.

    AVI tells the number of frames only; where its index is cut off, FFmpeg guesses a duration from what is left.
    """
    if frames and stream.container.format.name == "avi":
        return float(frames / rate)
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if tag:
        hours, minutes, seconds = (float(part) for part in tag.groups())
        return hours * 3600 + minutes * 60 + seconds
    return float(frames / rate) if frames else None
