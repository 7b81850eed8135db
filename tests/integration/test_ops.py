"""The ops endpoints on a real socket, in the loop that does the work."""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.ops import STATUS, Ops
from tilewatch.errors import ConfigError
from tilewatch.telemetry.listener import OpsServer, listen

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tilewatch.telemetry.status import Status

    Run = Callable[[Coroutine[Any, Any, Any]], Any]


def has_ipv6() -> bool:
    """Tell whether this machine has an IPv6 loopback."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("bind", "ask"),
    [
        ("127.0.0.1", "127.0.0.1"),
        pytest.param("::1", "[::1]", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")),
        pytest.param("::", "127.0.0.1", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")),
    ],
)
def test_endpoints_answer_on_the_address_asked_for(run: Run, bind: str, ask: str) -> None:
    """IPv4, IPv6, and :: for both."""

    async def scenario() -> int:
        async with Ops().serving(bind) as server, httpx.AsyncClient() as client:
            return (await client.get(f"http://{ask}:{server.port}/metrics")).status_code

    assert run(scenario()) == 200


def test_taken_port_is_a_configuration_error_that_names_the_remedy() -> None:
    """Exit 78 before anything has begun, not a traceback later."""
    with (
        listen("127.0.0.1", 0) as held,
        pytest.raises(ConfigError, match=r"METRICS_PORT=\d+.*in use.*free port") as told,
    ):
        listen("127.0.0.1", held.getsockname()[1])
    assert told.value.exit_code == 78
    with pytest.raises(ConfigError, match=r"METRICS_HOST=192\.0\.2\.1"):
        listen("192.0.2.1", 0)


def test_signals_stay_with_who_owns_the_process(run: Run) -> None:
    """The server installs no handler: the daemon's drain is not bypassed."""

    async def scenario() -> list[Any]:
        async with Ops().serving() as server, httpx.AsyncClient() as client:
            await client.get(f"http://127.0.0.1:{server.port}/healthz/live")
            return [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]

    assert run(scenario()) == [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]


def test_stop_finishes_the_answer_under_way_and_frees_the_port(run: Run) -> None:
    """Graceful: what was asked before the stop is answered, kept-alive connections go, the port is free at once."""

    async def scenario() -> tuple[int, int]:
        ops, asked, go_on = Ops(), asyncio.Event(), asyncio.Event()
        app = ops.app()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            asked.set()
            await go_on.wait()
            await app(scope, receive, send)

        server = OpsServer(slow, listen("127.0.0.1", 0))
        running = asyncio.ensure_future(server.run())
        async with httpx.AsyncClient() as client:
            answer = asyncio.ensure_future(client.get(f"http://127.0.0.1:{server.port}/status"))
            await asked.wait()
            server.stop()
            go_on.set()
            status = (await answer).status_code
            await running
        listen("127.0.0.1", server.port).close()
        return status, server.port

    assert run(scenario())[0] == 200


def test_cancelled_server_leaves_nothing_open(run: Run) -> None:
    """Abort: the port is free and idle connections are gone, whatever they wait for."""

    async def scenario() -> bytes:
        server = OpsServer(Ops().app(), listen("127.0.0.1", 0))
        running = asyncio.ensure_future(server.run())
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /healthz/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await reader.readuntil(b"ok\n")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        listen("127.0.0.1", server.port).close()
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()

    assert run(scenario()) == b""


def test_connections_that_say_nothing_end_by_themselves(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would fill the places of those that ask; one that is being answered is left alone."""
    monkeypatch.setattr("tilewatch.telemetry.listener.LIFE_SECONDS", 0.02)

    async def scenario() -> tuple[bytes, bytes, int]:
        ops, silence = Ops(), asyncio.Event()

        async def status() -> Status:
            await silence.wait()
            return STATUS

        ops.provide = status
        async with ops.serving() as server, httpx.AsyncClient() as client:
            answer = asyncio.ensure_future(client.get(f"http://127.0.0.1:{server.port}/status"))
            silent, first = await asyncio.open_connection("127.0.0.1", server.port)
            slow, second = await asyncio.open_connection("127.0.0.1", server.port)
            second.write(b"GET /status HTTP/1.1\r\nhost: loc")
            ends = await silent.read(), await slow.read()
            silence.set()
            for writer in (first, second):
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()
            return *ends, (await answer).status_code

    assert run(scenario()) == (b"", b"", 200)
