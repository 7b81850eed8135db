"""A video made in segments is what it would have been in one piece, also when a new process made the later ones."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from tests.support.clips import Clip, make_clip, number_of
from tilewatch.errors import SinkError
from tilewatch.video.segments import SegmentedWriter
from tilewatch.video.source import VideoSource

if TYPE_CHECKING:
    from pathlib import Path

    from tilewatch.records import Frame, StreamInfo

CLIPS = {
    "plain with sound": ("clip.mp4", Clip(frames=30, audio="aac")),
    "variable rate": ("clip.mkv", Clip(frames=6, pts=[0, 33, 50, 51, 400, 433], time_base=Fraction(1, 1000))),
    "late start": ("clip.nut", Clip(frames=4, pts=[1003, 11000, 20700, 30001], time_base=Fraction(1, 90000))),
    "recorder's clock": ("clip.ts", Clip(frames=20, audio="aac", clock_seconds=4000)),
    "odd size, rotated": ("clip.mp4", Clip(frames=9, rotation=90)),
}


def frames_of(path: Path) -> tuple[StreamInfo, list[Frame]]:
    """Return what a source says of itself, and all its frames."""
    source = VideoSource(path, max_pixels=1 << 26)
    info = source.open()
    frames = list(iter(source.read, None))
    source.close()
    return info, frames


def writer_for(folder: Path, info: StreamInfo, codec: str = "libx264") -> SegmentedWriter:
    """Return a writer of segments in a folder."""
    folder.mkdir(exist_ok=True)
    return SegmentedWriter(folder, info, codec=codec, quality=20, preset="veryfast")


def write(writer: SegmentedWriter, frames: list[Frame], *, cut_every: int) -> None:
    """Write frames, with a cut before every `cut_every`th."""
    for count, frame in enumerate(frames):
        if count and count % cut_every == 0:
            writer.cut()
        writer.canvas(frame)
        writer.write(frame)


def seen(path: Path, height: int, width: int) -> list[tuple[Fraction, int]]:
    """Return time and number of every picture of a file."""
    with av.open(str(path)) as container:
        return [
            (
                (frame.pts or 0) * (frame.time_base or Fraction(1)),
                number_of(np.asarray(frame.to_ndarray(format="gray8"), np.uint8)[:height, :width]),
            )
            for frame in container.decode(video=0)
        ]


def test_writer_that_was_given_up_does_not_harm_its_successor(tmp_path: Path) -> None:
    """A process that hung, whose work another one has taken over, lets go of its own segment and of no other's."""
    info, frames = frames_of(make_clip(tmp_path / "clip.mp4", Clip(frames=9)))
    hung, successor = writer_for(tmp_path / "work", info), writer_for(tmp_path / "work", info)
    write(hung, frames[:5], cut_every=3)
    successor.resume(frames[0], hung.segments, hung.codec)
    write(successor, frames[3:7], cut_every=4)
    hung.abort()
    write(successor, frames[7:], cut_every=4)
    successor.join(tmp_path / "joined.mp4")
    pictures = seen(tmp_path / "joined.mp4", info.height, info.width)
    assert [number for _, number in pictures] == [number_of(frame.y) for frame in frames]


@pytest.mark.parametrize("kind", CLIPS)
@pytest.mark.parametrize("cut_every", [1, 3])
def test_joined_segments_show_every_frame_at_its_time(tmp_path: Path, kind: str, cut_every: int) -> None:
    """Count, order and exact times are those of the video in one piece, wherever it was cut."""
    name, clip = CLIPS[kind]
    info, frames = frames_of(make_clip(tmp_path / name, clip))
    pieces, whole = writer_for(tmp_path / "pieces", info), writer_for(tmp_path / "whole", info)
    write(pieces, frames, cut_every=cut_every)
    write(whole, frames, cut_every=len(frames))
    pieces.join(tmp_path / "pieces.mp4")
    whole.join(tmp_path / "whole.mp4")
    assert len(pieces.segments) == -(-len(frames) // cut_every)
    pictures = seen(tmp_path / "pieces.mp4", info.height, info.width)
    assert [number for _, number in pictures] == [number_of(frame.y) for frame in frames]
    assert pictures == seen(tmp_path / "whole.mp4", info.height, info.width)
    assert pieces.warnings == []
    with av.open(str(tmp_path / "pieces.mp4")) as container:
        assert len(container.streams.audio) == (clip.audio is not None)


def sound_of(path: Path) -> list[tuple[int | None, bytes]]:
    """Return time and bytes of every packet of a file's sound."""
    with av.open(str(path)) as container:
        return [(packet.pts, bytes(packet)) for packet in container.demux(audio=0) if packet.size]


def test_resumed_writer_makes_the_same_video(tmp_path: Path) -> None:
    """One that goes on behind finished segments shows the same pictures at the same times, to the same sound."""
    info, frames = frames_of(make_clip(tmp_path / "clip.mp4", Clip(frames=12, audio="aac")))
    whole = writer_for(tmp_path / "whole", info)
    write(whole, frames, cut_every=4)
    whole.join(tmp_path / "whole.mp4")
    first = writer_for(tmp_path / "part", info)
    write(first, frames[:10], cut_every=4)
    first.abort()
    second = writer_for(tmp_path / "part", info, codec="h264_nvenc")
    second.resume(frames[0], first.segments, first.codec)
    write(second, frames[8:], cut_every=4)
    second.join(tmp_path / "part.mp4")
    resumed, undisturbed = tmp_path / "part.mp4", tmp_path / "whole.mp4"
    assert seen(resumed, info.height, info.width) == seen(undisturbed, info.height, info.width)
    assert sound_of(resumed) == sound_of(undisturbed)


def test_segments_of_different_encoders_are_never_joined(tmp_path: Path) -> None:
    """A file whose later part no player could decode is worse than an error."""
    info, frames = frames_of(make_clip(tmp_path / "clip.mp4", Clip(frames=8)))
    writer = writer_for(tmp_path / "segments", info)
    write(writer, frames[:4], cut_every=9)
    writer.cut()
    writer.resume(frames[0], writer.segments, "libx265")
    write(writer, frames[4:], cut_every=9)
    with pytest.raises(SinkError, match="encoded in another way"):
        writer.join(tmp_path / "joined.mp4")
    assert not (tmp_path / "joined.mp4").exists()


def test_video_without_a_frame_is_an_error(tmp_path: Path) -> None:
    """Never an empty file."""
    info, _ = frames_of(make_clip(tmp_path / "clip.mp4", Clip(frames=2)))
    with pytest.raises(SinkError, match="no frame was written"):
        writer_for(tmp_path / "segments", info).join(tmp_path / "joined.mp4")
