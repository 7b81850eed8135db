"""Decoding real files: every frame once, upright, at its time; damage counted, nothing opened besides."""

from __future__ import annotations

import gc
import itertools
import json
import os
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from tests.support.clips import HUES, Clip, begun_later, make_clip, number_of
from tests.support.data import data_path
from tests.support.ffprobe_facts import times_of
from tilewatch.errors import FrameError, InputError
from tilewatch.video.source import VideoSource

if TYPE_CHECKING:
    from tilewatch.records import Frame, StreamInfo

FACTS = json.loads((Path(__file__).parent / "ffprobe_facts.json").read_text())
PIXELS = 1 << 26


def decoded(path: Path, *, pixels: int = PIXELS) -> tuple[StreamInfo, list[Frame], VideoSource]:
    """Decode a whole file, damaged frames left out."""
    source = VideoSource(path, max_pixels=pixels)
    info, frames = source.open(), []
    while True:
        try:
            frame = source.read()
        except FrameError:
            continue
        if frame is None:
            break
        frames.append(frame)
    source.close()
    return info, frames, source


def numbers(frames: list[Frame]) -> list[int]:
    """Read the numbers the pictures show."""
    return [number_of(frame.y) for frame in frames]


@pytest.mark.parametrize("name", FACTS)
def test_real_clip_has_the_frames_and_times_that_ffprobe_reports(name: str) -> None:
    """Every codec and container of the shared clips: frame count and timestamps to the tick."""
    info, frames, source = decoded(data_path(f"clips/{name}"))
    assert [frame.pts for frame in frames] == times_of(FACTS[name]["pts"])
    assert (source.damaged, source.truncated, source.repaired) == (0, False, 0)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert {(frame.width, frame.height) for frame in frames} == {(info.width, info.height)}
    assert all(frame.y.dtype == frame.u.dtype == frame.v.dtype == np.uint8 for frame in frames)


CODECS = {
    "H.264": ("clip.mp4", Clip()),
    "HEVC": ("clip.mp4", Clip(codec="libx265")),
    "AV1": ("clip.mkv", Clip(codec="libsvtav1")),
    "MPEG-4": ("clip.avi", Clip(codec="mpeg4")),
    "MJPEG": ("clip.avi", Clip(codec="mjpeg", pix_fmt="yuvj420p", full_range=True)),
    "10 bits": ("clip.mkv", Clip(codec="libx265", pix_fmt="yuv420p10le")),
    "4:4:4": ("clip.mkv", Clip(pix_fmt="yuv444p")),
    "transport stream": ("clip.ts", Clip()),
    "odd size": ("clip.mkv", Clip(codec="libx264", pix_fmt="yuv444p", width=161, height=97)),
    "sound first": ("clip.mp4", Clip(audio="aac", audio_first=True)),
}


