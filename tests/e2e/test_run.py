"""`tilewatch run` as a process: what a user types, what lies there afterwards, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import av
import pytest

from tests.support.clips import Clip, make_clip
from tests.support.models import tiny_detector
from tests.support.program import command, environment, run_tilewatch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SMALL_TILES = ("--tile-size", "64", "--tile-overlap", "16")
ALL_FORMATS = "video,jsonl,mot,csv,coco,parquet,overview"
NAMES = {
    "annotated.mp4",
    "tracks.jsonl",
    "tracks.mot.txt",
    "tracks.csv",
    "coco.json",
    "tracks.parquet",
    "overview.png",
    "manifest.json",
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a detector of bright areas with an input of 64 pixels."""
    return tiny_detector(tmp_path / "tiny.onnx", metadata={"names": "{0: 'red', 1: 'green', 2: 'blue'}"})


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Return a clip of 12 frames with sound."""
    return make_clip(tmp_path / "clip.mp4", Clip(frames=12, audio="aac"))


def left_in(folder: Path) -> set[str]:
    """Return the names in a folder, hidden ones too."""
    return {path.name for path in folder.iterdir()}


def frames_of(path: Path) -> int:
    """Return how many pictures a video really holds."""
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_video_becomes_a_whole_result_with_balanced_accounts(tmp_path: Path, model: Path, clip: Path) -> None:
    """Every format lands in DIR/<stem>/, nothing else is left, and the manifest's accounts balance."""
    out = tmp_path / "out"
    done = run_tilewatch("run", clip, "-o", out, "--model", model, *SMALL_TILES, "--formats", ALL_FORMATS)
    line = json.loads(done.stdout)
    manifest = json.loads((out / "clip" / "manifest.json").read_text())
    boxes = manifest["accounts"]["boxes"]
    assert left_in(out) == {"clip"}
    assert left_in(out / "clip") == NAMES
    assert (line["status"], line["frames"], line["output"]) == ("complete", 12, str(out / "clip" / "annotated.mp4"))
    assert manifest["accounts"]["frames"] == {"in": 12, "written": 12, "skipped": {}}
    assert boxes["found"] == boxes["kept"] + boxes["merged"] + boxes["suppressed"] > 0
    assert manifest["engine"]["backend"] == "openvino"
    assert (manifest["decoder"], manifest["encoder"]) == ("software", "libx264")
    assert len(manifest["outputs"]) == len(NAMES) - 1
    assert frames_of(out / "clip" / "annotated.mp4") == 12
    assert len((out / "clip" / "tracks.jsonl").read_text().splitlines()) == 12


def test_command_line_of_the_original_system_puts_the_video_exactly_there(
    tmp_path: Path, model: Path, clip: Path
) -> None:
    """--input, --output FILE, --conf, --enable-tracking, --labels, --max-frames, --engine, --no-display."""
    labels = tmp_path / "labels.txt"
    labels.write_text("plane\nmissile\nbird\n")
    target = tmp_path / "results" / "out.mp4"
    run_tilewatch(
        *("run", "--input", clip, "--output", target, "--engine", model, "--no-display", "--conf", "0.25"),
        *("--labels", labels, "--max-frames", "5", "--enable-tracking", *SMALL_TILES),
    )
    rows = [json.loads(row) for row in (target.parent / "out.tracks.jsonl").read_text().splitlines()]
    assert frames_of(target) == 5
    assert left_in(target.parent) == {
        "out.mp4", "out.tracks.jsonl", "out.tracks.mot.txt", "out.tracks.csv", "out.overview.png", "out.manifest.json"
    }  # fmt: skip
    assert {thing["class"] for row in rows for thing in row["objects"]} <= {"plane", "missile", "bird"}


def test_both_engines_give_the_same_tracks(tmp_path: Path, model: Path, clip: Path) -> None:
    """The backend changes the speed, not the result."""
    options = ("--model", model, *SMALL_TILES, "--precision", "f32", "--formats", "mot")
    found = []
    for backend in ("openvino", "onnxruntime"):
        run_tilewatch("run", clip, "-o", tmp_path / backend, "--backend", backend, *options)
        found.append((tmp_path / backend / "clip" / "tracks.mot.txt").read_text())
    assert found[0] == found[1] != ""


def test_ids_restart_for_every_video(tmp_path: Path, model: Path) -> None:
    """Two videos of one call share the engine and nothing else: the same content gives the same rows."""
    first = make_clip(tmp_path / "a.mp4", Clip(frames=8))
    second = tmp_path / "b.mp4"
    second.write_bytes(first.read_bytes())
    run_tilewatch("run", first, second, "-o", tmp_path / "out", "--model", model, *SMALL_TILES, "--formats", "mot")
    rows = [(tmp_path / "out" / name / "tracks.mot.txt").read_text() for name in ("a", "b")]
    assert rows[0] == rows[1] != ""


