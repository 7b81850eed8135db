"""Encoding: what browsers play, with the source's times, colours and sound."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import av
import numpy as np
import pytest

from tests.support.clips import Clip, make_clip, number_of
from tests.support.records import make_frame, make_info
from tilewatch.errors import SinkError
from tilewatch.video.source import VideoSource
from tilewatch.video.writer import VideoWriter

if TYPE_CHECKING:
    from pathlib import Path


class Made(NamedTuple):
    """A file that was read and written again."""

    source: list[tuple[float, int]]
    """Seconds and number of each frame read."""
    writer: VideoWriter
    path: Path


def copied(path: Path, *, limit: int | None = None, codec: str = "libx264") -> Made:
    """Decode a file and encode it again, as far as `limit` frames."""
    source = VideoSource(path, max_pixels=1 << 26)
    info = source.open()
    target = path.with_name("out.mp4")
    writer = VideoWriter(target, info, codec=codec, quality=20, preset="ultrafast")
    seen: list[tuple[float, int]] = []
    while (frame := source.read()) is not None and len(seen) != limit:
        before = frame.y.copy()
        writer.canvas(frame)[0][-3:, -3:] = 16
        assert np.array_equal(frame.y, before)
        writer.write(frame)
        seen.append((frame.seconds, number_of(frame.y)))
    writer.close()
    source.close()
    return Made(seen, writer, target)


def shown(frame: av.VideoFrame, height: int = 96, width: int = 160) -> int:
    """Read the number of a picture."""
    return number_of(np.asarray(frame.to_ndarray(format="gray8"), np.uint8)[:height, :width])


def seconds_of(frame: av.VideoFrame) -> float:
    """Return a frame's time."""
    assert frame.pts is not None
    assert frame.time_base is not None
    return float(frame.pts * frame.time_base)


def read_back(path: Path) -> list[av.VideoFrame]:
    """Decode the video of a file."""
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


CLIPS = {
    "plain": ("clip.mp4", Clip()),
    "variable rate": ("clip.mkv", Clip(frames=6, pts=[0, 33, 50, 51, 400, 433], time_base=Fraction(1, 1000))),
    "rotated": ("clip.mp4", Clip(rotation=90)),
    "odd size": ("clip.mkv", Clip(pix_fmt="yuv444p", width=161, height=97)),
    "10 bits": ("clip.mkv", Clip(codec="libx265", pix_fmt="yuv420p10le")),
    "full range": ("clip.mp4", Clip(full_range=True, colorspace=1)),
    "NTSC": ("clip.mp4", Clip(fps=Fraction(30000, 1001))),
}


@pytest.mark.parametrize("kind", CLIPS)
def test_every_frame_comes_back_in_order_at_its_time(tmp_path: Path, kind: str) -> None:
    """Count, order and spacing of the source, in H.264 4:2:0 of even size, upright."""
    name, clip = CLIPS[kind]
    made = copied(make_clip(tmp_path / name, clip))
    frames = read_back(made.path)
    times = [seconds_of(frame) for frame in frames]
    numbers = [shown(frame, clip.height, clip.width) for frame in frames]
    assert numbers == [number for _, number in made.source]
    assert times == pytest.approx([seconds - made.source[0][0] for seconds, _ in made.source], abs=2e-3)
    assert frames[0].format.name in {"yuv420p", "yuvj420p"}
    assert (frames[0].width, frames[0].height) == (clip.width + clip.width % 2, clip.height + clip.height % 2)
    assert frames[0].rotation == 0


def test_file_is_what_browsers_play(tmp_path: Path) -> None:
    """H.264 in MP4 with the index in front, so that it plays while it loads."""
    data = copied(make_clip(tmp_path / "clip.mp4", Clip(audio="aac"))).path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert b"avc1" in data


def test_colours_are_tagged_as_they_are(tmp_path: Path) -> None:
    """Full range BT.709 stays full range BT.709."""
    made = copied(make_clip(tmp_path / "clip.mp4", Clip(full_range=True, colorspace=1)))
    frame = read_back(made.path)[0]
    assert (frame.color_range, frame.colorspace) == (2, 1)


@pytest.mark.parametrize(
    ("name", "audio", "expected"),
    [
        ("clip.mp4", "aac", "aac"),
        ("clip.mkv", "libopus", "opus"),
        ("clip.mkv", "pcm_s16le", "aac"),
        ("clip.avi", "libmp3lame", "mp3"),
    ],
)
def test_sound_is_kept_or_made_into_what_mp4_holds(tmp_path: Path, name: str, audio: str, expected: str) -> None:
    """Passed through where MP4 can hold it, else AAC; as long as the pictures."""
    made = copied(make_clip(tmp_path / name, Clip(frames=20, audio=audio)))
    with av.open(str(made.path)) as container:
        stream = container.streams.audio[0]
        samples = sum(frame.samples for frame in container.decode(audio=0))
        assert stream.codec_context.name.startswith(expected)
        assert samples / stream.codec_context.sample_rate == pytest.approx(2.0, abs=0.15)
    assert made.writer.warnings == []


def test_sound_ends_with_the_pictures_when_stopped_early(tmp_path: Path) -> None:
    """Five frames of twenty: half a second of sound."""
    made = copied(make_clip(tmp_path / "clip.mp4", Clip(frames=20, audio="aac")), limit=5)
    with av.open(str(made.path)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert samples / 48000 == pytest.approx(0.5, abs=0.15)
    assert len(read_back(made.path)) == 5


def test_resolution_change_is_fitted_into_the_first_size(tmp_path: Path) -> None:
    """A larger recording glued behind: the same output, and a warning."""
    first = make_clip(tmp_path / "a.ts", Clip(frames=6, width=160, height=96)).read_bytes()
    second = make_clip(tmp_path / "b.ts", Clip(frames=6, width=320, height=192, first_number=6)).read_bytes()
    both = tmp_path / "both.ts"
    both.write_bytes(first + second)
    made = copied(both)
    frames = read_back(made.path)
    assert {(frame.width, frame.height) for frame in frames} == {(160, 96)}
    assert [shown(frame) for frame in frames] == list(range(12))
    assert any("6 frames of another size" in warning for warning in made.writer.warnings)


def test_nothing_written_is_never_a_file(tmp_path: Path) -> None:
    """No frame: an error instead of an empty success; abort removes what was begun."""
    writer = VideoWriter(tmp_path / "out.mp4", make_info(), codec="libx264", quality=20, preset="ultrafast")
    with pytest.raises(SinkError, match="no frame was written"):
        writer.close()
    begun = VideoWriter(
        tmp_path / "begun.mp4", make_info(path=tmp_path / "none.mp4"), codec="libx264", quality=20, preset="ultrafast"
    )
    frame = make_frame()
    begun.canvas(frame)
    begun.write(frame)
    begun.abort()
    begun.abort()
    assert list(tmp_path.iterdir()) == []


def test_encoder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """An encoder that cannot be opened is a clear error."""
    path = make_clip(tmp_path / "clip.mp4")
    with pytest.raises(SinkError, match="h264_nvenc"):
        copied(path, codec="h264_nvenc")
