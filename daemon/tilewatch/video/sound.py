"""The source's sound on its way into the output, packet by packet: copied where MP4 can hold it, else as AAC."""

from __future__ import annotations

import io
from collections import deque
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

import av
from av.error import FFmpegError
from av.filter import Graph
from av.stream import Discard

from tilewatch.video.opening import packets_of
from tilewatch.video.timestamps import Timestamps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

PASSED = frozenset({"aac", "mp3", "mp3float", "ac3", "eac3", "opus", "libopus", "flac", "alac"})
"""Decoders of the codecs that MP4 holds and players play."""
HEADLESS = frozenset({"ac3", "eac3"})
"""Those whose entry in the index is made from the packets alone."""
AAC_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000})
AAC_LAYOUTS = frozenset({"mono", "stereo", "5.1"})
AAC_FRAME = 1024
AAC_BITS_PER_CHANNEL = 64_000
DEFAULT_RATE = 48_000


class Carrier(Protocol):
    """Makes packets of the output out of packets of the source."""

    damaged: int
    """Packets that could not be decoded."""

    def carry(self, packet: Packet[AudioStream] | None) -> list[Packet[AudioStream]]:
        """Return what a packet becomes; None: the source has ended."""


class Sound:
    """The first audio stream of a source, read no further than the pictures are. Blocking.

    Args:
        source: opened for this alone: its other streams are not read.
        output: where the audio stream is added; its header is not written yet.
        origin: time of the source that is 0 in the output, seconds.

    Raises:
        FFmpegError: the stream cannot be carried.
        ValueError: as above, in PyAV's words.
    """

    def __init__(self, source: InputContainer, output: OutputContainer, *, origin: Fraction) -> None:
        stream = source.streams.audio[0]
        if not getattr(stream.codec_context, "sample_rate", 0):  # without a decoder there is no context
            raise ValueError("its codec is unknown")
        for other in source.streams:
            other.discard = Discard.default if other.index == stream.index else Discard.all
        copied = stream.codec_context.name in PASSED
        if copied and stream.codec_context.name not in HEADLESS:
            _check_headers(stream)
        self._carrier: Carrier = Copied(stream, output, origin) if copied else Transcoded(stream, output, origin)
        self._packets = packets_of(source, stream)
        tick = stream.time_base or Fraction(1, DEFAULT_RATE)
        self._clock = Timestamps(
            ticks_per_frame=round(AAC_FRAME / (stream.codec_context.sample_rate * tick)),
            ticks_per_second=round(1 / tick),
        )
        self._ready: deque[Packet[AudioStream]] = deque()
        self._ended = False

    @property
    def damaged(self) -> int:
        """Packets that could not be decoded."""
        return self._carrier.damaged

    def until(self, limit: Fraction | None) -> Iterator[Packet[AudioStream]]:
        """Yield the packets that start before a time of the output, seconds; None: all that are left.

        Raises:
            FFmpegError: the sound is broken from here on.
        """
        while self._fill() and (limit is None or _start(self._ready[0]) < limit):
            yield self._ready.popleft()

    def _fill(self) -> bool:
        """Read until a packet is ready; False at the end."""
        while not self._ready and not self._ended:
            packet = next(self._packets, None)
            self._ended = packet is None
            if packet is not None:
                packet.pts = packet.dts = self._clock.next(packet.dts if packet.pts is None else packet.pts)
            self._ready.extend(self._carrier.carry(packet))
        return bool(self._ready)


class Copied:
    """Carries the packets as they are, in the output's time."""

    def __init__(self, stream: AudioStream, output: OutputContainer, origin: Fraction) -> None:
        self.damaged = 0
        self._stream = output.add_stream_from_template(stream)
        self._stream.metadata.update(_language(stream))
        self._shift = round(origin / (stream.time_base or Fraction(1, DEFAULT_RATE)))

    def carry(self, packet: Packet[AudioStream] | None) -> list[Packet[AudioStream]]:
        """Return the packet itself."""
        if packet is None:
            return []
        packet.pts = packet.dts = (packet.pts or 0) - self._shift
        packet.stream = self._stream
        return [packet]


