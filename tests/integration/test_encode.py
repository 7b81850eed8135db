"""Encoding: what browsers play, with the source's times, colours and sound."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import av
import numpy as np
import pytest

from tests.support.clips import Clip, make_clip, number_of
from tests.support.records import make_frame, make_info, make_tracks
from tilewatch.errors import DiskFullError, SinkError
from tilewatch.settings import DrawSettings, VideoSettings
from tilewatch.sinks.base import SinkContext
from tilewatch.sinks.video import VideoSink
from tilewatch.video import probe
from tilewatch.video.source import VideoSource
from tilewatch.video.writer import VideoWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tilewatch.records import U8, Tracks


class Made(NamedTuple):
    """A file that was read and written again."""

    source: list[tuple[Fraction, int]]
    """Seconds and number of each frame read."""
    writer: VideoWriter
    path: Path


def copied(path: Path, *, limit: int | None = None, codec: str = "libx264", preset: str = "ultrafast") -> Made:
    """Decode a file and encode it again, as far as `limit` frames."""
    source = VideoSource(path, max_pixels=1 << 26)
    info = source.open()
    target = path.with_name("out.mp4")
    writer = VideoWriter(target, info, codec=codec, quality=20, preset=preset)
    seen: list[tuple[Fraction, int]] = []
    while (frame := source.read()) is not None and len(seen) != limit:
        before = frame.y.copy()
        writer.canvas(frame)[0][-3:, -3:] = 16
        assert np.array_equal(frame.y, before)
        writer.write(frame)
        seen.append((frame.pts * frame.time_base, number_of(frame.y)))
    writer.close()
    source.close()
    return Made(seen, writer, target)


def shown(frame: av.VideoFrame, height: int = 96, width: int = 160) -> int:
    """Read the number of a picture."""
    return number_of(np.asarray(frame.to_ndarray(format="gray8"), np.uint8)[:height, :width])


def seconds_of(frame: av.VideoFrame) -> Fraction:
    """Return a frame's time."""
    assert frame.pts is not None
    assert frame.time_base is not None
    return frame.pts * frame.time_base


def read_back(path: Path) -> list[av.VideoFrame]:
    """Decode the video of a file."""
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


CLIPS = {
    "plain": ("clip.mp4", Clip()),
    "variable rate": ("clip.mkv", Clip(frames=6, pts=[0, 33, 50, 51, 400, 433], time_base=Fraction(1, 1000))),
    "late start": ("clip.nut", Clip(frames=4, pts=[1003, 11000, 20700, 30001], time_base=Fraction(1, 90000))),
    "rotated": ("clip.mp4", Clip(rotation=90)),
    "odd size": ("clip.mkv", Clip(pix_fmt="yuv444p", width=161, height=97)),
    "10 bits": ("clip.mkv", Clip(codec="libx265", pix_fmt="yuv420p10le")),
    "full range": ("clip.mp4", Clip(full_range=True, colorspace=1)),
    "NTSC": ("clip.mp4", Clip(fps=Fraction(30000, 1001))),
}


@pytest.mark.parametrize("kind", CLIPS)
def test_every_frame_comes_back_in_order_at_its_time(tmp_path: Path, kind: str) -> None:
    """Count, order and exact times of the source, in H.264 4:2:0 of even size, upright."""
    name, clip = CLIPS[kind]
    made = copied(make_clip(tmp_path / name, clip))
    frames = read_back(made.path)
    numbers = [shown(frame, clip.height, clip.width) for frame in frames]
    assert numbers == [number for _, number in made.source]
    assert [seconds_of(frame) for frame in frames] == [seconds for seconds, _ in made.source]
    assert frames[0].format.name in {"yuv420p", "yuvj420p"}
    assert (frames[0].width, frames[0].height) == (clip.width + clip.width % 2, clip.height + clip.height % 2)
    assert frames[0].rotation == 0


def test_slow_pictures_with_times_in_nanoseconds_are_written(tmp_path: Path) -> None:
    """One in two seconds, some decoded long before they are shown: at that clock more ticks than MP4 has room for."""
    times = [index * 2_000_000_100 for index in range(12)]
    clip = Clip(frames=12, pts=times, time_base=Fraction(1, 1_000_000_000))
    made = copied(make_clip(tmp_path / "clip.nut", clip), preset="veryfast")
    assert [seconds_of(frame) for frame in read_back(made.path)] == [seconds for seconds, _ in made.source]


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


