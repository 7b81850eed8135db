"""Logs: one JSON object a line for machines, readable text for people, nothing below the level."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
import structlog

from tilewatch.settings import LogSettings
from tilewatch.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _reset() -> Iterator[None]:
    """Leave structlog as it was."""
    yield
    structlog.reset_defaults()


def said(settings: LogSettings) -> str:
    """Return what two events of different weight look like."""
    stream = io.StringIO()
    log.configure(settings, stream)
    with structlog.contextvars.bound_contextvars(stream="clip", stage="decode"):
        log.logger("test").info("stream_opened", width=640)
        log.logger("test").debug("detail_seen")
    return stream.getvalue()


def test_events_are_json_lines_when_nobody_watches() -> None:
    """One event a line, facts as keys, the task's context bound, the level respected."""
    (line,) = said(LogSettings()).splitlines()
    event = json.loads(line)
    assert {"event", "level", "timestamp", "room", "stream", "stage", "width"} == event.keys()
    assert (event["event"], event["stream"], event["width"]) == ("stream_opened", "clip", 640)


def test_events_are_readable_when_asked_for() -> None:
    """LOG_FORMAT=console is text for people."""
    text = said(LogSettings(format="console", level="debug"))
    assert "stream_opened" in text
    assert "detail_seen" in text
    assert not text.startswith("{")


def test_current_stderr_follows_a_redirection(monkeypatch: pytest.MonkeyPatch) -> None:
    """What replaces sys.stderr while a bar is shown gets the lines."""
    log.configure(LogSettings(format="json"))
    later = io.StringIO()
    monkeypatch.setattr("sys.stderr", later)
    log.logger("test").warning("seen")
    assert json.loads(later.getvalue())["event"] == "seen"