def ids_in(rows: Path) -> set[int]:
    """Return the ids in a MOTChallenge file."""
    return {int(row.split(",")[1]) for row in rows.read_text().splitlines()}


@pytest.mark.parametrize(("clock", "go_on"), [(0, False), (1, True)])
def test_ids_go_on_over_the_segments_of_one_camera(tmp_path: Path, model: Path, clock: int, go_on: bool) -> None:
    """TRACK_ID_SCOPE=camera: new ids only; where the recorder's clock runs on, the same objects keep theirs."""
    clips = [
        make_clip(tmp_path / "a.mkv", Clip(frames=8)),
        make_clip(tmp_path / "b.mkv", Clip(frames=8, first_number=8, clock_seconds=clock)),
    ]
    bad = tmp_path / "broken.mkv"
    bad.write_bytes(b"no segment")
    out, options = tmp_path / "out", ("--model", model, *SMALL_TILES, "--formats", "mot")
    run_tilewatch("run", clips[0], bad, clips[1], "-o", out, *options, code=65, TRACK_ID_SCOPE="camera")
    first, second = (ids_in(out / name / "tracks.mot.txt") for name in "ab")
    assert min(first) == 1
    if go_on:
        assert first & second
    else:
        assert min(second) == max(first) + 1


def test_one_bad_file_does_not_stop_the_others(tmp_path: Path, model: Path, clip: Path) -> None:
    """The bad file is reported, the good one is done, the exit code tells."""
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"not a video at all" * 100)
    done = run_tilewatch("run", bad, clip, "-o", tmp_path / "out", "--model", model, *SMALL_TILES, code=65)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["status"] for line in lines] == ["failed", "complete"]
    assert left_in(tmp_path / "out") == {"clip"}


def test_interrupt_leaves_a_playable_file_of_what_was_done(tmp_path: Path, model: Path) -> None:
    """Ctrl-C: exit code 75, a whole result of the frames so far, marked as interrupted."""
    long = make_clip(tmp_path / "long.mp4", Clip(frames=3000, width=320, height=240))
    out = tmp_path / "out"
    arguments = command("run", long, "-o", out, "--model", model, *SMALL_TILES)
    with subprocess.Popen(
        arguments, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "first_frame_written" in line)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    manifest = json.loads((out / "long" / "manifest.json").read_text())
    written = manifest["accounts"]["frames"]["written"]
    assert process.returncode == 75
    assert left_in(out) == {"long"}
    assert manifest["status"] == "interrupted"
    assert 0 < written < 3000
    assert frames_of(out / "long" / "annotated.mp4") == written


def make_text_file(path: Path) -> Path:
    """Write prose under a video's name."""
    path.write_text("This is a letter, not a film.\n" * 50)
    return path


def make_headless(path: Path) -> Path:
    """Write an MP4 whose index was never written: a recording that was broken off."""
    whole = make_clip(path.with_suffix(".whole.mp4"), Clip(frames=12)).read_bytes()
    path.write_bytes(whole[: whole.index(b"moov") - 4])
    return path


def make_folder(path: Path) -> Path:
    """Make a folder."""
    path.mkdir()
    return path


def make_nothing(path: Path) -> Path:
    """Make nothing."""
    return path


BAD_INPUTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (make_nothing, "no such file"),
    "folder": (make_folder, "is a directory"),
    "text": (make_text_file, "is not a video file"),
    "headless": (make_headless, "no usable index"),
}


@pytest.mark.parametrize("kind", BAD_INPUTS)
def test_bad_input_is_one_line_with_a_remedy_and_leaves_nothing(tmp_path: Path, model: Path, kind: str) -> None:
    """Exit code 65, the file is named, no output folder appears."""
    make, words = BAD_INPUTS[kind]
    path = make(tmp_path / "bad.mp4")
    done = run_tilewatch("run", path, "-o", tmp_path / "out", "--model", model, *SMALL_TILES, code=65)
    said = done.stderr if kind == "missing" else json.loads(done.stdout)["error"]
    assert words in said
    assert str(path) in said
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