def tone_of(path: Path) -> tuple[str, float, float]:
    """Return codec, start and length in seconds of a file's decoded sound."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        name = container.streams.audio[0].codec_context.name
    return name, float(frames[0].time or 0), sum(frame.samples for frame in frames) / frames[0].sample_rate


@pytest.mark.parametrize(
    ("name", "audio", "expected"),
    [
        ("clip.mp4", "aac", "aac"),
        ("clip.ts", "aac", "aac"),
        ("clip.mkv", "libopus", "opus"),
        ("clip.mkv", "flac", "flac"),
        ("clip.mkv", "ac3", "ac3"),
        ("clip.avi", "libmp3lame", "mp3float"),
        ("clip.mkv", "pcm_s16le", "aac"),
        ("clip.avi", "pcm_s16le", "aac"),
        ("clip.mkv", "mp2", "aac"),
    ],
)
def test_sound_is_kept_or_made_into_what_mp4_holds(tmp_path: Path, name: str, audio: str, expected: str) -> None:
    """Passed through where MP4 can hold it, else AAC; as long as it was, and as early."""
    path = make_clip(tmp_path / name, Clip(frames=20, audio=audio))
    made = copied(path)
    _, start, length = tone_of(path)
    codec, new_start, new_length = tone_of(made.path)
    picture = float(seconds_of(read_back(made.path)[0]))
    assert codec == expected
    assert new_length == pytest.approx(length, abs=0.05)
    assert new_start - picture == pytest.approx(start - float(made.source[0][0]), abs=0.05)
    assert made.writer.warnings == []


@pytest.mark.parametrize(("name", "clock"), [("clip.mkv", 0), ("clip.ts", 0), ("clip.ts", 36_000)])
@pytest.mark.parametrize("audio", ["aac", "mp2"])
def test_sound_keeps_its_distance_from_late_pictures(tmp_path: Path, name: str, clock: int, audio: str) -> None:
    """Pictures half a second behind the sound stay so; a transport stream's own clock becomes 0."""
    clip = Clip(frames=10, pts=range(500, 1500, 100), time_base=Fraction(1, 1000), audio=audio, clock_seconds=clock)
    made = copied(make_clip(tmp_path / name, clip))
    _, start, _ = tone_of(made.path)
    assert start == pytest.approx(0, abs=0.05)
    assert float(seconds_of(read_back(made.path)[0])) - start == pytest.approx(0.5, abs=0.05)


def test_gap_in_the_sound_becomes_silence(tmp_path: Path) -> None:
    """What comes after it stays with its pictures."""
    clip = Clip(frames=20, audio="pcm_s16le", audio_gap=(0.5, 1.0))
    assert tone_of(copied(make_clip(tmp_path / "clip.mkv", clip)).path)[2] == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(("name", "audio"), [("clip.mp4", "aac"), ("clip.mkv", "pcm_s16le")])
def test_sound_ends_with_the_pictures_when_stopped_early(tmp_path: Path, name: str, audio: str) -> None:
    """Five frames of twenty: half a second of sound, give or take one packet."""
    made = copied(make_clip(tmp_path / name, Clip(frames=20, audio=audio)), limit=5)
    assert tone_of(made.path)[2] == pytest.approx(0.5, abs=0.05)
    assert len(read_back(made.path)) == 5


def test_sound_longer_than_the_pictures_is_kept_whole(tmp_path: Path) -> None:
    """Nobody stopped: nothing is cut off."""
    made = copied(make_clip(tmp_path / "clip.mp4", Clip(frames=10, audio="aac", audio_seconds=2.0)))
    assert tone_of(made.path)[2] == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("audio", ["ac3", "mp2"])
def test_damaged_sound_is_left_out_and_the_pictures_stay(tmp_path: Path, audio: str) -> None:
    """Noise in some packets, copied or transcoded: all frames, the rest of the sound, and a warning."""
    path = make_clip(tmp_path / "clip.mkv", Clip(frames=20, audio=audio))
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        places = [data.index(bytes(packet)) for packet in container.demux(audio=0) if packet.size]
    for place in places[5:15]:
        data[place : place + 40] = b"\xa5" * 40
    path.write_bytes(data)
    made = copied(path)
    assert [shown(frame) for frame in read_back(made.path)] == list(range(20))
    assert made.writer.warnings == ["10 damaged pieces of sound were left out"]
    assert tone_of(made.path)[2] > 0.8


