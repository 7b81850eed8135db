"""A camera in one process, on asyncio and on uvloop, with blocking calls detected: what makes it pause and go on."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.camera import FaultyCamera
from tests.support.models import tiny_detector
from tilewatch.detector import open_detector
from tilewatch.errors import DiskFullError, EngineError
from tilewatch.flow.backports import BaseExceptionGroup
from tilewatch.flow.supervisor import verdict
from tilewatch.service.camera import CameraState, CameraStream
from tilewatch.service.lastid import LastId
from tilewatch.service.recording import Recording
from tilewatch.service.salvage import Salvage
from tilewatch.settings import load
from tilewatch.telemetry import metrics
from tilewatch.telemetry.health import Health

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from tilewatch.settings import Settings

    Run = Callable[[Coroutine[Any, Any, Any]], Any]


FAR_AHEAD = 1e12
"""A time at which health tells of everything that works."""


@dataclass
class FakeDesk:
    """A desk that a test opens and closes."""

    closed: dict[str, str] = field(default_factory=dict)
    bell: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def open(self) -> bool:
        """Whether anything may be written."""
        return not self.closed

    def close(self, cause: str, text: str) -> None:
        """Take nothing more."""
        self.closed[cause] = text

    def reopen(self) -> None:
        """Take everything again."""
        self.closed.clear()
        self.bell.set()

    async def rest(self) -> None:
        """Wait for the bell."""
        self.bell.clear()
        await self.bell.wait()


@dataclass
class Watched:
    """A camera stream that runs, and what it works with."""

    state: CameraState
    desk: FakeDesk
    health: Health
    stop: asyncio.Event

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait for something that the stream brings about."""
        while not happened():  # noqa: ASYNC110 nothing tells of it
            await asyncio.sleep(0.01)

    async def frames(self, count: int) -> None:
        """Wait for so many more frames."""
        goal = self.state.frames + count
        await self.until(lambda: self.state.frames >= goal)


@pytest.fixture
def camera() -> Iterator[FaultyCamera]:
    """Return a camera that works, so far."""
    with FaultyCamera() as camera:
        yield camera


@pytest.fixture
def settings(tmp_path: Path, camera: FaultyCamera) -> Settings:
    """Return settings of a tiny detector and that camera."""
    return load(
        overrides={
            "MODEL_PATH": tiny_detector(tmp_path / "tiny.onnx"),
            "BACKEND": "onnxruntime",
            "OUTPUT_DIR": tmp_path,
            "TILE_SIZE": 64,
            "TILE_OVERLAP": 16,
            "OUTPUT_FORMATS": "video,jsonl",
            "SOURCES": f"gate={camera.address()}",
            "STREAM_TIMEOUT_SECONDS": 2,
            "STREAM_BACKOFF_SECONDS": 0.1,
        }
    )


async def watch(settings: Settings, story: Callable[[Watched], Coroutine[Any, Any, None]]) -> Watched:
    """Run the stream while a story happens, then stop it."""
    ids = LastId.of(settings.path.output_dir, "gate")
    watched = Watched(CameraState("gate", ids), FakeDesk(), Health(60), asyncio.Event())
    async with open_detector(settings, metrics.create()) as detector:
        stream = CameraStream(
            settings.source.sources[0],
            watched.state,
            detector,
            watched.desk,  # type: ignore[arg-type]  # as far as it is used
            watched.health,
            watched.stop,
        )
        running = asyncio.ensure_future(stream.run())
        telling = asyncio.ensure_future(story(watched))
        await asyncio.wait([running, telling], return_when=asyncio.FIRST_COMPLETED)
        watched.stop.set()
        watched.desk.bell.set()
        telling.cancel()
        await running
        with suppress(asyncio.CancelledError):
            await telling
    return watched


def written(folder: Path) -> list[int]:
    """Return the frames of each result in the order of time."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("gate/*/manifest.json"))]
    return [one["accounts"]["frames"]["written"] for one in found]


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of results in work."""
    return list(folder.glob("gate/.*/work/checkpoint.json"))


def test_stop_completes_the_open_result(run: Run, tmp_path: Path, settings: Settings) -> None:
    """Every frame that was received is in it; nothing is left behind."""
    watched = run(watch(settings, lambda watched: watched.frames(10)))
    assert written(tmp_path) == [watched.state.frames]
    assert watched.state.frames == watched.state.timeline.decoded - watched.state.dropped >= 10
    assert not watched.state.up
    assert [path.name for path in (tmp_path / "gate").iterdir() if path.name.startswith(".")] == []


