"""What the doctor says of machines, folders and engine files, laid out in a temporary folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.nvidia import card_of
from tests.support.orin import make_orin
from tilewatch.doctor import codecs, folders, gpus, inference, machine
from tilewatch.doctor.finding import Finding, Section, bad, doubtful, good, verdict
from tilewatch.engines.engine_card import write_card
from tilewatch.jobs import mounts
from tilewatch.settings import Settings, load
from tilewatch.video import decoders

if TYPE_CHECKING:
    from pathlib import Path


def found(section: Section, name: str) -> Finding:
    """Return a section's finding of that name."""
    return next(finding for finding in section.findings if finding.name == name)


def settings(**values: object) -> Settings:
    """Return the defaults with some values by environment name."""
    return load(overrides=values)


def test_verdict_names_settings_before_devices() -> None:
    """0 when nothing is bad."""
    device, setting = bad("a", "b", "c", device=True), bad("a", "b", "c")
    assert verdict([Section("", (good("a", "b"), doubtful("a", "b", "c")))]) == 0
    assert verdict([Section("", (device,))]) == 70
    assert verdict([Section("", (device,)), Section("", (setting,))]) == 78


def test_jetson_is_named_with_its_jetpack(tmp_path: Path) -> None:
    """Model of the board, release of its system."""
    text = found(machine.examine(make_orin(tmp_path)), "platform").text
    assert text == "NVIDIA Jetson Orin NX Engineering Reference Developer Kit, L4T 36.4.3 (JetPack 6)"


@pytest.mark.parametrize(("line", "said"), [("# R35 (release), REVISION: 4.1, GCID", "L4T 35.4.1 (JetPack 5)"),
                                            ("# R99 (release), REVISION: 1.0", "L4T 99.1.0"),
                                            ("hello", "L4T of an unknown release")])  # fmt: skip
def test_release_of_a_jetson(line: str, said: str) -> None:
    """Known and unknown ones."""
    assert machine.jetpack(line) == said


def test_machine_without_a_gpu_is_not_ill(tmp_path: Path) -> None:
    """One quiet line."""
    (finding,) = gpus.examine(tmp_path).findings
    assert finding.state == "absent"


def test_card_without_a_driver_is_bad_and_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device file, and nothing behind it."""
    monkeypatch.setattr(gpus, "cards", lambda: "the driver gave no answer for 10 s")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidia0").touch()
    driver = found(gpus.examine(tmp_path), "driver")
    assert (driver.state, driver.exit_code) == ("bad", 70)
    assert "gpus: all" in driver.remedy


def test_driver_that_hangs_costs_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked in a process of its own."""
    monkeypatch.setattr(gpus, "PATIENCE_SECONDS", 0.001)
    assert gpus.cards() == "the driver gave no answer for 0.001 s"


def test_missing_watched_folder_is_bad_where_it_was_named(tmp_path: Path) -> None:
    """The default one need not be there: `run` works without."""
    named = found(folders.examine(settings(WATCH_DIR=tmp_path / "none", OUTPUT_DIR=tmp_path)), "WATCH_DIR")
    assert (named.state, named.exit_code) == ("bad", 78)
    assert "WATCH_DIR" in named.remedy


def test_output_that_is_a_file_is_bad(tmp_path: Path) -> None:
    """Nothing can be written there."""
    (tmp_path / "output").touch()
    assert found(folders.examine(settings(OUTPUT_DIR=tmp_path / "output")), "OUTPUT_DIR").exit_code == 78


def test_output_is_left_as_it_was(tmp_path: Path) -> None:
    """A folder that is not there is only looked for."""
    finding = found(folders.examine(settings(OUTPUT_DIR=tmp_path / "a/b")), "OUTPUT_DIR")
    assert finding.state == "good"
    assert list(tmp_path.iterdir()) == []


def test_too_little_room_is_bad(tmp_path: Path) -> None:
    """Against DISK_RESERVE."""
    room = found(folders.examine(settings(OUTPUT_DIR=tmp_path, DISK_RESERVE=10**18)), "room")
    assert (room.state, room.exit_code) == ("bad", 78)
    assert "DISK_RESERVE" in room.remedy