class Transcoded:
    """Carries the sound as AAC; gaps are filled with silence, so that it stays with the pictures."""

    def __init__(self, stream: AudioStream, output: OutputContainer, origin: Fraction) -> None:
        self.damaged = 0
        self._input = stream
        context = stream.codec_context
        self._rate = context.sample_rate if context.sample_rate in AAC_RATES else DEFAULT_RATE
        self._layout = _aac_layout(context.layout.name, context.layout.nb_channels)
        self._stream = output.add_stream("aac", rate=self._rate)
        self._stream.metadata.update(_language(stream))
        self._stream.codec_context.layout = self._layout
        self._stream.bit_rate = AAC_BITS_PER_CHANNEL * self._stream.codec_context.layout.nb_channels
        self._shift = round(origin * self._rate)
        self._graph: Graph | None = None

    def carry(self, packet: Packet[AudioStream] | None) -> list[Packet[AudioStream]]:
        """Decode, convert, encode."""
        encoded = [done for frame in self._decode(packet) for done in self._convert(frame)]
        return [*encoded, *self._flush()] if packet is None else encoded

    def _decode(self, packet: Packet[AudioStream] | None) -> list[AudioFrame]:
        try:
            return self._input.codec_context.decode(packet)
        except FFmpegError:
            self.damaged += 1
            return []

    def _convert(self, frame: AudioFrame) -> list[Packet[AudioStream]]:
        self._graph = self._graph or self._resampler(frame)
        self._graph.push(frame)
        return [packet for piece in _drained(self._graph) for packet in self._encode(piece)]

    def _flush(self) -> list[Packet[AudioStream]]:
        if self._graph is None:
            return []
        self._graph.push(None)
        pieces = [*_drained(self._graph), None]
        return [packet for piece in pieces for packet in self._encode(piece)]

    def _encode(self, piece: AudioFrame | None) -> list[Packet[AudioStream]]:
        if piece is not None and piece.pts is not None:
            piece.pts -= self._shift
        return self._stream.encode(piece)

    def _resampler(self, first: AudioFrame) -> Graph:
        """Return a graph that turns frames like the first into what the encoder takes."""
        graph = Graph()
        graph.link_nodes(
            graph.add_abuffer(
                sample_rate=first.sample_rate,
                format=first.format.name,
                layout=first.layout.name,
                time_base=first.time_base,
            ),
            graph.add("aresample", "async=1"),
            graph.add("aformat", f"sample_fmts=fltp:sample_rates={self._rate}:channel_layouts={self._layout}"),
            graph.add("abuffersink"),
        ).configure()
        graph.set_audio_frame_size(AAC_FRAME)
        return graph


def _check_headers(stream: AudioStream) -> None:
    """Write the index of a file with this sound alone: damaged headers would otherwise cost the real one at its end.

    Raises:
        FFmpegError: the muxer cannot make an entry of them.
    """
    with av.open(io.BytesIO(), "w", format="mp4", container_options={"movflags": "+empty_moov"}) as trial:
        trial.add_stream_from_template(stream)
        trial.start_encoding()


def _drained(graph: Graph) -> Iterator[AudioFrame]:
    """Yield what the graph has ready."""
    while True:
        try:
            piece = graph.pull()
        except (BlockingIOError, EOFError):
            return
        assert isinstance(piece, av.AudioFrame)
        yield piece


def _aac_layout(name: str, channels: int) -> str:
    if name in AAC_LAYOUTS:
        return name
    return "mono" if channels == 1 else "stereo"


def _language(stream: AudioStream) -> dict[str, str]:
    return {"language": stream.language} if stream.language else {}


def _start(packet: Packet[AudioStream]) -> Fraction:
    return (packet.pts or 0) * packet.time_base
