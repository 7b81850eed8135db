"""Settings: the names people type, bounds that speak, files that hold no unknown name."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.program import environment
from tilewatch import settings_docs
from tilewatch.errors import ConfigError
from tilewatch.settings import env_names, load
from tilewatch.sinks.manifest import settings_values

ROOT = Path(__file__).resolve().parents[2]


def env(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    """Write a .env file."""
    path = tmp_path / ".env"
    path.write_bytes(text.encode(encoding))
    return path


def test_command_line_wins_over_environment_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Precedence: option, environment, .env, default."""
    file = env(tmp_path, "TILE_SIZE=320\nTILE_OVERLAP=64\nCONFIDENCE_THRESHOLD=0.5\n")
    monkeypatch.setenv("TILE_OVERLAP", "32")
    monkeypatch.setenv("CONFIDENCE_THRESHOLD", "0.4")
    found = load(overrides={"CONFIDENCE_THRESHOLD": 0.3, "CLASSES": None}, env_file=file)
    assert (found.tile.size, found.tile.overlap, found.detect.confidence_threshold) == (320, 32, 0.3)
    assert found.detect.iou_threshold == 0.5


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("CONFIDENCE_THRESHOLD=0.4\r\nENABLE_TRACKING=false\r\n", "utf-8"),
        ("CONFIDENCE_THRESHOLD=0.4\nENABLE_TRACKING=false\n", "utf-8-sig"),
        ("CONFIDENCE_THRESHOLD='0.4'  # note\nexport ENABLE_TRACKING=\"false\"\n", "utf-8"),
        ("\nCONFIDENCE_THRESHOLD = 0.4\nENABLE_TRACKING=no\nTILE_SIZE=   # note\nCOMPOSE_PROFILES=cpu\n", "utf-8"),
    ],
)
def test_env_file_is_read_however_it_was_saved(tmp_path: Path, text: str, encoding: str) -> None:
    """CRLF, BOM, quotes, export, comments, blanks, and names of the tools beside us are no trap."""
    found = load(env_file=env(tmp_path, text, encoding))
    assert found.detect.confidence_threshold == 0.4
    assert found.tracking.enable_tracking is False
    assert found.tile.size == 640


def test_misspelt_name_in_the_file_stops_with_the_nearest_right_one(tmp_path: Path) -> None:
    """A typo is never silently a default."""
    with pytest.raises(ConfigError, match=r"unknown setting CONFIDENCE_TRESHOLD: did you mean CONFIDENCE_THRESHOLD\?"):
        load(env_file=env(tmp_path, "CONFIDENCE_TRESHOLD=0.4\n"))


def test_name_of_ours_behind_a_prefix_is_unknown(tmp_path: Path) -> None:
    """Compose's own names begin with TILEWATCH_; a setting that does would have no effect."""
    load(env_file=env(tmp_path, "TILEWATCH_USER=1000:1000\n"))
    with pytest.raises(ConfigError, match=r"TILEWATCH_TILE_SIZE: did you mean TILE_SIZE\?"):
        load(env_file=env(tmp_path, "TILEWATCH_TILE_SIZE=320\n"))


def test_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    """A settings file that was asked for must be there."""
    with pytest.raises(ConfigError, match=r"nowhere\.env: the settings file cannot be read"):
        load(env_file=tmp_path / "nowhere.env")


AS_NOBODY = """
import os, sys
from pathlib import Path
from tilewatch.errors import ConfigError
from tilewatch.settings import load, present
load()
if os.getuid() == 0:
    os.setuid(65534)
try:
    load(env_file=present(Path(sys.argv[1])))
except ConfigError as error:
    print(error)
"""
"""The interpreter itself may lie where only root may go: the user changes once it runs."""


def test_folder_that_may_not_be_entered_is_named() -> None:
    """A checkout made under umask 077: no file is what is wrong, and there may not even be one."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        closed = Path(folder, "checkout")
        (closed / "config").mkdir(parents=True)
        closed.chmod(0o600)
        command = [sys.executable, "-c", AS_NOBODY, str(closed / "config" / ".env")]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
        closed.chmod(0o700)
    assert f"may not enter {closed}: run `chmod a+rx` on that folder" in done.stdout
    assert "remove" not in done.stdout


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("CONFIDENCE_THRESHOLD", "2", "CONFIDENCE_THRESHOLD=2: input should be less than or equal to 1"),
        ("CONFIDENCE_THRESHOLD", "nan", "CONFIDENCE_THRESHOLD=nan: input should be a finite number"),
        ("TILE_SIZE", "500", "TILE_SIZE=500: input should be a multiple of 32"),
        ("TILE_OVERLAP", "400", "TILE_OVERLAP=400 is more than half of TILE_SIZE=640"),
        ("TILE_ROI", "1,2 3,4", "TILE_ROI=1,2 3,4: a polygon is three or more points"),
        ("TILE_ROI", "a,b c,d e,f", "a polygon is three or more points"),
        ("OUTPUT_FORMATS", "video,avi", "OUTPUT_FORMATS=avi: input should be 'video', 'jsonl'"),
        ("TRACK_LOW", "0.9", "TRACK_LOW=0.9 is above the score of boxes matched first (0.25)"),
        ("BACKEND", "cuda", "BACKEND=cuda: input should be 'auto', 'openvino'"),
    ],
)
def test_value_out_of_bounds_names_setting_value_and_bound(name: str, value: str, message: str) -> None:
    """The complaint is one line a person can act on."""
    with pytest.raises(ConfigError) as caught:
        load(overrides={name: value})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tracker_thresholds_follow_the_confidence_unless_set() -> None:
    """Who asks for objects of 0.4 sees those; the tracker's own floor stays below it."""
    found = load(overrides={"CONFIDENCE_THRESHOLD": 0.4, "TRACK_NEW": 0.7})
    assert (found.track_high, found.track_new, found.score_floor) == (0.4, 0.7, 0.1)
    assert load(overrides={"ENABLE_TRACKING": False}).score_floor == 0.25