def test_sound_of_unknown_codec_costs_only_itself(tmp_path: Path) -> None:
    """An AVI whose sound nobody can decode: the pictures, and a warning."""
    path = make_clip(tmp_path / "clip.avi", Clip(codec="mpeg4", audio="pcm_s16le"))
    data = bytearray(path.read_bytes())
    tag = data.index(b"strf", data.index(b"auds")) + 8
    data[tag : tag + 2] = b"\x99\x99"
    path.write_bytes(data)
    made = copied(path)
    assert len(read_back(made.path)) == 12
    assert made.writer.warnings == ["the sound is missing: its codec is unknown"]


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


def test_hevc_is_tagged_as_apple_wants_it(tmp_path: Path) -> None:
    """hvc1, since hev1 plays nowhere on Apple's devices."""
    made = copied(make_clip(tmp_path / "clip.mp4"), codec="libx265")
    assert b"hvc1" in made.path.read_bytes()
    assert [shown(frame) for frame in read_back(made.path)] == list(range(12))


def test_pixels_that_are_not_square_stay_so(tmp_path: Path) -> None:
    """An anamorphic recording keeps the shape in which it is shown; a turned one has it turned."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        stream.set_display_rotation(90)
        container.mux(stream.encode(av.VideoFrame(160, 96, "yuv420p")))
        container.mux(stream.encode(None))
    with av.open(str(copied(path).path)) as made:
        context = made.streams.video[0].codec_context
        assert (context.width, context.height, context.sample_aspect_ratio) == (96, 160, Fraction(3, 4))


def begun(path: Path, *, codec: str = "libx264", fallback: str | None = None) -> VideoWriter:
    """Return a writer that has one frame of a source without sound."""
    source = make_clip(path.with_name("source.mp4"), Clip(frames=1))
    writer = VideoWriter(path, make_info(path=source), codec=codec, quality=20, preset="ultrafast", fallback=fallback)
    writer.canvas(make_frame())
    writer.write(make_frame())
    return writer


def test_no_frame_is_an_error_and_no_file(tmp_path: Path) -> None:
    """Never an empty success."""
    writer = VideoWriter(tmp_path / "out.mp4", make_info(), codec="libx264", quality=20, preset="ultrafast")
    with pytest.raises(SinkError, match="no frame was written"):
        writer.close()
    writer.abort()
    assert list(tmp_path.iterdir()) == []


def test_abort_removes_what_was_begun(tmp_path: Path) -> None:
    """Also when called twice."""
    path = tmp_path / "out.mp4"
    writer = begun(path)
    assert path.exists()
    writer.abort()
    writer.abort()
    assert not path.exists()


def test_complete_file_stays_whatever_is_called_afterwards(tmp_path: Path) -> None:
    """Close and abort after close change nothing."""
    path = tmp_path / "out.mp4"
    writer = begun(path)
    writer.close()
    writer.close()
    writer.abort()
    assert len(read_back(path)) == 1


def test_times_below_zero_are_moved_up(tmp_path: Path) -> None:
    """MP4 would not show what lies before 0."""
    info = make_info(path=make_clip(tmp_path / "source.mp4", Clip(frames=1)))
    writer = VideoWriter(tmp_path / "out.mp4", info, codec="libx264", quality=20, preset="ultrafast")
    for index in range(4):
        frame = replace(make_frame(index), pts=index - 3)
        writer.canvas(frame)
        writer.write(frame)
    writer.close()
    assert [seconds_of(frame) for frame in read_back(tmp_path / "out.mp4")] == [Fraction(n, 10) for n in range(4)]


def test_file_with_fewer_frames_than_written_is_an_error(tmp_path: Path) -> None:
    """An encoder that swallows pictures without a word is found out."""
    writer = begun(tmp_path / "out.mp4")
    writer.frames += 1
    with pytest.raises(SinkError, match="holds 1 of 2 frames"):
        writer.close()
    writer.abort()
    assert not (tmp_path / "out.mp4").exists()


def test_source_that_is_gone_costs_only_the_sound(tmp_path: Path) -> None:
    """The file was removed while it was decoded: its pictures are still written."""
    info = make_info(path=tmp_path / "gone.mp4")
    writer = VideoWriter(tmp_path / "out.mp4", info, codec="libx264", quality=20, preset="ultrafast")
    writer.canvas(make_frame())
    writer.write(make_frame())
    writer.close()
    assert len(read_back(tmp_path / "out.mp4")) == 1
    assert "there is no sound" in writer.warnings[0]


def test_encoder_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """An encoder without its device is a clear error and no file."""
    with pytest.raises(SinkError, match="encoder h264_v4l2m2m cannot be opened for 320x240"):
        begun(tmp_path / "out.mp4", codec="h264_v4l2m2m")
    assert {path.name for path in tmp_path.iterdir()} == {"source.mp4"}


def test_encoder_that_refuses_a_session_is_replaced_with_a_warning(tmp_path: Path) -> None:
    """Desktop cards limit sessions: a probe that went well is no promise."""
    writer = begun(tmp_path / "out.mp4", codec="h264_v4l2m2m", fallback="libx264")
    writer.close()
    assert writer.codec == "libx264"
    assert "h264_v4l2m2m cannot be opened" in writer.warnings[0]
    assert "libx264 was taken instead" in writer.warnings[0]


@pytest.fixture
def tiny_volume(tmp_path: Path) -> Iterator[Path]:
    """Give a folder on a volume of 64 KiB, or skip where none can be mounted."""
    folder = tmp_path / "volume"
    folder.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if not mount or not umount or os.geteuid() != 0:
        pytest.skip("mounting a small volume takes root")
    command = [mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this container may not mount")
    yield folder
    subprocess.run([umount, "-l", str(folder)], check=True)  # -l: a failed test may hold its file open


def test_full_volume_is_told_and_cleared(tmp_path: Path, tiny_volume: Path) -> None:
    """Its own error, which a later try may outlive, and nothing left behind."""
    noise = np.random.default_rng(7)
    clip = Clip(frames=40, paint=lambda _, width, height: noise.integers(0, 255, (height, width), np.uint8))
    source = VideoSource(make_clip(tmp_path / "clip.mp4", clip), max_pixels=1 << 26)
    info = source.open()
    writer = VideoWriter(tiny_volume / "out.mp4", info, codec="libx264", quality=20, preset="ultrafast")
    with pytest.raises(DiskFullError, match="no space left"):
        write_all(source, writer)
    writer.abort()
    source.close()
    assert list(tiny_volume.iterdir()) == []


def write_all(source: VideoSource, writer: VideoWriter) -> None:
    """Copy what is left of a source."""
    while (frame := source.read()) is not None:
        writer.canvas(frame)
        writer.write(frame)
    writer.close()


class CornerPainter:
    """Paints the lower right corner black."""

    def apply(self, settings: DrawSettings) -> None:
        """Paint as before."""

    def draw(self, tracks: Tracks, planes: tuple[U8, U8, U8]) -> None:
        """Paint."""
        assert planes[0].shape == tracks.frame.y.shape
        planes[0][-32:, -32:] = 16


def test_sink_paints_on_a_copy(tmp_path: Path) -> None:
    """What is drawn is in the video and not in the decoder's frame."""
    source = make_clip(tmp_path / "source.mp4", Clip(frames=1))
    context = SinkContext(info=make_info(path=source), names=(), tracking=True)
    sink = VideoSink(tmp_path / "out.mp4", context, CornerPainter(), VideoSettings(codec="auto"))
    tracks = make_tracks(0)
    sink.write(tracks)
    sink.close()
    luma = np.asarray(read_back(tmp_path / "out.mp4")[0].to_ndarray(format="gray8"))
    assert (tracks.frame.y == 90).all()
    assert (sink.codec, list(sink.warnings)) == ("libx264", [])
    assert luma[-16, -16] < 30
    assert abs(int(luma[16, 16]) - (90 - 16) * 255 / 219) < 6


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_software_encoders_pass_their_trial(codec: str) -> None:
    """In this process, and in one of its own as hardware is tried."""
    assert probe.trial(codec) == ""
    assert probe.trial_apart(codec) == ""


def test_encoder_without_its_device_fails_its_trial_in_a_few_words() -> None:
    """The reason goes into one line for the operator."""
    refusal = probe.trial_apart("h264_v4l2m2m")
    assert refusal
    assert len(refusal.splitlines()) == 1


def test_hanging_trial_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that never answers costs the time-out, no more."""
    pipe = tmp_path / "never"
    os.mkfifo(pipe)
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nread line < {pipe}\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.setattr(probe, "TRIAL_SECONDS", 0.1)
    assert "no answer" in probe.trial_apart("h264_nvenc")
