"""Video files damaged on the way, found by throwing dice: each gives what is left of it, or an error that says why."""

from __future__ import annotations

import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.support.clips import Clip, make_clip
from tilewatch.errors import FrameError, InputError
from tilewatch.video.source import VideoSource
from tilewatch.video.writer import VideoWriter

PIXELS = 1920 * 1080


def copied(path: Path) -> tuple[int, VideoSource, VideoWriter]:
    """Decode a file and encode it again; returns the number of frames, and both ends, closed."""
    source = VideoSource(path, max_pixels=PIXELS)
    writer = VideoWriter(path.with_suffix(".out.mp4"), source.open(), codec="libx264", quality=30, preset="ultrafast")
    frames, ended = 0, False
    while not ended:
        try:
            frame = source.read()
        except FrameError:
            continue
        ended = frame is None
        if frame is not None:
            writer.canvas(frame)
            writer.write(frame)
            frames += 1
    writer.close()
    source.close()
    return frames, source, writer


def test_decoder_that_refuses_its_headers_is_an_error_and_not_an_endless_loop(tmp_path: Path) -> None:
    """Parameter sets that are noise: refused when the file is opened."""
    path = make_clip(tmp_path / "clip.mp4", Clip(codec="libx265"))
    data = bytearray(path.read_bytes())
    start = data.index(b"hvcC") + 4
    data[start + 22 : start + 60] = b"\xff" * 38
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        VideoSource(path, max_pixels=PIXELS).open()


def test_hevc_that_stalls_frame_threads_is_decoded(tmp_path: Path) -> None:
    """A generated clip with some bytes changed, at which frame threads (FFmpeg 8.1) wait for each other for ever."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(Path(__file__).with_name("stalling_hevc.mp4").read_bytes())
    program = (
        "import pathlib, sys; from tilewatch.video.source import VideoSource;"
        f"source = VideoSource(pathlib.Path(sys.argv[1]), max_pixels={PIXELS}); print(source.open().codec)"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "hevc\n"


def test_every_picture_of_a_damaged_file_is_accounted_for(tmp_path: Path) -> None:
    """HEVC drops without a word what builds on a damaged picture: given out or counted as damaged all the same."""
    path = make_clip(tmp_path / "clip.mp4", Clip(frames=30, codec="libx265"))
    with av.open(str(path)) as container:
        places = [(packet.pos or 0, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for position, size in places[1::4]:
        data[position + 4 : position + size] = bytes(size - 4)
    path.write_bytes(data)
    frames, source, _ = copied(path)
    assert 0 < frames < 30
    assert frames + source.damaged == 30


def test_avi_cut_short_without_its_index_says_so(tmp_path: Path) -> None:
    """An AVI's index lies at its end; its header still promises the number of frames."""
    path = make_clip(tmp_path / "clip.avi", Clip(frames=100, codec="mpeg4"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    frames, source, _ = copied(path)
    assert 0 < frames < 95
    assert source.truncated
    assert "of the 10.0 s" in source.reason


@pytest.mark.parametrize("scale", [0x70000001, 1], ids=["years", "normal"])
def test_frames_that_would_last_for_years_are_a_damaged_header(tmp_path: Path, scale: int) -> None:
    """No file can be written with such times: refused with the reason."""
    path = make_clip(tmp_path / "clip.avi", Clip(codec="mpeg4"))
    data = bytearray(path.read_bytes())
    place = data.index(b"vids") + 20
    data[place : place + 8] = struct.pack("<II", scale, 10)
    path.write_bytes(data)
    source = VideoSource(path, max_pixels=PIXELS)
    if scale == 1:
        assert source.open().time_base == Fraction(1, 10)
        source.close()
        return
    with pytest.raises(InputError, match="header is damaged"):
        source.open()


def test_sound_with_damaged_headers_does_not_cost_the_video(tmp_path: Path) -> None:
    """MP4 cannot make an index entry of them: the pictures are kept, and the warning says what is missing."""
    path = make_clip(tmp_path / "clip.mkv", Clip(audio="libopus"))
    data = path.read_bytes()
    private = data.rindex(b"\x63\xa2", 0, data.index(b"OpusHead"))  # EBML's CodecPrivate
    path.write_bytes(data[:private] + b"\x63\xa3" + data[private + 2 :])
    frames, _, writer = copied(path)
    assert frames == 12
    assert any("sound (opus) is missing" in warning for warning in writer.warnings)
    with av.open(str(writer.path)) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def test_stream_that_turns_up_midway_does_not_matter(tmp_path: Path) -> None:
    """A transport stream whose second part has sound that the first had not."""
    first = make_clip(tmp_path / "first.ts", Clip(frames=40)).read_bytes()
    second = make_clip(tmp_path / "second.ts", Clip(frames=40, first_number=40, audio="aac")).read_bytes()
    path = tmp_path / "both.ts"
    path.write_bytes(first * 60 + second)
    frames, _, _ = copied(path)
    assert frames == 61 * 40


def test_time_that_lies_months_ahead_does_not_stretch_the_video(tmp_path: Path) -> None:
    """One damaged time: what follows it comes right behind, and the repair is counted."""
    times = [0, 100, 200, 10**10, 10**10 + 100]
    path = make_clip(tmp_path / "clip.mkv", Clip(frames=5, pts=times, time_base=Fraction(1, 1000)))
    frames, source, writer = copied(path)
    assert (frames, source.repaired) == (5, 2)
    with av.open(str(writer.path)) as container:
        seconds = [float(frame.time or 0) for frame in container.decode(video=0)]
    assert seconds[:3] == [0.0, 0.1, 0.2]
    assert seconds[4] < 3600
