"""Work that is kept: broken off anywhere and gone on with, it gives what an undisturbed process would have given."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import av
import pytest

from tests.support.clips import Clip, make_clip
from tests.support.models import tiny_detector
from tilewatch.detector import open_detector
from tilewatch.flow.backports import BaseExceptionGroup
from tilewatch.flow.shutdown import Shutdown
from tilewatch.job import Session, VideoJob
from tilewatch.settings import load
from tilewatch.sinks.result import ResultFolder
from tilewatch.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from tilewatch.settings import Settings
    from tilewatch.telemetry.progress import Outcome

    Run = Callable[[Coroutine[Any, Any, Any]], Any]

FRAMES = 64
EXACT = ("tracks.jsonl", "tracks.mot.txt", "tracks.csv", "coco.json")


class Crash(Exception):  # noqa: N818 stands for the end of a process, not for an error
    """The process is gone."""


class Watched:
    """Progress that breaks the work off, or asks for a stop, once so many frames are written."""

    def __init__(self, shutdown: Shutdown, *, crash_at: int | None = None, stop_at: int | None = None) -> None:
        self.frames = 0
        self.replayed = 0
        self._shutdown = shutdown
        self._crash_at = crash_at
        self._stop_at = stop_at

    def begin(self, name: str, total: int | None) -> Watched:  # noqa: ARG002
        """Return itself as the video's bar."""
        return self

    def advance(self, frames: int = 1) -> None:
        """Count, and do what was planned."""
        self.frames += frames
        self.replayed += frames if frames > 1 else 0
        if self.frames == self._crash_at:
            raise Crash
        if self._stop_at is not None and self.frames >= self._stop_at and not self._shutdown.requested:
            self._shutdown.stop.set()

    def flow(self, label: str, channels: object) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


