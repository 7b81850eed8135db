"""Decoding through GStreamer in a process of its own: the pictures, times and damage are those of software decoding.

Elements of gstreamer1.0-libav stand in for a Jetson's, which are named in their place: pipes, process and protocol are
the real ones.
"""

from __future__ import annotations

import json
import signal
from contextlib import suppress
from dataclasses import asdict
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from tests.support.clips import Clip, begun_later, make_clip, number_of
from tests.support.data import data_path
from tests.support.ffprobe_facts import times_of
from tests.support.pipelines import children, needs_gstreamer, nvdec_stand_in, software_context, stand_in
from tilewatch.errors import ConfigError, DecoderError, FrameError, InputError
from tilewatch.video import decoders, gstreamer
from tilewatch.video.decoder import NvdecDecoder
from tilewatch.video.decoders import Decoders
from tilewatch.video.source import VideoSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from av.video.stream import VideoStream

    from tilewatch.records import Frame, StreamInfo
    from tilewatch.video.decoder import GstDecoder, Item, Looks

FACTS = json.loads((Path(__file__).parent / "ffprobe_facts.json").read_text())
PIXELS = 1 << 26


@pytest.fixture
def hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the stand-in be the hardware of this machine."""
    monkeypatch.setitem(decoders.MAKERS, "nvv4l2", stand_in)
    monkeypatch.setattr(decoders, "best", lambda: "nvv4l2")


def decoded(path: Path, found: Decoders | None = None) -> tuple[StreamInfo, list[Frame], VideoSource]:
    """Decode a whole file, damaged frames left out."""
    source = VideoSource(path, max_pixels=PIXELS, decoders=found)
    info, frames, ended = source.open(), [], False
    while not ended:
        try:
            frame = source.read()
        except FrameError:
            continue
        ended = frame is None
        if frame is not None:
            frames.append(frame)
    source.close()
    return info, frames, source


def facts(frame: Frame) -> tuple[object, ...]:
    """Return everything that is said of a frame beside its pixels."""
    sizes = (frame.width, frame.height)
    return (frame.index, frame.pts, frame.time_base, *sizes, frame.full_range, frame.matrix, frame.keyframe)


CLIPS = {
    "H.264 with reordering": ("clip.mp4", Clip(frames=40, options={"bf": "3", "preset": "medium"})),
    "HEVC": ("clip.mp4", Clip(codec="libx265", frames=30)),
    "transport stream": ("clip.ts", Clip(frames=30)),
    "Matroska": ("clip.mkv", Clip(frames=30)),
    "uneven times": ("clip.mp4", Clip(frames=7, pts=[0, 33, 50, 51, 200, 1000, 1033], time_base=Fraction(1, 1000))),
    "turned": ("clip.mp4", Clip(rotation=90)),
    "full range": ("clip.mp4", Clip(full_range=True, colorspace=1)),
    "BT.2020": ("clip.mp4", Clip(colorspace=9)),
    "odd rows": ("clip.mp4", Clip(width=162, height=98)),
}


STAND_INS = {"nvv4l2": stand_in, "nvdec": nvdec_stand_in}


@pytest.mark.parametrize("decoder", [pytest.param("nvv4l2", marks=needs_gstreamer), "nvdec"])
@pytest.mark.parametrize("kind", CLIPS)
def test_frames_are_those_of_software_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, decoder: str
) -> None:
    """Number, times, size, colours, the turn upright and every pixel."""
    monkeypatch.setitem(decoders.MAKERS, decoder, STAND_INS[decoder])
    monkeypatch.setattr(decoders, "best", lambda: decoder)
    name, clip = CLIPS[kind]
    path = make_clip(tmp_path / name, clip)
    (info, expected, _), (told, frames, source) = decoded(path), decoded(path, Decoders("auto"))
    assert source.decoder == decoder
    assert asdict(told) == asdict(info)
    assert [facts(frame) for frame in frames] == [facts(frame) for frame in expected]
    for frame, like in zip(frames, expected, strict=True):
        assert all(np.array_equal(*planes) for planes in ((frame.y, like.y), (frame.u, like.u), (frame.v, like.v)))
    assert (source.damaged, source.truncated, source.given_up) == (0, False, "")


@needs_gstreamer
@pytest.mark.usefixtures("hardware")
@pytest.mark.parametrize("name", FACTS)
def test_real_clip_has_the_frames_and_times_that_ffprobe_reports(name: str) -> None:
    """Whatever a clip is: by the hardware where it can, in software where it cannot."""
    _, frames, source = decoded(data_path(f"clips/{name}"), Decoders("auto"))
    assert [frame.pts for frame in frames] == times_of(FACTS[name]["pts"])
    assert (source.damaged, source.truncated, source.given_up) == (0, False, "")


@needs_gstreamer
@pytest.mark.usefixtures("hardware")
def test_damaged_pictures_are_counted_and_the_rest_keep_their_times(tmp_path: Path) -> None:
    """Pictures of noise: given out or counted, each at its own time, to the end."""
    path = damaged_clip(tmp_path / "clip.mp4")
    _, frames, source = decoded(path, Decoders("auto"))
    assert source.decoder == "nvv4l2"
    assert source.damaged > 0
    assert len(frames) + source.damaged == 60
    ticks = frames[1].pts - frames[0].pts
    assert [number_of(frame.y) for frame in frames[:20]] == list(range(20))
    assert [number_of(frame.y) for frame in frames[-30:]] == [frame.pts // ticks for frame in frames[-30:]]
    assert number_of(frames[-1].y) == 59


def damaged_clip(path: Path) -> Path:
    """Write a clip of 60 pictures, three of which are noise."""
    make_clip(path, Clip(frames=60))
    with av.open(str(path)) as container:
        packets = [(packet.pos or 0, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for position, size in packets[20:23]:
        data[position + 5 : position + size] = bytes(size - 5)
    path.write_bytes(data)
    return path


def test_nvdec_counts_damage_as_software_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg reads the stream in both."""
    monkeypatch.setitem(decoders.MAKERS, "nvdec", nvdec_stand_in)
    monkeypatch.setattr(decoders, "best", lambda: "nvdec")
    path = damaged_clip(tmp_path / "clip.mp4")
    (_, expected, software), (_, frames, source) = decoded(path), decoded(path, Decoders("auto"))
    assert source.decoder == "nvdec"
    assert [facts(frame) for frame in frames] == [facts(frame) for frame in expected]
    assert source.damaged == software.damaged > 0


