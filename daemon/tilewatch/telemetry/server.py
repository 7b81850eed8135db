"""The ops endpoints: `/metrics`, `/healthz/live`, `/healthz/ready`, `/status`, and a page for people.

Everything is read-only. Who may ask is decided in `telemetry.guard`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tilewatch.telemetry import page
from tilewatch.telemetry.guard import Guard
from tilewatch.telemetry.status import as_data

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prometheus_client import CollectorRegistry
    from pydantic import SecretStr
    from starlette.requests import Request

    from tilewatch.telemetry.health import Health, Verdict
    from tilewatch.telemetry.status import Status


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """The last annotated frame."""

    number: int
    """Grows with every new picture."""
    jpeg: bytes


async def no_picture() -> Picture | None:
    """Return None: there is no picture."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Endpoints:
    """What the endpoints show; the providers are asked at every request, so they take what blocks to a lane.

    `call` is a lane's, for the metrics: the process's own are read from files.
    """

    registry: CollectorRegistry
    call: Callable[[Callable[[], bytes]], Awaitable[bytes]]
    health: Health
    status: Callable[[], Awaitable[Status]]
    picture: Callable[[], Awaitable[Picture | None]] = no_picture

    async def metrics(self, request: Request) -> Response:
        """Give the metrics as text, or as OpenMetrics to who asks for it."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        text = await self.call(partial(encode, self.registry))
        return Response(text, headers={"content-type": content_type})

    async def live(self, _: Request) -> Response:
        """Give 200 while everything moves, else 503 and who does not."""
        return _answer(self.health.live())

    async def ready(self, _: Request) -> Response:
        """Give 200 while work is taken, else 503 and why not."""
        return _answer(self.health.ready())

    async def describe(self, _: Request) -> Response:
        """Give the whole status as JSON."""
        return JSONResponse(as_data(await self.status()))

    async def show(self, _: Request) -> Response:
        """Give the status as a page."""
        picture = await self.picture()
        html = page.render(await self.status(), picture=picture.number if picture else None)
        return HTMLResponse(html, headers={"content-security-policy": page.POLICY})

    async def frame(self, _: Request) -> Response:
        """Give the last annotated frame."""
        picture = await self.picture()
        if picture is None:
            return PlainTextResponse("no frame has been annotated yet\n", 404)
        return Response(picture.jpeg, media_type="image/jpeg")


def build_app(endpoints: Endpoints, token: SecretStr | None = None) -> Starlette:
    """Return the application; with a `token` (`METRICS_TOKEN`) all but `/healthz` demands it."""
    routes = {
        "/metrics": endpoints.metrics,
        "/healthz/live": endpoints.live,
        "/healthz/ready": endpoints.ready,
        "/status": endpoints.describe,
        "/frame.jpg": endpoints.frame,
        "/": endpoints.show,
    }
    return Starlette(
        routes=[Route(path, endpoint) for path, endpoint in routes.items()],
        middleware=[Middleware(Guard, token=token.get_secret_value() if token else None)],
    )


def _answer(verdict: Verdict) -> Response:
    text = "\n".join(verdict.reasons) or "ok"
    return PlainTextResponse(f"{text}\n", 200 if verdict else 503)
