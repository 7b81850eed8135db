"""Which decoder a video gets: hardware where it is there and works, software else; a named one or none."""

from __future__ import annotations

import io
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import av
from av.error import FFmpegError

from tilewatch.errors import ConfigError, DecoderError, InputError, TilewatchError
from tilewatch.telemetry import log
from tilewatch.video.apart import trial_refusal
from tilewatch.video.decoder import ANNEX_B, GstDecoder, Looks, NvdecDecoder
from tilewatch.video.planes import PLANAR, Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.video.stream import VideoStream

    from tilewatch.video.decoder import Decoder

Choice: TypeAlias = Literal["auto", "software", "nvdec", "nvv4l2"]

DEVICES = {"nvdec": ("nvidia[0-9]*",), "nvv4l2": ("nvhost-nvdec*", "v4l2-nvdec*")}
"""Hardware decoders, the best one first, and the files in /dev of which each needs one."""
DEV = Path("/dev")
MAKERS: dict[str, Callable[[VideoStream, Looks], Decoder]] = {"nvdec": NvdecDecoder, "nvv4l2": GstDecoder}
CODECS = {"nvdec": frozenset({"h264", "hevc", "vp9"}), "nvv4l2": frozenset(ANNEX_B)}
MOST_FAILURES = 3
"""Of a hardware decoder, until `auto` leaves it alone."""
TRIAL_SECONDS = 30.0
TRIAL_FRAMES = 4

logger = log.logger("decoders")