def test_nvdec_that_refuses_everything_is_left_for_software(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card that was lost: no frame is, and it is no damage of the video."""

    class Lost(NvdecDecoder):
        def decode(self, packet: av.Packet[av.VideoStream] | None) -> Sequence[Item]:
            nonsense: av.Packet[Any] = av.Packet(b"nonsense" * 9)
            return super().decode(nonsense if packet else None)

    monkeypatch.setitem(decoders.MAKERS, "nvdec", partial(Lost, create=software_context))
    monkeypatch.setattr(decoders, "best", lambda: "nvdec")
    _, frames, source = decoded(make_clip(tmp_path / "clip.mp4", Clip(frames=60)), Decoders("auto"))
    assert [number_of(frame.y) for frame in frames] == list(range(60))
    assert "NVDEC refuses one packet after the other" in source.given_up
    assert (source.decoder, source.damaged) == ("software", 0)


@needs_gstreamer
@pytest.mark.usefixtures("hardware")
def test_pictures_before_the_edit_list_are_not_shown(tmp_path: Path) -> None:
    """They are sent, since others build on them, and dropped when they come back."""
    path = begun_later(make_clip(tmp_path / "clip.mp4", Clip(options={"bf": "0"})), pictures=3)
    _, frames, source = decoded(path, Decoders("auto"))
    assert [number_of(frame.y) for frame in frames] == list(range(3, 12))
    assert (source.decoder, source.damaged) == ("nvv4l2", 0)


def interrupted(path: Path, number: int, found: Decoders) -> tuple[list[int], VideoSource]:
    """Decode a file and send its pipeline a signal after ten frames; returns the numbers on all pictures."""
    source = VideoSource(path, max_pixels=PIXELS, decoders=found)
    source.open()
    numbers: list[int] = []
    while frame := source.read():
        numbers.append(number_of(frame.y))
        if len(numbers) == 10:
            for child in children():
                child.send_signal(number)
    source.close()
    return numbers, source


@needs_gstreamer
def test_pictures_that_do_not_come_back_are_told_where_they_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder that gives every sixth picture only: the others are damage in their place, not at the end."""
    monkeypatch.setattr(decoders, "best", lambda: "nvv4l2")
    keys_only = partial(stand_in, before="identity drop-buffer-flags=delta-unit !")
    monkeypatch.setitem(decoders.MAKERS, "nvv4l2", keys_only)
    source = VideoSource(make_clip(tmp_path / "clip.mp4"), max_pixels=PIXELS, decoders=Decoders("auto"))
    source.open()
    told: list[int | None] = []
    while not source.at_end():
        told.append(None)
        with suppress(FrameError):
            frame = source.read()
            told[-1] = number_of(frame.y) if frame else -1
    source.close()
    assert told == [0, *[None] * 5, 6, *[None] * 5]
    assert source.damaged == 10


@needs_gstreamer
@pytest.mark.usefixtures("hardware")
@pytest.mark.timeout(50)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV])
def test_pipeline_that_dies_or_hangs_costs_no_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Every picture once: the rest comes from the software decoder, which is said; nothing is left running."""
    monkeypatch.setitem(decoders.MAKERS, "nvv4l2", partial(stand_in, patience=0.5))
    failed: list[str] = []
    path = make_clip(tmp_path / "clip.mp4", Clip(frames=200, width=640, height=480))
    numbers, source = interrupted(path, number, Decoders("auto", failed=failed.append))
    assert numbers == list(range(200))
    assert (source.decoder, source.damaged, source.repaired, failed) == ("software", 0, 0, ["nvv4l2"])
    assert "GStreamer" in source.given_up
    assert children() == []


@needs_gstreamer
@pytest.mark.usefixtures("hardware")
@pytest.mark.parametrize("dies_after", [0, 5, 15, 40])
def test_damage_is_counted_once_though_the_pipeline_dies(tmp_path: Path, dies_after: int) -> None:
    """Before, at and behind the damaged pictures: the account is that of software decoding."""
    path = damaged_clip(tmp_path / "clip.mp4")
    _, expected, software = decoded(path)
    source = VideoSource(path, max_pixels=PIXELS, decoders=Decoders("auto"))
    source.open()
    frames: list[Frame] = []
    while not source.at_end():
        if len(frames) == dies_after:
            for child in children():
                child.kill()
        with suppress(FrameError):
            frames += filter(None, [source.read()])
    source.close()
    assert len(frames) + source.damaged == 60
    assert [frame.pts for frame in frames[-25:]] == [frame.pts for frame in expected[-25:]]
    assert [number_of(frame.y) for frame in frames[-25:]] == list(range(35, 60))
    assert [frame.index for frame in frames] == list(range(len(frames)))
    if dies_after == 0 and source.given_up:
        assert source.damaged == software.damaged


def glued(tmp_path: Path) -> Path:
    """Write two recordings of different sizes into one file."""
    small = make_clip(tmp_path / "a.ts", Clip(frames=6, width=160, height=96)).read_bytes()
    large = make_clip(tmp_path / "b.ts", Clip(frames=6, width=320, height=192, first_number=6)).read_bytes()
    both = tmp_path / "both.ts"
    both.write_bytes(small + large)
    return both


@needs_gstreamer
@pytest.mark.usefixtures("hardware")
def test_resolution_change_in_mid_stream_is_followed(tmp_path: Path) -> None:
    """Every frame carries its own size."""
    _, frames, source = decoded(glued(tmp_path), Decoders("auto"))
    assert [(frame.width, frame.height) for frame in frames] == [(160, 96)] * 6 + [(320, 192)] * 6
    assert [number_of(frame.y) for frame in frames] == list(range(12))
    assert source.decoder == "nvv4l2"


@needs_gstreamer
@pytest.mark.parametrize("most", [160 * 96, 320 * 192])
def test_times_that_jump_back_are_no_trouble_for_the_fall_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Glued recordings, the second too large for the decoder, or its pipeline killed there: every frame once."""

    def bounded(stream: VideoStream, looks: Looks) -> GstDecoder:
        stream.codec_context.options = {"max_pixels": str(most)}
        return stand_in(stream, looks)

    monkeypatch.setattr(decoders, "best", lambda: "nvv4l2")
    monkeypatch.setitem(decoders.MAKERS, "nvv4l2", bounded)
    numbers, source = interrupted(glued(tmp_path), signal.SIGKILL, Decoders("auto"))
    assert numbers == list(range(12))
    assert source.damaged == 0
    assert ("MAX_FRAME_PIXELS" in source.given_up) == (most == 160 * 96)


