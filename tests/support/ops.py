"""The ops endpoints with everything behind them made up."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from pydantic import SecretStr

from tilewatch.flow.lane import Lane
from tilewatch.telemetry import metrics
from tilewatch.telemetry.health import Health
from tilewatch.telemetry.listener import OpsServer, listen
from tilewatch.telemetry.server import Endpoints, Picture, build_app
from tilewatch.telemetry.status import (
    Disk,
    EngineStatus,
    Failure,
    RunningJob,
    StageBar,
    Status,
    StreamStatus,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.applications import Starlette

ENGINE = EngineStatus(
    backend="openvino",
    device="AMD EPYC 7763 64-Core Processor",
    precision="f32",
    model="yolov4-tiny-640.onnx",
    sha256="3f9a" * 16,
)
BARS = tuple(
    StageBar(stage=stage, items=items, capacity=capacity)
    for stage, items, capacity in (("decode", 3, 3), ("tile", 2, 2), ("infer", 0, 2), ("track", 1, 4))
)
STATUS = Status(
    version="0.1.0",
    state="ready",
    ready=True,
    live=True,
    uptime_seconds=273_912,
    engine=ENGINE,
    jobs={"waiting": 3, "ready": 128, "running": 2, "done": 4031, "failed": 2},
    running=(
        RunningJob(
            name="north gate/2024-05-03 <morning> & noon.mp4",
            stream="file-0",
            frames=4210,
            total=10_800,
            frames_per_second=31.7,
            bars=BARS,
        ),
        RunningJob(name="yard.mkv", stream="file-1", frames=312, total=None, frames_per_second=8.2, bars=BARS),
    ),
    streams=(
        StreamStatus(
            name="entrance", up=True, frames=90_112, dropped=14, restarts=2, frames_per_second=25.0, bars=BARS
        ),
        StreamStatus(name="depot", up=False, frames=1_204, dropped=0, restarts=31, frames_per_second=0.0),
    ),
    failures=(
        Failure(
            at="2024-05-03T08:12:44+00:00",
            name="broken.mp4",
            reason="bad_input",
            text="broken.mp4 holds no frame that can be decoded: convert it or copy it again",
        ),
    ),
    disks=(Disk(path="/output", free_bytes=412_300_000_000, total_bytes=1_000_000_000_000),),
)


@dataclass(eq=False)
class Ops:
    """A service that is healthy and busy, until a test changes it."""

    status: Status = STATUS
    picture: Picture | None = None
    token: str | None = None
    provide: Callable[[], Awaitable[Status]] | None = None
    """Asked for the status at every request, in place of `status`."""
    health: Health = field(default_factory=lambda: Health(60))
    lane: Lane = field(default_factory=lambda: Lane("ops"))
    metrics: metrics.Metrics = field(default_factory=metrics.create)

    def change(self, **facts: Any) -> None:
        """Show a status that differs in some facts."""
        self.status = replace(self.status, **facts)

    def app(self) -> Starlette:
        """Return the application that shows it."""

        async def status() -> Status:
            return await self.provide() if self.provide else self.status

        async def picture() -> Picture | None:
            return self.picture

        endpoints = Endpoints(
            registry=self.metrics.registry,
            call=self.lane.call,
            health=self.health,
            status=status,
            picture=picture,
        )
        return build_app(endpoints, SecretStr(self.token) if self.token else None)

    @asynccontextmanager
    async def serving(self, host: str = "127.0.0.1") -> AsyncIterator[OpsServer]:
        """Serve it on a free port while the block runs."""
        server = OpsServer(self.app(), listen(host, 0))
        running = asyncio.ensure_future(server.run())
        try:
            yield server
        finally:
            server.stop()
            await running


def make_picture(number: int = 1) -> Picture:
    """Return a picture of a road with two boxes on it."""
    image = np.full((540, 960, 3), (96, 88, 80), np.uint8)
    cv2.fillPoly(image, [np.array([[380, 0], [580, 0], [960, 540], [0, 540]], np.int32)], (70, 66, 62))
    for x, y, size in ((430, 150, 60), (560, 330, 120)):
        cv2.rectangle(image, (x, y), (x + size, y + size * 2 // 3), (80, 200, 255), 3)
        cv2.putText(image, "car 0.91 #7", (x, y - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (80, 200, 255), 2)
    return Picture(number, cv2.imencode(".jpg", image)[1].tobytes())