class Place(NamedTuple):
    """Where one video is worked on."""

    clip: Path
    out: Path
    work: Path
    settings: Settings


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a clip of 64 frames, settings with a checkpoint every ten of them, and folders."""
    overrides = {
        "MODEL_PATH": tiny_detector(tmp_path / "tiny.onnx"),
        "BACKEND": "onnxruntime",
        "TILE_SIZE": 64,
        "TILE_OVERLAP": 16,
        "OUTPUT_FORMATS": "video,jsonl,mot,csv,coco,overview",
        "DRAW_TRAIL_SECONDS": 2,
        "CHECKPOINT_SECONDS": 1,
    }
    clip = make_clip(tmp_path / "clip.mp4", Clip(frames=FRAMES, audio="aac"))
    return Place(clip, tmp_path / "out", tmp_path / "work", load(overrides=overrides))


async def work_on(
    place: Place, out: Path, *, kept: bool = True, crash_at: int | None = None, stop_at: int | None = None
) -> tuple[Outcome, Watched]:
    """Process the clip in a process of its own, as far as the rest of the program can tell."""
    shutdown = Shutdown(10)
    watched = Watched(shutdown, crash_at=crash_at, stop_at=stop_at)
    loop = asyncio.get_running_loop()
    folder = await loop.run_in_executor(None, ResultFolder.for_directory, out, "clip")
    try:
        async with open_detector(place.settings, metrics.create()) as detector:
            work = place.work if kept else None
            outcome = await VideoJob(detector, Session(shutdown.stop, watched), place.clip, folder, work).run()
    finally:
        await loop.run_in_executor(None, folder.discard)
    return outcome, watched


def undisturbed(run: Run, place: Place) -> Path:
    """Return the folder of the result of an undisturbed run."""
    out = place.out.with_name("undisturbed")
    run(work_on(place, out, kept=False))
    return out / "clip"


def pictures(path: Path) -> int:
    """Return how many pictures a video really holds; it has sound too."""
    with av.open(str(path)) as container:
        assert len(container.streams.audio) == 1
        return sum(1 for _ in container.decode(video=0))


def assert_same_result(found: Path, wanted: Path) -> None:
    """Compare rows byte for byte, the accounts, and the number of pictures."""
    for name in EXACT:
        assert (found / name).read_bytes() == (wanted / name).read_bytes(), name
    assert (found / "overview.png").read_bytes() == (wanted / "overview.png").read_bytes()
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in (found, wanted)]
    assert manifests[0]["accounts"] == manifests[1]["accounts"]
    assert manifests[0]["status"] == "complete"
    assert manifests[0]["tracks"] == manifests[1]["tracks"]
    assert pictures(found / "annotated.mp4") == FRAMES


@pytest.mark.parametrize("crashes", [[1], [11], [25, 26, 63]])
def test_broken_off_work_gives_the_undisturbed_result(run: Run, place: Place, crashes: list[int]) -> None:
    """Rows to the byte, whatever was in flight; what lies before the last checkpoint is not inferred again."""
    for crash_at in crashes:
        with pytest.raises(BaseExceptionGroup, match="TaskGroup"):
            run(work_on(place, place.out, crash_at=crash_at))
        assert not (place.out / "clip").exists()
    outcome, watched = run(work_on(place, place.out))
    assert outcome.status == "complete"
    assert watched.replayed == (max(crashes) - 1) // 10 * 10
    assert_same_result(place.out / "clip", undisturbed(run, place))
    assert not place.work.exists()


def test_gate_does_not_show_where_work_was_broken_off(run: Run, place: Place) -> None:
    """It starts afresh with every segment, so that a process that begins there decides as one that came from before."""
    changes = {"TILE_GATE": "motion", "TILE_REFRESH_SECONDS": 4}
    gated = place._replace(settings=load(overrides={**_overrides(place.settings), **changes}))
    run(work_on(gated, gated.out, stop_at=27))
    with pytest.raises(BaseExceptionGroup, match="TaskGroup"):
        run(work_on(gated, gated.out, crash_at=45))
    _, watched = run(work_on(gated, gated.out))
    assert watched.replayed == 40
    run(work_on(gated._replace(work=gated.work / "other"), gated.out.with_name("undisturbed")))
    assert_same_result(gated.out / "clip", gated.out.with_name("undisturbed") / "clip")
    tiles = json.loads((gated.out / "clip" / "manifest.json").read_text())["accounts"]["tiles"]
    assert tiles["reused"] > 0


def test_stop_keeps_everything_that_was_written(run: Run, place: Place) -> None:
    """No result appears, and the next process goes on behind the last frame, in the middle of a segment too."""
    outcome, _ = run(work_on(place, place.out, stop_at=17))
    assert outcome.status == "suspended"
    assert outcome.frames >= 17
    assert not (place.out / "clip").exists()
    _, watched = run(work_on(place, place.out))
    assert outcome.frames - watched.replayed in {0, 1}  # a last single frame looks like one that was processed
    assert_same_result(place.out / "clip", undisturbed(run, place))


def test_other_settings_start_over(run: Run, place: Place) -> None:
    """A result half with one threshold and half with another would be none."""
    run(work_on(place, place.out, stop_at=30))
    other = place._replace(settings=load(overrides={**_overrides(place.settings), "CONFIDENCE_THRESHOLD": 0.5}))
    _, watched = run(work_on(other, place.out))
    assert watched.replayed == 0
    assert_same_result(place.out / "clip", undisturbed(run, other))


def test_damaged_work_starts_over(run: Run, place: Place) -> None:
    """Whichever of its files is gone or cut short."""
    for name in ("journal", "checkpoint.json", "segment-000000-*.mp4"):
        run(work_on(place, place.out, stop_at=30))
        (damaged,) = place.work.glob(name)
        damaged.unlink() if damaged.suffix == ".mp4" else damaged.write_bytes(b"")
        _, watched = run(work_on(place, place.out))
        assert watched.replayed == 0
    assert_same_result(place.out / "clip", undisturbed(run, place))


def _overrides(settings: Settings) -> dict[str, object]:
    """Return what the fixture's settings were made of."""
    return {
        "MODEL_PATH": settings.model.model_path,
        "BACKEND": "onnxruntime",
        "TILE_SIZE": 64,
        "TILE_OVERLAP": 16,
        "OUTPUT_FORMATS": "video,jsonl,mot,csv,coco,overview",
        "DRAW_TRAIL_SECONDS": 2,
        "CHECKPOINT_SECONDS": 1,
    }
