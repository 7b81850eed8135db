"""Encoding through GStreamer in a process of its own; x264enc stands in for a Jetson's encoder."""

from __future__ import annotations

import signal
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from tests.support.clips import Clip, make_clip, number_of
from tests.support.pipelines import children, needs_gstreamer
from tilewatch.errors import ConfigError, SinkError
from tilewatch.video import encoders, probe
from tilewatch.video.gst_encoder import NVV4L2H264ENC, GstEncoder, software
from tilewatch.video.segments import SegmentedWriter
from tilewatch.video.source import VideoSource
from tilewatch.video.writer import VideoWriter

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_gstreamer


@pytest.fixture(autouse=True)
def _hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let x264enc be the hardware of this machine."""
    stand_in: Any = partial(GstEncoder, elements=software, patience=2.0)
    monkeypatch.setitem(encoders.ELSEWHERE, NVV4L2H264ENC, stand_in)


def copied(path: Path, *, cut_every: int = 0) -> tuple[list[tuple[Fraction, int]], Path]:
    """Decode a file and encode it again, in segments if asked for; returns time and number of each frame."""
    source, target = VideoSource(path, max_pixels=1 << 26), path.with_name("out.mp4")
    info = source.open()
    asked: dict[str, Any] = {"codec": NVV4L2H264ENC, "quality": 20, "preset": "ultrafast"}
    pieces = SegmentedWriter(path.parent, info, **asked)
    whole = VideoWriter(target, info, **asked)
    seen: list[tuple[Fraction, int]] = []
    while frame := source.read():
        if cut_every and seen and len(seen) % cut_every == 0:
            pieces.cut()
        writer = pieces if cut_every else whole
        writer.canvas(frame)
        writer.write(frame)
        seen.append((frame.pts * frame.time_base, number_of(frame.y)))
    if cut_every:
        pieces.join(target)
    else:
        whole.close()
    source.close()
    return seen, target


def shown(path: Path, height: int, width: int) -> list[tuple[Fraction, int]]:
    """Return time and number of every picture of a file."""
    with av.open(str(path)) as container:
        return [
            (
                (frame.pts or 0) * (frame.time_base or Fraction(1)),
                number_of(np.asarray(frame.to_ndarray(format="gray8"), np.uint8)[:height, :width]),
            )
            for frame in container.decode(video=0)
        ]


CLIPS = {
    "plain with sound": ("clip.mp4", Clip(frames=60, audio="aac", width=320, height=192)),
    "uneven times": ("clip.mkv", Clip(frames=6, pts=[0, 33, 50, 51, 400, 433], time_base=Fraction(1, 1000))),
    "size of no multiple of four": ("clip.mp4", Clip(frames=9, width=166, height=98)),
}


@pytest.mark.parametrize("kind", CLIPS)
@pytest.mark.parametrize("cut_every", [0, 4])
def test_every_frame_is_there_at_its_time(tmp_path: Path, kind: str, cut_every: int) -> None:
    """In one piece and in segments, with the sound; nothing is left running."""
    name, clip = CLIPS[kind]
    seen, target = copied(make_clip(tmp_path / name, clip), cut_every=cut_every)
    assert shown(target, clip.height, clip.width) == seen
    with av.open(str(target)) as container:
        assert len(container.streams.audio) == bool(clip.audio)
        assert container.streams.video[0].codec_context.codec_tag == "avc1"
    assert children() == []


@pytest.mark.parametrize(("full_range", "colorspace"), [(False, 1), (True, 6), (False, 9)])
def test_colours_are_those_of_the_source(tmp_path: Path, full_range: bool, colorspace: int) -> None:
    """Written into the stream, whatever the element says of them."""
    clip = Clip(frames=6, full_range=full_range, colorspace=colorspace)
    _, target = copied(make_clip(tmp_path / "clip.mp4", clip))
    with av.open(str(target)) as container:
        context = container.streams.video[0].codec_context
        assert (context.color_range, context.colorspace) == (2 if full_range else 1, colorspace)
        picture = next(container.decode(video=0)).to_ndarray()
        assert abs(int(picture[40, 5]) - 110) <= 4


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_encoder_that_dies_or_hangs_is_an_error_of_this_video(tmp_path: Path, number: int) -> None:
    """Named, with what to do; in time, and nothing is left running."""
    source = VideoSource(make_clip(tmp_path / "clip.mp4", Clip(frames=120, width=640, height=480)), max_pixels=1 << 26)
    writer = VideoWriter(tmp_path / "out.mp4", source.open(), codec=NVV4L2H264ENC, quality=20, preset="ultrafast")
    with pytest.raises(SinkError, match=r"nvv4l2h264enc failed \(GStreamer .*\): set VIDEO_CODEC=auto"):  # noqa: PT012
        while frame := source.read():
            writer.canvas(frame)
            writer.write(frame)
            for child in children()[:1] if frame.index == 5 else ():
                child.send_signal(number)
        writer.close()
    writer.abort()
    source.close()
    assert children() == []
    assert not (tmp_path / "out.mp4").exists()


def test_trial_encodes_real_pictures() -> None:
    """What works says nothing."""
    assert not probe.trial(NVV4L2H264ENC)


def test_named_encoder_that_is_not_there_is_refused() -> None:
    """By the real GStreamer, in the trial's own process, without such an element."""
    probe.pick_encoder.cache_clear()
    with pytest.raises(ConfigError, match=r"VIDEO_CODEC=nvv4l2h264enc does not work here \(.*nvv"):
        probe.pick_encoder(NVV4L2H264ENC)