class Decoders:
    """Hands out decoders for the videos of one process; probes the hardware before it is used first. Blocking.

    Args:
        choice: the setting DECODER.
        told: is given the name of every decoder that is taken.
        failed: is given the name of every hardware decoder that fails in a video.
    """

    def __init__(
        self,
        choice: Choice = "software",
        *,
        told: Callable[[str], None] = lambda _: None,
        failed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.in_use: str | None = None
        """What the video opened last is decoded by."""
        self._choice = choice
        self._told = told
        self._failed = failed
        self._failures = 0
        self._said: set[tuple[str, str, str]] = set()

    def check(self) -> None:
        """Refuse a decoder that is asked for by name and does not work here.

        Raises:
            ConfigError: says why, and what to do.
        """
        if self._choice in DEVICES and (refusal := trial(self._choice)):
            raise ConfigError(f"DECODER={self._choice} does not work here ({refusal}): set DECODER=auto")

    def hardware(self, stream: VideoStream, first: av.VideoFrame, turn: Turn, *, live: bool = False) -> Decoder | None:
        """Return a hardware decoder for a stream whose first picture is known; None: it is decoded in software.

        Args:
            stream: open, of a file or a camera.
            first: its first picture.
            turn: how that is set upright.
            live: it is a camera's, whose first pictures may have no time.

        Raises:
            InputError: the decoder that is asked for by name cannot decode it.
            DecoderError: the decoder that is asked for by name cannot be opened.
        """
        cause = "" if live or first.pts is not None else "its container has no presentation times"
        decoder, cause = (None, cause) if cause else self._find(stream, first, turn)
        if decoder is None and self._forced:
            raise InputError(f"DECODER={self._choice}: it is not for this video ({cause}): set DECODER=auto")
        name = decoder.name if decoder else "software"
        self._use(name)
        self._say(name, stream.codec_context.name, cause)
        return decoder

    def give_up(self, name: str, error: DecoderError) -> None:
        """Take note that a hardware decoder has failed in the midst of a video.

        Raises:
            DecoderError: it is the one that is asked for by name; says what to do.
        """
        self._failures += 1
        self._failed(name)
        if self._forced:
            raise DecoderError(f"DECODER={self._choice}: {error}: set DECODER=auto to go on in software") from None
        logger.warning("decoder_failed", decoder=name, error=str(error), times=self._failures, instead="software")
        self._use("software")

    def _use(self, name: str) -> None:
        self.in_use = name
        self._told(name)

    def _say(self, name: str, codec: str, cause: str) -> None:
        """Log what is taken and why, every case once."""
        if self._choice != "software" and (name, codec, cause) not in self._said:
            self._said.add((name, codec, cause))
            logger.info("decoder_taken", decoder=name, codec=codec, cause=cause)

    @property
    def _forced(self) -> bool:
        return self._choice in DEVICES

    def _find(self, stream: VideoStream, first: av.VideoFrame, turn: Turn) -> tuple[Decoder | None, str]:
        """Return a hardware decoder, or why there is none."""
        name, cause = self._candidate()
        cause = cause or _unfit(name, stream, first)
        if cause:
            return None, cause
        try:
            return MAKERS[name](stream, Looks.of(first, turn)), ""
        except DecoderError as error:
            self.give_up(name, error)
            return None, str(error)

    def _candidate(self) -> tuple[str, str]:
        """Return the hardware decoder to take, or why there is none."""
        if self._choice == "software":
            return "", "DECODER=software"
        if self._forced:
            return self._choice, ""
        if self._failures >= MOST_FAILURES:
            return "", f"the hardware decoder has failed {self._failures} times"
        name = best()
        return name, "" if name else why_none()


@cache
def best() -> str:
    """Return the best hardware decoder that works here, '' if none does; found out once per process."""
    return next((name for name in DEVICES if is_present(name) and not trial(name)), "")


def why_none() -> str:
    """Return why no hardware decoder works here."""
    refusals = [f"{name}: {trial(name)}" for name in DEVICES if is_present(name)]
    return "; ".join(refusals) or "this machine has no hardware decoder"


def is_present(name: str) -> bool:
    """Tell whether the machine shows the device of a hardware decoder."""
    return any(True for pattern in DEVICES[name] for _ in DEV.glob(pattern))


@cache
def trial(name: str) -> str:
    """Decode a few pictures in a process of its own, killed when it takes too long; return why not, '' if it works."""
    return trial_refusal("tilewatch.video.decoders", name, TRIAL_SECONDS)


def attempt(make: Callable[[VideoStream, Looks], Decoder]) -> str:
    """Decode a few generated pictures here and return why that failed, '' when it did not."""
    with av.open(io.BytesIO(_sample()), format="matroska") as container:
        stream = container.streams.video[0]
        looks = Looks(full_range=False, colorspace=2, turn=Turn())
        decoder = make(stream, looks)
        try:
            count = sum(len(decoder.decode(packet)) for packet in container.demux(stream) if packet.size)
            count += len(decoder.decode(None))
        except EOFError:
            return "it ended early"
        finally:
            decoder.close()
    return "" if count == TRIAL_FRAMES else f"it gave {count} of {TRIAL_FRAMES} pictures"


def _unfit(name: str, stream: VideoStream, first: av.VideoFrame) -> str:
    """Return why a decoder is not for a stream, '' when it is."""
    codec = stream.codec_context.name
    if codec not in CODECS[name]:
        return f"{name} does not decode {codec}"
    if first.format.name not in PLANAR:
        return f"{name} is used for 8-bit 4:2:0 only, this is {first.format.name}"
    return ""


def _sample() -> bytes:
    """Return a few grey pictures in H.264."""
    target = io.BytesIO()
    with av.open(target, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = 640, 384, "yuv420p"
        for _ in range(TRIAL_FRAMES):
            container.mux(stream.encode(av.VideoFrame(640, 384, "yuv420p")))
        container.mux(stream.encode(None))
    return target.getvalue()


def main(name: str) -> int:
    """Say why a decoder does not work; the exit status is 1 then."""
    try:
        refusal = attempt(MAKERS[name])
    except (TilewatchError, FFmpegError) as error:
        refusal = str(error)
    sys.stdout.write(refusal)
    return 1 if refusal else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