@needs_gstreamer
@pytest.mark.usefixtures("hardware")
def test_named_decoder_that_dies_is_an_error(tmp_path: Path) -> None:
    """Never a silent fall-back."""
    path = make_clip(tmp_path / "clip.mp4", Clip(frames=200, width=640, height=480))
    with pytest.raises(DecoderError, match=r"DECODER=nvv4l2: GStreamer .*: set DECODER=auto"):
        interrupted(path, signal.SIGKILL, Decoders("nvv4l2"))
    assert children() == []


@needs_gstreamer
def test_pipeline_that_never_answers_is_given_up_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An element that sleeps instead of decoding."""
    monkeypatch.setattr(decoders, "best", lambda: "nvv4l2")
    asleep = partial(stand_in, before="identity sleep-time=600000000 !", patience=0.5)
    monkeypatch.setitem(decoders.MAKERS, "nvv4l2", asleep)
    found = Decoders("auto")
    path = make_clip(tmp_path / "clip.mp4")
    sources = [decoded(path, found) for _ in range(4)]
    assert [len(frames) for _, frames, _ in sources] == [12] * 4
    reasons = [source.given_up for _, _, source in sources]
    assert reasons[:3] == ["GStreamer gave no answer for 0.5 s and was ended"] * 3
    assert not reasons[3]  # it is not tried any more
    assert children() == []


def test_machine_without_gstreamer_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of the packages."""
    monkeypatch.setattr(gstreamer, "LAUNCH", "no-such-gst-launch")
    with pytest.raises(DecoderError, match=r"gstreamer1.0-tools"):
        decoders.attempt(stand_in)


