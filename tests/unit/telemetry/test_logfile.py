"""The log's copy on disk: bounded, complete JSON, and never a reason to stop."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING

import pytest
import structlog

from tilewatch.errors import ConfigError
from tilewatch.settings import LogSettings
from tilewatch.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _reset() -> Iterator[None]:
    """Leave both kinds of logging as they were."""
    yield
    log.configure(LogSettings())
    structlog.reset_defaults()


def events(path: Path) -> list[dict[str, object]]:
    """Return what a log file holds."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_file_holds_json_whatever_the_stream_shows(tmp_path: Path) -> None:
    """A person at the terminal, a machine at the file; both get every event, neither a password."""
    stream = io.StringIO()
    log.configure(LogSettings(format="console", dir=tmp_path / "logs"), stream)
    with structlog.contextvars.bound_contextvars(stream="gate"):
        log.logger("video").warning("stream_lost", url="rtsp://admin:secret@cam/1")
    (event,) = events(tmp_path / "logs" / "tilewatch.log")
    assert (event["event"], event["stream"], event["url"]) == ("stream_lost", "gate", "rtsp://***@cam/1")
    assert "rtsp://***@cam/1" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_files_are_bounded_in_size_and_number(tmp_path: Path) -> None:
    """LOG_MAX_BYTES times LOG_KEEP and one, whatever happens; the latest event is in the file without a number."""
    log.configure(LogSettings(dir=tmp_path, max_bytes=10_000, keep=2), io.StringIO())
    for number in range(500):
        log.logger("test").info("thing_happened", number=number, filler="x" * 100)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["tilewatch.log", "tilewatch.log.1", "tilewatch.log.2"]
    assert all(file.stat().st_size <= 10_000 for file in files)
    assert events(files[0])[-1]["number"] == 499


def test_folder_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    """A setting that cannot be is said at once, with the remedy."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"LOG_DIR=.*file.*unset it") as told:
        log.configure(LogSettings(dir=tmp_path / "file"), io.StringIO())
    assert told.value.exit_code == 78


def test_lost_file_is_begun_anew_and_a_lost_folder_told_once(tmp_path: Path) -> None:
    """Somebody tidies up: the service goes on, says it once, and writes again when it can."""
    stream, folder = io.StringIO(), tmp_path / "logs"
    log.configure(LogSettings(dir=folder), stream)
    file = folder / "tilewatch.log"
    log.logger("test").info("first")
    file.unlink()
    log.logger("test").info("second")
    assert [event["event"] for event in events(file)] == ["second"]
    file.unlink()
    folder.rmdir()
    log.logger("test").info("third")
    log.logger("test").info("fourth")
    assert stream.getvalue().count("log_file_failed") == 1
    folder.mkdir()
    log.logger("test").info("fifth")
    assert [event["event"] for event in events(file)] == ["fifth"]


def open_camera(password: str) -> None:
    """Fail as a library does: with the address in the text."""
    raise OSError("cannot open rtsp://u:swordfish@cam/1", len(password))


def test_tracebacks_hold_no_values_of_variables() -> None:
    """An exception is told with its place and text; what the variables held stays inside."""
    for form in ("json", "console"):
        stream = io.StringIO()
        log.configure(LogSettings(format=form), stream)
        password = "open " + "sesame"
        try:
            open_camera(password)
        except OSError:
            log.logger("test").exception("opening_failed")
        assert "cannot open rtsp://***@cam/1" in stream.getvalue()
        assert "open_camera" in stream.getvalue()
        assert "open sesame" not in stream.getvalue()
        assert "swordfish" not in stream.getvalue()


def test_what_libraries_say_is_an_event_like_ours() -> None:
    """A server's error is JSON among JSON, below a warning it is nothing; setting up twice says it once."""
    stream = io.StringIO()
    log.configure(LogSettings(), io.StringIO())
    log.configure(LogSettings(), stream)
    logging.getLogger("uvicorn.error").warning("address %s is odd", "x")
    logging.getLogger("uvicorn.error").info("started")
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert (event["event"], event["room"], event["text"]) == ("library_reported", "uvicorn.error", "address x is odd")
    assert event["level"] == "warning"
