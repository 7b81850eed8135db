"""Who may ask the ops endpoints, and what every answer carries.

Without a token the endpoints stand open to whoever reaches the port, so a page on the internet must not reach it
through a visitor's browser: a name that an outsider can point at this machine (DNS rebinding) is refused, and names
with a dot are the only ones an outsider can own. With a token, no page has it.

The token comes as `Authorization: Bearer TOKEN` (Prometheus, the probe) or as the password of HTTP's own log-in (any
user name), which every browser asks for by itself. It is never taken from the address: addresses end up in logs.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN = "/healthz/"
HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
CHALLENGE = 'Basic realm="tilewatch", charset="UTF-8", Bearer realm="tilewatch"'


class Guard:
    """ASGI middleware in front of the endpoints."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, marked)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self._token is None:
            host = headers.get("host", "")
            return None if is_own_name(host) else _misdirected(host)
        if scope["path"].startswith(OPEN) or _carries(headers.get("authorization", ""), self._token):
            return None
        return PlainTextResponse("METRICS_TOKEN is needed\n", 401, {"www-authenticate": CHALLENGE})


def is_own_name(host: str) -> bool:
    """Tell whether a Host header is an address, or a name that nobody outside can own: one without a dot."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return "." not in name.removesuffix(".localhost")
    return True


def _misdirected(host: str) -> Response:
    text = f"{host[:100]!a} is not a name of this service: use its address, or set METRICS_TOKEN\n"
    return PlainTextResponse(text, 421)


def _carries(authorization: str, token: str) -> bool:
    """Tell whether a header carries the token; takes as long for a near miss as for any other."""
    scheme, _, value = authorization.partition(" ")
    given = value.strip().encode()
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given, token.encode())