@pytest.mark.parametrize("kind", CODECS)
def test_every_codec_gives_all_pictures_in_order(tmp_path: Path, kind: str) -> None:
    """Twelve pictures, each with its number, 8-bit 4:2:0 whatever the file holds."""
    name, clip = CODECS[kind]
    info, frames, _ = decoded(make_clip(tmp_path / name, clip))
    assert numbers(frames) == list(range(12))
    assert (info.width, info.height) == (clip.width, clip.height)
    assert frames[0].u.shape == ((clip.height + 1) // 2, (clip.width + 1) // 2)
    assert all(later.pts > earlier.pts for earlier, later in itertools.pairwise(frames))


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotated_picture_stands_upright(tmp_path: Path, rotation: int) -> None:
    """The display matrix is applied to the planes: numbers read, colours of the upper and lower half in their place."""
    info, frames, _ = decoded(make_clip(tmp_path / "clip.mp4", Clip(rotation=rotation, width=160, height=96)))
    assert (info.rotation, info.width, info.height) == (rotation, 160, 96)
    assert numbers(frames) == list(range(12))
    for plane, (upper, lower) in zip((frames[0].u, frames[0].v), HUES, strict=True):
        assert abs(int(plane[5, 40]) - upper) <= 14
        assert abs(int(plane[-5, 40]) - lower) <= 14


@pytest.mark.parametrize("full_range", [True, False])
@pytest.mark.parametrize(("colorspace", "matrix"), [(1, "bt709"), (6, "bt601"), (9, "bt2020")])
def test_range_and_matrix_are_those_of_the_file(tmp_path: Path, full_range: bool, colorspace: int, matrix: str) -> None:
    """Tags are kept; luma stays as it was encoded."""
    clip = Clip(full_range=full_range, colorspace=colorspace)
    _, frames, _ = decoded(make_clip(tmp_path / "clip.mp4", clip))
    assert (frames[0].full_range, frames[0].matrix) == (full_range, matrix)
    assert abs(int(frames[0].y[40, 5]) - 110) <= 4


@pytest.mark.parametrize(("height", "matrix"), [(480, "bt601"), (720, "bt709")])
def test_untagged_matrix_follows_the_size(tmp_path: Path, height: int, matrix: str) -> None:
    """As players do: BT.709 from 720 lines on."""
    _, frames, _ = decoded(make_clip(tmp_path / "clip.mkv", Clip(frames=2, width=640, height=height, codec="mpeg4")))
    assert frames[0].matrix == matrix


def test_frames_free_their_memory_at_once(tmp_path: Path) -> None:
    """A picture nobody holds is gone without the garbage collector: memory is bounded by the queues alone."""
    source = VideoSource(make_clip(tmp_path / "clip.mp4", Clip(rotation=90)), max_pixels=PIXELS)
    gc.collect()
    gc.disable()
    others = {id(thing) for thing in gc.get_objects()}
    try:
        source.open()
        while source.read() is not None:
            pass
        source.close()
        kept = [thing for thing in gc.get_objects() if isinstance(thing, av.VideoFrame) and id(thing) not in others]
        assert len(kept) <= 2  # the one whose display matrix was read, and the decoder's spare one
    finally:
        gc.enable()


def test_variable_frame_rate_keeps_every_time(tmp_path: Path) -> None:
    """Uneven times come out as they went in."""
    times = [0, 33, 50, 51, 200, 1000, 1033]
    clip = Clip(frames=7, pts=times, time_base=Fraction(1, 1000))
    _, frames, _ = decoded(make_clip(tmp_path / "clip.mkv", clip))
    assert [round(frame.seconds * 1000) for frame in frames] == times


def test_pictures_before_the_edit_list_are_not_shown(tmp_path: Path) -> None:
    """An MP4 whose edit list begins at its fourth picture: that one is the first, at time 0."""
    path = begun_later(make_clip(tmp_path / "clip.mp4", Clip(options={"bf": "0"})), pictures=3)
    info, frames, source = decoded(path)
    assert numbers(frames) == list(range(3, 12))
    assert frames[0].pts == info.start_pts == 0
    assert info.frame_count == 9
    assert (source.truncated, source.damaged) == (False, 0)


def test_file_cut_short_with_its_index_gives_what_it_holds_and_says_so(tmp_path: Path) -> None:
    """A copy that was broken off: the frames that are there, `truncated`, and a reason."""
    path = make_clip(tmp_path / "clip.mp4", Clip(frames=60, options={"movflags": "faststart"}))
    _faststart(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    _, frames, source = decoded(path)
    assert 10 < len(frames) < 60
    assert numbers(frames) == list(range(len(frames)))
    assert source.truncated
    assert source.reason


def test_damaged_picture_costs_itself_and_not_the_file(tmp_path: Path) -> None:
    """Flipped bytes in the middle: counted, skipped, and the rest decodes."""
    path = make_clip(tmp_path / "clip.mp4", Clip(frames=60))
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 2000
    data[start : start + 400] = bytes(byte ^ 0x5A for byte in data[start : start + 400])
    path.write_bytes(data)
    _, frames, source = decoded(path)
    assert source.damaged > 0
    assert len(frames) + source.damaged == 60
    assert len(frames) > 30
    assert number_of(frames[-1].y) == 59


def test_resolution_change_in_mid_stream_is_followed(tmp_path: Path) -> None:
    """Two recordings glued together: every frame carries its own size."""
    first = make_clip(tmp_path / "a.ts", Clip(frames=6, width=160, height=96)).read_bytes()
    second = make_clip(tmp_path / "b.ts", Clip(frames=6, width=320, height=192, first_number=6)).read_bytes()
    both = tmp_path / "both.ts"
    both.write_bytes(first + second)
    _, frames, _ = decoded(both)
    assert [(frame.width, frame.height) for frame in frames] == [(160, 96)] * 6 + [(320, 192)] * 6
    assert numbers(frames) == list(range(12))
    assert all(later.pts > earlier.pts for earlier, later in itertools.pairwise(frames))


def test_picture_larger_than_the_bound_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """MAX_FRAME_PIXELS guards the memory, and is named."""
    path = make_clip(tmp_path / "clip.mp4", Clip(width=320, height=192))
    with pytest.raises(InputError, match="MAX_FRAME_PIXELS"):
        decoded(path, pixels=320 * 192 - 1)


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.mp4", b"", "0 bytes"),
        ("letter.mp4", b"This is not a video.\n" * 100, "not a video file"),
        ("broken.mp4", b"\0\0\0\x20ftypisom" + bytes(5000), "no usable index"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", "playlist"),
        ("list.mp4", b"#EXTM3U\n#EXTINF:1,\nother.mp4\n", "playlist"),
        ("list.ffconcat", b"ffconcat version 1.0\nfile other.mp4\n", "playlist"),
    ],
)
def test_what_is_no_video_is_refused_with_a_reason(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    """Never an empty success, never another file or a socket by way of this one."""
    make_clip(tmp_path / "other.mp4")
    with pytest.raises(InputError, match=words) as caught:
        decoded(_write(tmp_path / name, content))
    assert str(tmp_path / name) in str(caught.value)


def test_video_without_a_decodable_picture_is_refused(tmp_path: Path) -> None:
    """The index is whole, the pictures are noise: a reason, never an empty success."""
    path = make_clip(tmp_path / "clip.mp4")
    data = path.read_bytes()
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    path.write_bytes(data[:start] + b"\xff" * (end - start) + data[end:])
    with pytest.raises(InputError, match="no frame that can be decoded"):
        decoded(path)


def test_container_cut_within_its_index_is_refused(tmp_path: Path) -> None:
    """A recording that was never finished has no moov; the remedy is said."""
    data = make_clip(tmp_path / "clip.mp4").read_bytes()
    with pytest.raises(InputError, match=r"no usable index \(moov\)"):
        decoded(_write(tmp_path / "cut.mp4", data[: data.index(b"moov") - 4]))


def test_tags_that_are_no_utf8_do_not_matter(tmp_path: Path) -> None:
    """Old cameras write their own code page into AVI files."""
    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "TITLE"
        stream = container.add_stream("mpeg4", rate=10)
        container.mux(stream.encode(av.VideoFrame(640, 480, "yuv420p")))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"TITLE", b"\xff\xfe\xe9\xe8\xfc"))
    assert len(decoded(path)[1]) == 1


def test_sound_without_pictures_is_refused(tmp_path: Path) -> None:
    """A video file needs a video."""
    path = tmp_path / "sound.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match="no video stream"):
        decoded(path)


def test_name_with_a_protocol_or_a_pattern_is_only_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """'concat:a|b.mp4' and '%03d.mp4' are files of that name."""
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a|b.mp4", "%03d.mp4", "http:x.mp4", "two\nlines.mp4", os.fsdecode(b"\xff\xfe.mp4")):
        make_clip(tmp_path / "plain.mp4").rename(tmp_path / name)
        assert len(decoded(Path(name))[1]) == 12


def _faststart(path: Path) -> None:
    """Move the index of an MP4 in front of its data."""
    moved = path.with_suffix(".moved.mp4")
    with av.open(str(path)) as source, av.open(str(moved), "w", options={"movflags": "faststart"}) as target:
        copied = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copied
                target.mux(packet)
    moved.replace(path)
