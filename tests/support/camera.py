"""A camera on RTSP whose faults are methods: H.264 in RTP, interleaved into the one TCP connection (RFC 2326, 6184)."""

from __future__ import annotations

import asyncio
import base64
import re
import socket
import struct
import threading
from contextlib import suppress
from fractions import Fraction
from typing import TYPE_CHECKING

import av

from tests.support.clips import luma_of

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from types import TracebackType
    from typing import Any

    from typing_extensions import Self

WIDTH, HEIGHT, RATE = 160, 96, 20
LOOP_FRAMES = 200
CLOCK = 90_000
START_CODE = re.compile(rb"\x00\x00\x00?\x01")
SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    "a=fmtp:96 packetization-mode=1\r\na=control:track\r\n"
)
VERBS = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"


class FaultyCamera:
    """Serves moving pictures at rtsp://user:PASSWORD@127.0.0.1:PORT/live until the block ends."""

    def __init__(self, *, width: int = WIDTH, height: int = HEIGHT, rate: int = RATE) -> None:
        self.password = "hush-hush"  # noqa: S105 a pretended one
        """That it asks for; change it to refuse everybody."""
        self.connections = 0
        """Clients that were sent pictures so far."""
        self._units = _encoded(width, height, rate)
        self._rate = rate
        self._playing: set[asyncio.StreamWriter] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._stalled = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._hole: list[socket.socket] = []
        self.port = 0

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        self._do(self._listen())
        self._pusher = asyncio.run_coroutine_threadsafe(self._push(), self._loop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        self.refuse()
        self._fill_hole()
        self._pusher.cancel()
        self._do(asyncio.sleep(0.01))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def address(self, password: str = "") -> str:
        """Return its address with a password, the right one unless given."""
        return f"rtsp://user:{password or self.password}@127.0.0.1:{self.port}/live"

    def drop(self) -> None:
        """Close every connection."""
        self._do(self._drop())

    def stall(self) -> None:
        """Send nothing more, over connections that stay open."""
        self._stalled = True

    def resume(self) -> None:
        """Send again."""
        self._stalled = False

    def refuse(self) -> None:
        """Close every connection, and take none any more."""
        self._do(self._refuse())

    def vanish(self) -> None:
        """Be gone from the network: whoever connects is not even refused."""
        self._do(self._refuse())
        hole = socket.socket()
        hole.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        hole.bind(("127.0.0.1", self.port))
        hole.listen(0)
        self._hole = [hole]
        for _ in range(4):  # nobody accepts: when the backlog is full, the system lets further calls ring
            caller = socket.socket()
            caller.setblocking(False)  # noqa: FBT003 its only argument
            caller.connect_ex(("127.0.0.1", self.port))
            self._hole.append(caller)

    def come_back(self) -> None:
        """Take connections again, at the old address."""
        self._fill_hole()
        self._do(self._listen())

    def _fill_hole(self) -> None:
        for one in self._hole:
            one.close()
        self._hole = []

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _drop(self) -> None:
        for client in list(self._clients):
            client.transport.abort()

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._drop()

    async def _push(self) -> None:
        """Send one picture after the other to everybody who plays."""
        number = sequence = 0
        while True:
            await asyncio.sleep(1 / self._rate)
            if self._stalled:
                continue
            units = self._units[number % LOOP_FRAMES]
            packets = b"".join(_packets(units, sequence, number * CLOCK // self._rate))
            for client in self._playing:
                client.write(packets)
            number, sequence = number + 1, sequence + len(units)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while request := await _request(reader):
                writer.write(self._answer(request, writer))
        self._clients.discard(writer)
        self._playing.discard(writer)
        writer.close()

    def _answer(self, request: str, writer: asyncio.StreamWriter) -> bytes:
        verb, count = request.split(" ", 1)[0], re.search(r"CSeq: (\d+)", request)
        head = f"CSeq: {count[1] if count else 0}\r\nSession: 1\r\n"
        login = base64.b64encode(f"user:{self.password}".encode()).decode()
        if verb != "OPTIONS" and f"Authorization: Basic {login}" not in request:
            return f'RTSP/1.0 401 Unauthorized\r\n{head}WWW-Authenticate: Basic realm="camera"\r\n\r\n'.encode()
        if verb == "DESCRIBE":
            head += f"Content-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n"
        if verb == "SETUP":
            head += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        if verb == "PLAY":
            self._playing.add(writer)
            self.connections += 1
        body = SDP if verb == "DESCRIBE" else ""
        return f"RTSP/1.0 200 OK\r\n{head}Public: {VERBS}\r\n\r\n{body}".encode()


async def _request(reader: asyncio.StreamReader) -> str:
    """Return the next request; what the client reports about its reception is passed over."""
    while (first := await reader.readexactly(1)) == b"$":
        _, length = struct.unpack(">BH", await reader.readexactly(3))
        await reader.readexactly(length)
    return (first + await reader.readuntil(b"\r\n\r\n")).decode()


def _encoded(width: int, height: int, rate: int) -> list[list[bytes]]:
    """Return the NAL units of each picture of a loop; every tenth stands by itself."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, rate), Fraction(rate)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "10"}
    units = []
    for number in range(LOOP_FRAMES):
        frame = av.VideoFrame(width, height, "yuv420p")
        for plane, values in zip(frame.planes, (luma_of(number % 256, width, height), None, None), strict=True):
            grey = b"\x80" * plane.buffer_size
            plane.update(grey if values is None else _padded(values.tobytes(), width, plane.line_size))
        frame.pts = number
        data = b"".join(bytes(packet) for packet in encoder.encode(frame))
        units.append([unit for unit in START_CODE.split(data) if unit])
    return units


def _padded(rows: bytes, width: int, line: int) -> bytes:
    return b"".join(rows[at : at + width].ljust(line, b"\0") for at in range(0, len(rows), width))


def _packets(units: list[bytes], sequence: int, moment: int) -> Iterator[bytes]:
    """Yield one picture as interleaved RTP packets, one for each NAL unit."""
    for position, unit in enumerate(units):
        marker = 0x80 if position == len(units) - 1 else 0
        numbers = sequence + position & 0xFFFF, moment & 0xFFFFFFFF, 7
        packet = struct.pack(">BBHII", 0x80, marker | 96, *numbers) + unit
        yield struct.pack(">cBH", b"$", 0, len(packet)) + packet
