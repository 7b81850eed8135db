"""Reads a video file frame by frame: timestamps, rotation and colours kept, damage counted instead of fatal."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING

import av
from av.error import FFmpegError
from av.stream import Disposition

from tilewatch.errors import DecoderError, FrameError, InputError
from tilewatch.records import Frame, StreamInfo
from tilewatch.video.decoder import SoftwareDecoder
from tilewatch.video.decoders import Decoders
from tilewatch.video.opening import open_video, packets_of
from tilewatch.video.planes import Turn, frame_of, picture_of, turn_of
from tilewatch.video.promise import Promise
from tilewatch.video.timestamps import Timestamps, longest_gap

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from av.container import InputContainer
    from av.video.stream import VideoStream

    from tilewatch.video.decoder import Decoder, Item

DEFAULT_RATE = Fraction(25)
HIGHEST_RATE = 10_000
LONGEST_TICK = 86_400
"""Seconds; beyond these bounds a header is damaged, and no file could be written with its times."""
SLICE_THREADS_ONLY = frozenset({"hevc"})
"""Decoders whose frame threads wait for each other for ever when a reference picture is damaged (FFmpeg 8.1)."""
DECODER_THREADS = 2
"""Enough to keep ahead of inference; every further thread holds one more picture."""
MOST_ERRORS_AT_END = 64
"""A decoder holds fewer pictures than that (threads and reordering): one that goes on failing has nothing more."""


class _Place:
    """Where in a file a picture is: its time, and how often times have jumped back before it (glued recordings)."""

    def __init__(self) -> None:
        self._jumps = 0
        self._time: int | None = None

    def move_to(self, frame: av.VideoFrame) -> tuple[int, int]:
        """Return the place of the next picture; places grow."""
        time = _time_of(frame) or 0
        self._jumps += self._time is not None and time < self._time
        self._time = time
        return self._jumps, time


class VideoSource:
    """One video file, decoded in presentation order. Blocking; not thread-safe.

    Args:
        path: a local file.
        max_pixels: largest picture that is decoded; enforced inside the decoder too, before it takes memory.
        threads: of the software decoder.
        decoders: hands out a hardware decoder, where there is one; None: software.
    """

    _clock: Timestamps
    _packets: Iterator[av.Packet[VideoStream]]
    _decoder: Decoder | None

    def __init__(
        self, path: Path, *, max_pixels: int, threads: int = DECODER_THREADS, decoders: Decoders | None = None
    ) -> None:
        self.path = path
        self.decoded = 0
        """Frames given out."""
        self.damaged = 0
        """Frames that could not be decoded, or only in parts."""
        self.reason = ""
        """Why `truncated` is set, one line."""
        self.given_up = ""
        """Why the hardware decoder was left in the midst of the file, one line; '' if it was not."""
        self._max_pixels = max_pixels
        self._threads = threads
        self._decoders = decoders or Decoders()
        self._decoder = None
        self._scouted: list[av.Packet[VideoStream]] = []
        self._given, self._again = _Place(), _Place()
        self._reached: tuple[int, int] | None = None
        self._behind: tuple[int, int] | None = None
        self._held: list[FrameError] = []
        self._damaged_since = 0
        self._container: InputContainer | None = None
        self._ready: deque[av.VideoFrame | FrameError] = deque()
        self._ended = False
        self._packets_fed = 0
        self._turns: dict[int, Turn] = {}
        self._errors_at_end = 0

    @property
    def name(self) -> str:
        """What to call it in errors."""
        return str(self.path)

    @property
    def decoder(self) -> str:
        """Name of the decoder in use."""
        return self._decoder.name if self._decoder else ""

    @property
    def truncated(self) -> bool:
        """Whether the file ended before what its index promises; known once `read` has returned None."""
        return bool(self.reason)

    @property
    def repaired(self) -> int:
        """Frames whose timestamp was missing, repeated or running backwards."""
        return self._clock.repaired

    def open(self) -> StreamInfo:
        """Open the file and decode its first frame, which `read` will return.

        Raises:
            InputError: the file cannot be opened, has no video, too large a picture, no decodable frame, or is not for
                the decoder that is asked for.
            DecoderError: the decoder that is asked for fails.
        """
        try:
            container = self._open_container()
            first = self._first_frame()
            info = self._describe(container, first)
            self._take_hardware(first)
        except (InputError, DecoderError):
            self.close()
            raise
        return info

    def read(self) -> Frame | None:
        """Return the next frame, or None at the end of the file.

        Raises:
            FrameError: a frame is damaged; the next call goes on behind it.
        """
        if self.at_end():
            return None
        item = self._ready.popleft()
        if isinstance(item, FrameError):
            self.damaged += 1
            self._damaged_since += 1
            raise item
        return self._frame(item)

    def at_end(self) -> bool:
        """Return whether `read` has nothing more to give."""
        if self._fill():
            return False
        self._count_lost()
        return True

    def close(self) -> None:
        """Let go of the file. Idempotent; frames given out stay valid."""
        self._ended = True
        self._ready.clear()
        if self._decoder is not None:
            self._decoder.close()
        if self._container is not None:
            self._container.close()
            self._container = None

    def _open_container(self) -> InputContainer:
        """Open the file, from its beginning, with the software decoder."""
        self._container = container = open_video(self.path, max_pixels=self._max_pixels)
        self._stream = self._find_stream(container)
        self._prepare(self._stream)
        self._decoder = SoftwareDecoder(self._stream.codec_context)
        self._rewind()
        return container

    def _rewind(self) -> None:
        """Forget what was decoded but not given out: the stream's packets come anew."""
        self._ready.clear()
        self._packets_fed = self._errors_at_end = 0
        self._ended = False

    def _take_hardware(self, first: av.VideoFrame) -> None:
        """Go on with a hardware decoder, if there is one for this stream: it decodes the first packets again."""
        decoder = self._decoders.hardware(self._stream, first, self._turn(first))
        if decoder is not None:
            self._decoder = decoder
            self._rewind()
            self._packets = chain(self._scouted, self._packets)
        self._scouted = []

    def _fall_back(self, error: DecoderError) -> None:
        """Go on in software behind the last picture that was given out.

        Raises:
            DecoderError: the hardware decoder was asked for by name.
        """
        assert self._decoder is not None
        assert self._container is not None
        self._decoder.close()
        self._decoders.give_up(self._decoder.name, error)
        self.given_up = str(error)
        self._container.close()
        clock = self._clock
        self._open_container()
        self._clock, self._behind = clock, self._reached
        self.damaged -= self._damaged_since  # software tells anew what is damaged behind it
        self._damaged_since = 0

    def _count_lost(self) -> None:
        """Count the pictures that were lost without an error of their own, as those that build on a damaged one."""
        if self.damaged or self._promise.by_packets:
            self.damaged = max(self.damaged, self._packets_fed - self.decoded)

    def _find_stream(self, container: InputContainer) -> VideoStream:
        """Return the main video stream, as players choose it; cover pictures are none."""
        best = container.streams.best("video")
        videos = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
        if not videos:
            raise InputError(f"{self.path} has no video stream: nothing to watch in it")
        stream = next((stream for stream in videos if best is not None and stream.index == best.index), videos[0])
        if stream.codec_context is None:
            raise InputError(f"{self.path}: no decoder for its video codec: convert it to H.264")
        return stream

    def _prepare(self, stream: VideoStream) -> None:
        """Check the picture's size and set up decoding."""
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > self._max_pixels:
            raise InputError(
                f"{self.path}: its pictures of {width}x{height} are larger than MAX_FRAME_PIXELS={self._max_pixels}: "
                "raise the setting or scale the video down"
            )
        stream.codec_context.options = {"max_pixels": str(self._max_pixels)}
        stream.thread_type = "SLICE" if stream.codec_context.name in SLICE_THREADS_ONLY else "AUTO"
        stream.thread_count = self._threads
        self._open_decoder(stream)
        self._set_clock(stream)
        self._promise = Promise(stream, self._rate)
        self._packets = self._demux(stream)

    def _set_clock(self, stream: VideoStream) -> None:
        """Take time base and rate from the headers, as far as they can be meant."""
        self._time_base = stream.time_base or Fraction(1, 90000)
        if self._time_base > LONGEST_TICK:
            raise InputError(
                f"{self.path}: its header is damaged (a frame would last {self._time_base} s): copy it again"
            )
        most_ahead = longest_gap(self._time_base)
        lowest = 1 / (most_ahead * self._time_base)
        rates = (stream.average_rate, stream.guessed_rate, stream.base_rate)
        self._rate = next((rate for rate in rates if rate and lowest <= rate <= HIGHEST_RATE), DEFAULT_RATE)
        self._clock = Timestamps(
            ticks_per_frame=round(1 / (self._rate * self._time_base)),
            ticks_per_second=round(1 / self._time_base),
            most_ahead=most_ahead,
        )

    def _open_decoder(self, stream: VideoStream) -> None:
        """Open the decoder now: one that refuses the stream's headers would fail anew at every packet."""
        try:
            stream.codec_context.open()
        except FFmpegError as error:
            raise InputError(
                f"{self.path}: the headers of its {stream.codec_context.name} video are damaged ({error.strerror}): "
                "copy it again or convert it"
            ) from None

    def _first_frame(self) -> av.VideoFrame:
        """Decode until there is a frame, and leave it in the queue."""
        while not (self._ready and isinstance(self._ready[-1], av.VideoFrame)):
            if not self._advance(scouting=True):
                break
        for item in self._ready:
            if isinstance(item, av.VideoFrame):
                return item
        raise InputError(
            f"{self.path} holds no frame that can be decoded ({self._why_none()}): convert it or copy it again"
        )

    def _why_none(self) -> str:
        return str(self._ready[0]) if self._ready else self.reason or "its video stream is empty"

    def _describe(self, container: InputContainer, first: av.VideoFrame) -> StreamInfo:
        turn = self._turn(first)
        sides = (first.height, first.width) if turn.transpose else (first.width, first.height)
        audio = next((stream for stream in container.streams.audio), None)
        return StreamInfo(
            stream=self.path.stem,
            path=self.path,
            container=container.format.name,
            codec=self._stream.codec_context.name,
            pixel_format=first.format.name,
            width=sides[0],
            height=sides[1],
            rotation=turn.degrees,
            time_base=self._time_base,
            average_rate=self._rate,
            start_pts=_time_of(first) or 0,
            frame_count=self._promise.frames,
            duration_seconds=self._promise.seconds,
            audio_codec=audio.codec_context.name if audio is not None and audio.codec_context is not None else None,
        )

    def _fill(self) -> bool:
        """Decode until something is ready; False at the end."""
        while not self._ready:
            if not self._advance():
                return False
        return True

    def _advance(self, *, scouting: bool = False) -> bool:
        """Feed the decoder one packet, or drain it; False when there is nothing more."""
        if self._ended:
            return False
        assert self._decoder is not None
        packet = next(self._packets, None)
        if scouting and packet is not None:
            self._scouted.append(packet)
        self._packets_fed += packet is not None and not packet.is_discard
        items: Sequence[Item] = []
        try:
            items = self._decoder.decode(packet)
        except EOFError:
            self._ended = True
        except DecoderError as error:
            self._fall_back(error)
            return True
        except FFmpegError as error:
            damage = FrameError(f"{self._where(packet)} is damaged ({error.strerror})")
            self._ready.extend(self._sound_or_error(item) for item in self._not_yet_given([damage]))
            self._errors_at_end += packet is None
            self._ended = self._errors_at_end >= MOST_ERRORS_AT_END
            return True
        self._ready.extend(self._sound_or_error(item) for item in self._not_yet_given(items))
        self._ended = self._ended or (packet is None and not items)
        if self._ended:
            self._ready.extend(self._release())
            self.reason = self.reason or self._promise.broken(self._stream)
        return True

    def _demux(self, stream: VideoStream) -> Iterator[av.Packet[VideoStream]]:
        """Yield the stream's packets; an error of the container is the end, and remembered."""
        assert self._container is not None
        try:
            for packet in packets_of(self._container, stream):
                self._promise.take(packet)
                yield packet
        except FFmpegError as error:
            self.reason = f"the container is damaged or cut short ({error.strerror})"

    def _where(self, packet: av.Packet[VideoStream] | None) -> str:
        if packet is None or packet.pts is None:
            return f"the picture after frame {self.decoded}"
        return f"the picture at {float(packet.pts * self._time_base):.3f} s"

    def _not_yet_given(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the pictures behind the one that a hardware decoder gave last, and the damage among them."""
        for item in items:
            if self._behind is None:
                yield item
            elif isinstance(item, FrameError):
                self._held.append(item)
            elif self._again.move_to(item) <= self._behind:
                self._held.clear()
            else:
                self._behind = None
                yield from self._release()
                yield item

    def _release(self) -> list[FrameError]:
        """Return the damage that was held back until it was known where it belongs."""
        held, self._held = self._held, []
        return held

    def _sound_or_error(self, item: Item) -> Item:
        if isinstance(item, FrameError):
            return FrameError(f"{self.path.name}: {item}")
        if not item.is_corrupt:
            return item
        return FrameError(f"{self.path.name}: the picture at pts {_time_of(item)} is damaged")

    def _turn(self, raw: av.VideoFrame) -> Turn:
        """Return how to turn a picture upright.

        The matrix is read once for each rotation: asking a frame for its side data ties it into a cycle with it, which
        would keep the picture's memory until the garbage collector comes by.
        """
        if self._decoder is not None and self._decoder.turn is not None:
            return self._decoder.turn
        if raw.rotation not in self._turns:
            self._turns[raw.rotation] = turn_of(raw)
        return self._turns[raw.rotation]

    def _frame(self, raw: av.VideoFrame) -> Frame:
        try:
            picture = picture_of(raw, self._turn(raw))
        except FFmpegError as error:
            self.damaged += 1
            raise FrameError(
                f"{self.path.name}: pixel format {raw.format.name} is unusable ({error.strerror})"
            ) from None
        self._reached, self._damaged_since = self._given.move_to(raw), 0
        index, self.decoded = self.decoded, self.decoded + 1
        return frame_of(
            picture,
            stream=self.path.stem,
            index=index,
            pts=self._clock.next(_time_of(raw)),
            time_base=self._time_base,
        )


def _time_of(frame: av.VideoFrame) -> int | None:
    """Return a frame's presentation time; where there is none (AVI) the decoding time, which is the same there."""
    return frame.dts if frame.pts is None else frame.pts
