"""An HTTP server in the loop that is already running: it takes no signals, starts no thread, and polls nothing."""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp

MOST_CONNECTIONS = 64
LIFE_SECONDS = 30.0
"""How long a connection may be open: 64 that say nothing would otherwise make the service look ill."""
CLOSE_SECONDS = 2


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; `::` takes IPv4 as well, port 0 any free port.

    Raises:
        ConfigError: the address is not this machine's, or the port is taken.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(address[:2], family=family, dualstack_ipv6=host == "::")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"METRICS_HOST={host} METRICS_PORT={port}: cannot listen ({reason}): "
            "choose another address or a free port, or end what holds it"
        ) from error


class OpsServer:
    """Serves an application on a socket until it is stopped or cancelled."""

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        self._listener = listener
        self.address: str = listener.getsockname()[0]
        self.port: int = listener.getsockname()[1]
        self._server = _Server(
            uvicorn.Config(
                app,
                loop="none",
                http=_Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                limit_concurrency=MOST_CONNECTIONS,
                timeout_graceful_shutdown=CLOSE_SECONDS,
            )
        )

    async def run(self) -> None:
        """Serve; returns once `stop` was called and the answers under way are out, at most two seconds later."""
        try:
            await self._server.serve(sockets=[self._listener])
        finally:
            self._server.drop()
            self._listener.close()

    def stop(self) -> None:
        """Take no more requests. Idempotent."""
        self._server.stopping.set()


class _Connection(H11Protocol):
    """A connection that ends after its time, unless an answer is on its way."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock."""
        super().connection_made(transport)
        self.loop.call_later(LIFE_SECONDS, self._expire)

    def _expire(self) -> None:
        if self.conn.our_state in {h11.SEND_RESPONSE, h11.SEND_BODY}:
            self.loop.call_later(LIFE_SECONDS, self._expire)
        else:
            self.transport.close()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, and waiting for its end in place of looking for it ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stopping = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to whoever owns the process."""
        yield

    async def main_loop(self) -> None:
        """Wait for the stop."""
        await self.stopping.wait()

    def drop(self) -> None:
        """Let go of everything that a cancelled `serve` has left open."""
        for server in getattr(self, "servers", ()):
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
