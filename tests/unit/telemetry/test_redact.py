"""No credential gets out, whatever it looks like."""

from __future__ import annotations

import pytest

from tilewatch.telemetry.redact import redact


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("rtsp://admin:secret@10.0.0.7:554/s1", "rtsp://***@10.0.0.7:554/s1"),
        ("cannot open 'RTSP://admin:p@ss/w?rd@cam/1': timed out", "cannot open 'RTSP://***@cam/1': timed out"),
        ('{"a": "rtsp://u:\\"x@h/1", "b": "rtsps://v:y@i/2"}', '{"a": "rtsp://***@h/1", "b": "rtsps://***@i/2"}'),
        ("http://cam/v?user=admin&password=secret&ch=1", "http://cam/v?user=***&password=***&ch=1"),
        ("http://cam/v?Token=abc", "http://cam/v?Token=***"),
        ("rtsp://cam/stream", "rtsp://cam/stream"),
        ("mail ops@example.org about http://cam/x", "mail ops@example.org about http://cam/x"),
        ("no url, user@host", "no url, user@host"),
    ],
)
def test_credentials_of_urls_are_replaced(text: str, clean: str) -> None:
    """User, password and token go; host, path and everything else stay."""
    assert redact(text) == clean