BAD_SETTINGS = {
    "confidence": (("--conf", "2"), 78, "CONFIDENCE_THRESHOLD=2: input should be less than or equal to 1"),
    "no model": (("--model", "{text}"), 78, "{text}"),
    "model absent": (("--model", "{tmp}/nowhere.onnx"), 78, "nowhere.onnx"),
    "model of another size": (("--tile-size", "96"), 78, "TILE_SIZE=64"),
    "unknown class": (("--classes", "gren"), 78, "did you mean green"),
    "labels absent": (("--labels", "{tmp}/nowhere.txt"), 78, "nowhere.txt"),
    "output not writable": (("-o", "/proc/tilewatch"), 78, "/proc"),
    "backend not there": (("--backend", "tensorrt"), 78, "BACKEND=tensorrt"),
    "unknown option": (("--colour", "red"), 64, "--colour"),
    "no number": (("--max-frames", "many"), 64, "--max-frames"),
    "two videos into one file": (("{text}", "-o", "{tmp}/one.mp4"), 64, "name a folder"),
}


@pytest.mark.parametrize("kind", BAD_SETTINGS)
def test_bad_settings_are_one_line_with_a_remedy_and_leave_nothing(
    tmp_path: Path, model: Path, clip: Path, kind: str
) -> None:
    """Exit code 78 for what is configured wrongly, 64 for what cannot be meant; nothing appears."""
    text = make_text_file(tmp_path / "letter.onnx")
    extra, code, words = BAD_SETTINGS[kind]
    places = {"text": str(text), "tmp": str(tmp_path)}
    options = ("-o", tmp_path / "out", "--model", model, *SMALL_TILES, *(word.format(**places) for word in extra))
    before = left_in(tmp_path)
    done = run_tilewatch("run", clip, *options, code=code)
    assert words.format(**places) in done.stderr
    assert "Traceback" not in done.stderr
    assert left_in(tmp_path) == before


def test_full_disk_is_said_and_leaves_nothing(tmp_path: Path, model: Path, clip: Path) -> None:
    """On a volume without space: exit code 75 (try again), the volume is named, no half result."""
    volume = tmp_path / "volume"
    volume.mkdir()
    if os.geteuid() != 0 or subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=64k", "none", volume], check=False, capture_output=True
    ).returncode:  # fmt: skip
        pytest.skip("mounting a small volume needs root")
    try:
        options = ("--model", model, *SMALL_TILES, "--formats", ALL_FORMATS)
        done = run_tilewatch("run", clip, "-o", volume / "out", *options, code=75)
        assert "no space left" in json.loads(done.stdout)["error"]
        assert left_in(volume) == set()
    finally:
        subprocess.run(["/bin/umount", volume], check=True)


def test_misspelt_name_in_env_file_stops_the_start(tmp_path: Path, model: Path, clip: Path) -> None:
    """./.env is read, and a typo in it is an error that names the right spelling."""
    (tmp_path / ".env").write_text("CONFIDENCE_TRESHOLD=0.4\n")
    done = run_tilewatch("run", clip, "--model", model, cwd=tmp_path, code=78)
    assert "did you mean CONFIDENCE_THRESHOLD?" in done.stderr


def test_input_video_is_taken_when_none_is_named(tmp_path: Path, model: Path, clip: Path) -> None:
    """The original system's INPUT_VIDEO, from the environment."""
    run_tilewatch("run", "-o", tmp_path / "out", *SMALL_TILES, INPUT_VIDEO=str(clip), MODEL_PATH=str(model))
    assert (tmp_path / "out" / "clip" / "annotated.mp4").is_file()
    assert "no video given" in run_tilewatch("run", code=64, cwd=tmp_path).stderr


def test_profile_prints_the_stage_table(tmp_path: Path, model: Path, clip: Path) -> None:
    """--profile says where the time went, stage by stage."""
    done = run_tilewatch("run", clip, "-o", tmp_path / "out", "--model", model, *SMALL_TILES, "--profile")
    assert all(stage in done.stderr for stage in ("decode", "tile", "infer", "track", "encode"))


@pytest.mark.parametrize(("setting", "name"), [("DECODER", "nvv4l2"), ("VIDEO_CODEC", "nvv4l2h264enc")])
def test_hardware_that_is_asked_for_and_not_there_ends_the_start(
    tmp_path: Path, model: Path, clip: Path, setting: str, name: str
) -> None:
    """78, with the setting, the reason and the way out; nothing is written."""
    out = tmp_path / "out"
    (tmp_path / ".env").write_text(f"{setting}={name}\n")
    done = run_tilewatch("run", clip, "-o", out, "--model", model, *SMALL_TILES, code=78, cwd=tmp_path)
    assert f"{setting}={name} does not work here (" in done.stderr
    assert f"set {setting}=auto" in done.stderr
    assert not list(out.glob("*"))