@needs_gstreamer
def test_trial_decodes_real_pictures() -> None:
    """What works says nothing, what does not says why."""
    assert not decoders.attempt(stand_in)
    assert "nvv4l2decoder" in decoders.trial("nvv4l2")


def test_named_decoder_that_is_not_there_is_refused() -> None:
    """By the real PyAV and the real GStreamer, if any, on a machine without such hardware."""
    for name in ("nvdec", "nvv4l2"):
        if decoders.is_present(name):
            continue
        with pytest.raises(ConfigError, match=rf"DECODER={name} does not work here \(.+\): set DECODER=auto"):
            Decoders(name).check()
    Decoders("auto").check()


def test_hardware_that_cannot_be_opened_is_left_for_software(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NVDEC of the real PyAV without a card: the video is decoded all the same, or refused where NVDEC was named."""
    if decoders.is_present("nvdec"):
        pytest.skip("this machine has a card")
    monkeypatch.setattr(decoders, "best", lambda: "nvdec")
    path = make_clip(tmp_path / "clip.mp4")
    _, frames, source = decoded(path, Decoders("auto"))
    assert (len(frames), source.decoder) == (12, "software")
    with pytest.raises(DecoderError, match="NVDEC cannot be opened"):
        decoded(path, Decoders("nvdec"))


@pytest.mark.parametrize(
    ("clip", "words"),
    [
        (Clip(codec="libx265", pix_fmt="yuv420p10le"), "8-bit 4:2:0"),
        (Clip(codec="mpeg4"), "does not decode mpeg4"),
    ],
)
@pytest.mark.usefixtures("hardware")
def test_video_that_is_not_for_the_hardware_is_decoded_in_software(tmp_path: Path, clip: Clip, words: str) -> None:
    """Or refused, where the hardware was named."""
    path = make_clip(tmp_path / "clip.mkv", clip)
    _, frames, source = decoded(path, Decoders("auto"))
    assert (len(frames), source.decoder) == (12, "software")
    with pytest.raises(InputError, match=words):
        decoded(path, Decoders("nvv4l2"))