def test_every_setting_says_what_it_is_for() -> None:
    """A knob without a reason is not one."""
    assert [name for name, (_, _, field) in env_names().items() if not field.description] == []


@pytest.mark.parametrize(
    ("path", "text"),
    [(".env.example", settings_docs.as_env()), ("docs/CONFIGURATION.md", settings_docs.as_markdown())],
)
def test_generated_documents_equal_the_model(path: str, text: str) -> None:
    """`make docs` was run: what is documented is what there is."""
    assert (ROOT / path).read_text(encoding="utf-8") == text


def test_env_example_is_a_valid_settings_file_with_the_defaults(tmp_path: Path) -> None:
    """Taking every '#' off the example changes nothing."""
    lines = settings_docs.as_env().splitlines()
    active = [line[2:] for line in lines if line.startswith("# ") and line[2:].split("=")[0] in env_names()]
    assert len(active) == len(env_names())
    assert load(env_file=env(tmp_path, "\n".join(active))) == load()


def test_refused_secret_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the setting; what was typed stays out of the log."""
    monkeypatch.setenv("METRICS_TOKEN", "hush")
    with pytest.raises(ConfigError, match=r"^METRICS_TOKEN=\*\*\*: .*8 "):
        load()


def test_cameras_are_named_or_numbered_and_devices_are_cameras_too() -> None:
    """SOURCES: name=address, a bare address, a number for a local device."""
    words = "gate=rtsp://user:p%2Cw=1@10.0.0.5/live?x=y, RTSPS://cam.example/2 ,0, roof_2=/dev/video3"
    cameras = load(overrides={"SOURCES": words}).source.sources
    assert [(camera.name, camera.address.get_secret_value()) for camera in cameras] == [
        ("gate", "rtsp://user:p%2Cw=1@10.0.0.5/live?x=y"),
        ("camera-2", "RTSPS://cam.example/2"),
        ("camera-3", "/dev/video0"),
        ("roof_2", "/dev/video3"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rtsp://a:secret@x/1, http://b:secret@x/2", "source 2 is none of name=rtsp://"),
        ("rtsp://a:secret@x/1, rtsp:secret", "source 2 is none of"),
        ("gate north=rtsp://a:secret@x/1", "source 1 is none of"),
        ("gäte=rtsp://a:secret@x/1", "the name of source 1 is no name"),
        ("file-1=rtsp://a:secret@x/1", "not beginning with file-"),
        ("a=rtsp://a:secret@x/1,A=rtsp://b:secret@x/2", "several sources go by the name a"),
        ("camera-2=rtsp://a:secret@x/1,rtsp://b:secret@x/2", "several sources go by the name camera-2"),
    ],
)
def test_unusable_camera_is_refused_without_telling_its_address(
    text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The complaint names the position and the rule, never the text with the password."""
    monkeypatch.setenv("SOURCES", text)
    with pytest.raises(ConfigError, match=said) as caught:
        load()
    assert "secret" not in f"{caught.value!r} {caught.value}"


def test_addresses_of_cameras_stay_hidden() -> None:
    """Neither text nor JSON of the settings tells them."""
    settings = load(overrides={"SOURCES": "gate=rtsp://user:pa55word@x/1"})
    assert "pa55word" not in f"{settings!r} {settings.model_dump_json()} {settings_values(settings)}"


def test_camera_counts_as_lost_well_before_the_process_counts_as_hung() -> None:
    """A camera that stalls must not end the process."""
    with pytest.raises(ConfigError, match="STREAM_TIMEOUT_SECONDS=10 is more than half of STALL_SECONDS=15"):
        load(overrides={"SOURCES": "rtsp://x/1", "STALL_SECONDS": 15})
    load(overrides={"STALL_SECONDS": 15})