def test_objects_keep_their_ids_from_one_result_to_the_next(run: Run, tmp_path: Path, settings: Settings) -> None:
    """The tracker knows nothing of where a result ends: what stands in the picture goes on under its id."""
    source = settings.source.model_copy(update={"segment_seconds": 0.5})
    run(watch(settings.model_copy(update={"source": source}), lambda watched: watched.frames(25)))
    lines = [path.read_text().splitlines() for path in sorted(tmp_path.glob("gate/*/tracks.jsonl"))]
    last, first = (json.loads(line)["objects"] for line in (lines[0][-1], lines[1][0]))
    kept = {found["id"] for found in last} & {found["id"] for found in first}
    assert len(kept) > len(last) / 2


def test_no_room_completes_the_open_result_and_disconnects_until_there_is_some(
    run: Run, tmp_path: Path, settings: Settings
) -> None:
    """As with files: work that is begun is finished, none is begun."""

    async def story(watched: Watched) -> None:
        await watched.frames(5)
        watched.desk.close("disk", "full")
        await watched.until(lambda: len(written(tmp_path)) == 1)
        assert not watched.state.up
        assert watched.state.restarts == 0
        watched.desk.reopen()
        await watched.frames(5)

    watched = run(watch(settings, story))
    assert sum(written(tmp_path)) == watched.state.frames
    assert len(written(tmp_path)) == 2


def test_stop_does_not_wait_with_the_result_for_a_camera_that_is_gone(
    run: Run, tmp_path: Path, settings: Settings, camera: FaultyCamera
) -> None:
    """A call that rings for longer than the drain may take must not cost what was recorded before."""
    stream = settings.stream.model_copy(update={"timeout_seconds": 8.0})
    waited: list[float] = []

    async def story(watched: Watched) -> None:
        loop = asyncio.get_running_loop()
        await watched.frames(5)
        await loop.run_in_executor(None, camera.vanish)
        await watched.until(lambda: any("gate: connect" in held for held in watched.health.live(FAR_AHEAD).reasons))
        asked = loop.time()
        watched.stop.set()
        await watched.until(lambda: written(tmp_path) == [watched.state.frames])
        waited.append(loop.time() - asked)
        await loop.run_in_executor(None, camera.come_back)

    run(watch(settings.model_copy(update={"stream": stream}), story))
    assert waited
    assert waited[0] < 4


def test_drain_that_takes_too_long_leaves_what_the_checkpoints_hold(
    run: Run, tmp_path: Path, settings: Settings
) -> None:
    """Everything is cancelled at the deadline: the open result is completed by the next start, and says so."""
    point = settings.checkpoint.model_copy(update={"seconds": 1.0})

    async def story() -> None:
        ids = LastId.of(tmp_path, "gate")
        async with open_detector(settings.model_copy(update={"checkpoint": point}), metrics.create()) as detector:
            desk: Any = FakeDesk()
            state = CameraState("gate", ids)
            camera = settings.source.sources[0]
            running = asyncio.ensure_future(
                CameraStream(camera, state, detector, desk, Health(60), asyncio.Event()).run()
            )
            while not checkpoints(tmp_path):  # noqa: ASYNC110 nothing tells of it
                await asyncio.sleep(0.01)
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    run(story())
    assert written(tmp_path) == []
    Salvage(tmp_path, max_attempts=3, max_pixels=10**8, stopped=lambda: False)()
    assert len(written(tmp_path)) == 1
    assert written(tmp_path)[0] > 0


def test_full_volume_gives_the_open_result_up_and_takes_no_more(
    run: Run, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC in the middle: no crash loop; the desk says why, and the camera goes on once there is room."""
    write, full = Recording.write, [False]

    def refuse(recording: Recording, tracks: Any) -> None:
        if full[0]:
            raise DiskFullError("out: no space left")
        write(recording, tracks)

    monkeypatch.setattr(Recording, "write", refuse)

    async def story(watched: Watched) -> None:
        await watched.frames(5)
        full[0] = True
        await watched.until(lambda: "disk" in watched.desk.closed)
        assert watched.health.troubles == ("out: no space left",)
        full[0] = False
        watched.desk.reopen()
        await watched.frames(5)
        assert not watched.health.troubles

    run(watch(settings, story))
    assert len(written(tmp_path)) == 1


def test_engine_failure_is_everybodys(run: Run, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the process, as with files, and is not taken for a fault of the camera."""
    monkeypatch.setattr(
        "tilewatch.engines.onnxruntime.OnnxRuntimeEngine.collect", lambda _: (_ for _ in ()).throw(EngineError("burnt"))
    )
    with pytest.raises((EngineError, BaseExceptionGroup)) as caught:
        run(watch(settings, lambda watched: watched.frames(100)))
    assert isinstance(verdict(caught.value), EngineError)