def test_few_inotify_watches_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that raises them."""
    (tmp_path / "max_user_watches").write_text("100\n")
    monkeypatch.setattr(folders, "INOTIFY", tmp_path)
    monkeypatch.setattr(mounts, "is_deaf", lambda _: False)
    events = found(folders.examine(settings(OUTPUT_DIR=tmp_path, WATCH_DIR=tmp_path)), "new files")
    assert events.state == "doubtful"
    assert "sysctl fs.inotify.max_user_watches" in events.remedy


def test_model_that_is_not_there_is_bad(tmp_path: Path) -> None:
    """MODEL_PATH is named."""
    model = found(inference.examine(settings(MODEL_PATH=tmp_path / "none.onnx")), "model")
    assert (model.state, model.exit_code) == ("bad", 78)


CARD = {"compute_capability": "8.7", "device_name": "Orin NX", "tensorrt_version": "10.7.0.23"}
"""Of an engine's card: what it was built for."""


@pytest.mark.parametrize(
    ("here", "runtime", "state", "words"),
    [
        ("8.7", "tensorrt 10.7.0", "good", "built for Orin NX"),
        ("8.9", "tensorrt 10.7.0", "bad", "here is 8.9"),
        ("8.7", "tensorrt 10.13.0", "bad", "here is 10.13.0"),
    ],
)
def test_engine_file_is_held_against_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: str, runtime: str, state: str, words: str
) -> None:
    """Architecture and TensorRT's version have to be those of its card; the remedy is to build it here."""
    engine = tmp_path / "model.engine"
    engine.write_bytes(b"engine")
    write_card(engine, card_of(engine, **CARD))
    card = gpus.Card(name="GPU", memory=None, compute_capability=here)
    monkeypatch.setattr(gpus, "cards", lambda: gpus.Cards(driver="550", cuda="12.6", cards=(card,)))
    monkeypatch.setattr(gpus, "installed", lambda *_: runtime)
    finding = found(inference.examine(settings(MODEL_PATH=engine)), "engine")
    assert finding.state == state
    assert words in finding.text
    assert ("model build" in finding.remedy) == (state == "bad")


def test_engine_file_without_a_card_is_told_of(tmp_path: Path) -> None:
    """Nobody knows what it was built for."""
    engine = tmp_path / "model.engine"
    engine.write_bytes(b"engine")
    assert found(inference.examine(settings(MODEL_PATH=engine)), "engine").state == "doubtful"


def test_named_decoder_that_does_not_work_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    """DECODER and VIDEO_CODEC."""
    monkeypatch.setattr(decoders, "trial", lambda _: "no such element")
    finding = found(codecs.examine(settings(DECODER="nvv4l2")), "DECODER")
    assert (finding.state, finding.exit_code) == ("bad", 78)
    assert "no such element" in finding.text


def test_software_codecs_work_here() -> None:
    """By a real trial."""
    section = codecs.examine(settings(DECODER="software", VIDEO_CODEC="libx264"))
    assert found(section, "DECODER").state == found(section, "VIDEO_CODEC").state == "good"


def test_every_bad_or_doubtful_line_says_what_to_do() -> None:
    """There is no finding of these states without a remedy."""
    with pytest.raises(TypeError):
        bad("a", "b")  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        doubtful("a", "b")  # type: ignore[call-arg]


def test_local_camera_that_is_not_there_is_doubtful_and_says_what_to_do() -> None:
    """By its name, beside what the service would say; a camera on the network is not looked for."""
    section = codecs.examine(settings(SOURCES="yard=/dev/null, porch=/dev/none, rtsp://127.0.0.1:1/live"))
    assert found(section, "camera yard").state == "doubtful"
    assert found(section, "camera yard").text == "gives no pictures"
    assert found(section, "camera porch").text == "there is no such device"
    assert found(section, "camera porch").remedy.startswith("plug it in")
    assert not [finding for finding in section.findings if finding.name == "camera camera-3"]
