#!/usr/bin/env python3
"""Ask a running tilewatch whether it is well; one line says what is wrong.

Usage: probe.py [ready | live]

`ready` (the default): work is taken, everything moves, the engine is loaded, it is the backend that was asked for, and
a GPU backend sees its GPU. `live`: everything moves; enough for whoever would restart it.

Exit codes: 0 well, 1 not ready (starting or draining), 2 no answer, 3 misconfigured (address, port or token),
4 stalled, 5 the engine is not the one it should be.

It needs nothing but Python's standard library (and little of that, to be quick), and takes METRICS_HOST, METRICS_PORT,
METRICS_TOKEN and BACKEND as tilewatch does: from the environment, else from the file .env.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time

TYPE_CHECKING = False  # importing typing would cost time
if TYPE_CHECKING:
    from typing import Any

OK, NOT_READY, NO_ANSWER, MISCONFIGURED, STALLED, WRONG_ENGINE = range(6)
GPU_BACKENDS = ("tensorrt",)
LOOPBACK = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104 what it may be set to, not what we bind
SECONDS = 5.0
LARGEST = 1 << 20
HTTP_OK, UNAUTHORIZED = 200, 401


class Trouble(Exception):  # noqa: N818 what is wrong is the answer here, not an error
    """What is wrong, as an exit code and a line."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def settings() -> dict[str, str]:
    """Return what is set, by name: the environment over the file .env."""
    found: dict[str, str] = {}
    try:
        with open(".env", encoding="utf-8-sig") as file:  # noqa: PTH123 pathlib costs time
            for line in file:
                name, sign, value = line.strip().removeprefix("export ").partition("=")
                if sign and not name.startswith("#"):
                    found[name.strip().upper()] = value.split(" #")[0].strip().strip("'\"")
    except (OSError, UnicodeDecodeError):
        pass  # there need be none, and tilewatch itself has complained of a bad one
    found.update({name.upper(): value for name, value in os.environ.items() if value})
    return found


def fetch(host: str, port: int, token: str) -> bytes:
    """Return the answer to a request for /status, head and body.

    Raises:
        Trouble: nobody answers, or not in time.
    """
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    request = f"GET /status HTTP/1.0\r\nHost: localhost\r\n{bearer}\r\n"
    end = time.monotonic() + SECONDS
    answer = bytearray()
    try:
        with socket.create_connection((host, port), timeout=SECONDS) as connection:
            connection.sendall(request.encode())
            while len(answer) < LARGEST:
                connection.settimeout(max(end - time.monotonic(), 0.001))
                data = connection.recv(1 << 16)
                if not data:
                    break
                answer += data
    except OSError as error:
        raise Trouble(NO_ANSWER, f"no answer from {host} port {port}: {error}") from error
    return bytes(answer)


def parse(answer: bytes, port: int) -> dict[str, Any]:
    """Return the status in an answer.

    Raises:
        Trouble: the answer is a refusal, or nothing of tilewatch's.
    """
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    code = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    if code == UNAUTHORIZED:
        raise Trouble(MISCONFIGURED, "METRICS_TOKEN is not the one tilewatch runs with")
    try:
        status = json.loads(body) if code == HTTP_OK else None
    except ValueError:
        status = None
    if not isinstance(status, dict) or not {"ready", "live", "engine", "reasons"} <= status.keys():
        raise Trouble(MISCONFIGURED, f"what answers on port {port} is not tilewatch (HTTP {code}): see METRICS_PORT")
    return status


def judge(status: dict[str, Any], *, wanted_backend: str, only_live: bool) -> str:
    """Return a line about a service that is well.

    Raises:
        Trouble: it is not.
    """
    reasons = "; ".join(map(str, status["reasons"])) or "no reason given"
    if not status["live"]:
        raise Trouble(STALLED, f"stalled: {reasons}")
    if only_live:
        return "live"
    if not status["ready"]:
        raise Trouble(NOT_READY, f"not ready: {reasons}")
    engine = status["engine"]
    if not engine:
        raise Trouble(WRONG_ENGINE, "no engine is loaded")
    backend = engine["backend"]
    if wanted_backend not in {"", "auto", backend}:
        raise Trouble(WRONG_ENGINE, f"BACKEND={wanted_backend} was asked for, {backend} is running")
    if backend in GPU_BACKENDS and not engine["gpu"]:
        raise Trouble(WRONG_ENGINE, f"{backend} sees no GPU: is the container started with one?")
    state = status.get("state", "ready")
    return f"{state}: {backend} on {engine['gpu'] or engine['device']}" + (f"; {reasons}" if status["reasons"] else "")


def probe(arguments: list[str]) -> str:
    """Return a line about a service that is well.

    Raises:
        Trouble: it is not, or nobody can tell.
    """
    if arguments not in ([], ["ready"], ["live"]):
        raise Trouble(MISCONFIGURED, f"{' '.join(arguments)!r} is neither 'ready' nor 'live'")
    found = settings()
    host, port = found.get("METRICS_HOST", ""), found.get("METRICS_PORT", "9464")
    if not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise Trouble(MISCONFIGURED, f"METRICS_PORT={port} is no port that can be asked")
    answer = fetch(LOOPBACK.get(host, host), int(port), found.get("METRICS_TOKEN", ""))
    only_live = arguments == ["live"]
    return judge(parse(answer, int(port)), wanted_backend=found.get("BACKEND", ""), only_live=only_live)


def main() -> int:
    """Print one line and return the exit code."""
    try:
        print(probe(sys.argv[1:]))
    except Trouble as trouble:
        print(trouble)
        return trouble.code
    return OK


if __name__ == "__main__":
    sys.exit(main())
