"""A camera's results: cut by the clock, whole, accounted to the frame, and never in the way of another."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.recordings import ENGINE, RATE, START
from tests.support.records import make_context, make_frame, make_info, make_tracks
from tilewatch.errors import DiskFullError, FrameError, SinkError
from tilewatch.service.lastid import LastId
from tilewatch.service.recorder import Recorder
from tilewatch.settings import Settings, load
from tilewatch.sinks.jsonl import JsonlSink
from tilewatch.telemetry import metrics

if TYPE_CHECKING:
    from tilewatch.records import StreamInfo, Tracks
    from tilewatch.sinks.base import Sink
    from tilewatch.sinks.result import ResultFolder


class FullSink:
    """A sink whose volume is full."""

    def write(self, tracks: Tracks) -> None:
        """Refuse."""
        raise DiskFullError(f"no room for frame {tracks.frame.index}")

    def close(self) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Do nothing."""


@dataclass
class FakeDetector:
    """Gives rows and no video."""

    settings: Settings
    full: bool = False
    engine: Any = field(default_factory=type("Engine", (), {"info": ENGINE}))

    def segmented(self, _info: StreamInfo, _folder: ResultFolder, _work: Path) -> None:
        """Give no video."""

    def rows(self, _info: StreamInfo, folder: ResultFolder) -> list[Sink]:
        """Give rows, or a full volume."""
        return [FullSink() if self.full else JsonlSink(folder.path("jsonl"), make_context())]


@pytest.fixture
def detector(tmp_path: Path) -> FakeDetector:
    """Return a detector whose results are cut every ten seconds."""
    return FakeDetector(load(overrides={"OUTPUT_DIR": tmp_path, "SEGMENT_SECONDS": 10}))


def make_recorder(detector: Any) -> Recorder:
    """Return the recorder of a camera that is connected."""
    ids = LastId.of(detector.settings.path.output_dir, "gate")
    recorder = Recorder("gate", detector, metrics.create().stream("gate"), 0, ids)
    recorder.connected(replace(make_info(path=Path("gate")), live=True))
    return recorder


def at(index: int, seconds: float) -> Tracks:
    """Return a frame's tracks, some time after the start."""
    frame = replace(make_frame(index), pts=round((START + seconds) * RATE))
    return make_tracks(index, [(7, 0, 0.9, 1, 2, 3, 4)], frame=frame)


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the manifests by the name of their folder."""
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(folder.glob("gate/*/manifest.json"))}


def test_results_are_cut_by_the_clock_and_appear_whole(tmp_path: Path, detector: FakeDetector) -> None:
    """The first frame past the end begins the next one; frames are numbered as each shows them."""
    recorder = make_recorder(detector)
    for index in range(25):
        recorder.write(at(index, index))
    assert list(results(tmp_path)) == ["2023-11-14T22-13-20Z", "2023-11-14T22-13-30Z"]
    recorder.close()
    recorder.close()
    found = results(tmp_path)
    assert [one["accounts"]["frames"]["written"] for one in found.values()] == [10, 10, 5]
    second = (tmp_path / "gate" / "2023-11-14T22-13-30Z" / "tracks.jsonl").read_text().splitlines()
    assert [json.loads(line)["frame"] for line in second] == list(range(10))
    assert json.loads(second[0])["time"] == START + 10
    assert found["2023-11-14T22-13-30Z"]["timings"]["started_at"] == "2023-11-14T22:13:30.000+00:00"


def test_result_whose_time_is_over_appears_without_another_frame(tmp_path: Path, detector: FakeDetector) -> None:
    """A camera that is gone must not keep back what was seen of it."""
    recorder = make_recorder(detector)
    recorder.write(at(0, 0))
    recorder.complete_if_due(START + 9.9)
    assert results(tmp_path) == {}
    recorder.complete_if_due(START + 10)
    assert len(results(tmp_path)) == 1


def test_missing_frames_are_counted_by_reason(tmp_path: Path, detector: FakeDetector) -> None:
    """Damaged ones have no index; skipped and dropped ones leave a gap; all of them are in, none is written."""
    recorder = make_recorder(detector)
    recorder.write(at(0, 0))
    recorder.skipped("decode")(FrameError("damaged"))
    recorder.skipped("track")(FrameError("unusable"))
    recorder.write(at(5, 1))
    recorder.skipped("decode")(FrameError("damaged"))
    recorder.close()
    (found,) = results(tmp_path).values()
    assert found["accounts"]["frames"] == {"in": 8, "written": 2, "skipped": {"dropped": 3, "frame_damaged": 3}}
    assert "3 frames were left out: dropped" in found["warnings"]


def test_long_gap_is_told(tmp_path: Path, detector: FakeDetector) -> None:
    """A person who watches the video sees a jump: the manifest says how long it was."""
    recorder = make_recorder(detector)
    for index, seconds in enumerate((0, 1, 4.5, 5, 8)):
        recorder.write(at(index, seconds))
    recorder.close()
    (found,) = results(tmp_path).values()
    assert found["warnings"] == ["no pictures for 6.5 s in all, 2 times"]


def test_two_results_of_one_second_do_not_replace_each_other(tmp_path: Path, detector: FakeDetector) -> None:
    """Closed by a stop, begun again by a quick restart."""
    for _ in range(3):
        recorder = make_recorder(detector)
        recorder.write(at(0, 0))
        recorder.close()
    moment = "2023-11-14T22-13-20Z"
    assert list(results(tmp_path)) == [moment, f"{moment}-2", f"{moment}-3"]


def test_result_that_cannot_be_written_is_given_up_whole_and_the_next_one_begins(
    tmp_path: Path, detector: FakeDetector
) -> None:
    """Nothing of it stays; what comes once there is room is recorded, and says what is missing before it."""
    recorder = make_recorder(detector)
    detector.full = True
    with pytest.raises(DiskFullError):
        recorder.write(at(0, 0))
    recorder.abort()
    recorder.abort()
    assert [path for path in (tmp_path / "gate").rglob("*") if path.is_file()] == []
    detector.full = False
    recorder.write(at(3, 3))
    recorder.close()
    (found,) = results(tmp_path).values()
    assert found["accounts"]["frames"] == {"in": 3, "written": 1, "skipped": {"dropped": 2}}


def test_folder_of_a_video_is_not_taken(tmp_path: Path, detector: FakeDetector) -> None:
    """A result that is there would be replaced together with all that lies in it."""
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "manifest.json").write_text("{}")
    with pytest.raises(SinkError, match="give the camera another name in SOURCES"):
        make_recorder(detector).write(at(0, 0))
