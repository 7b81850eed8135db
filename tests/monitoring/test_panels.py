"""Every panel's query against a real Prometheus that scrapes a real service at work: it must return data.

The panels of the GPUs are in test_gpu_panels.
"""

from __future__ import annotations

import subprocess
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.camera import FaultyCamera
from tests.support.clips import Clip, make_clip
from tests.support.daemon import Daemon, free_port
from tests.support.dashboard import GPU, queries
from tests.support.models import tiny_detector
from tests.support.prometheus import Prometheus, needed
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.dashboard import Query

pytestmark = pytest.mark.timeout(180)

TOKEN = "open-sesame"  # noqa: S105 a pretended one


def shows(prometheus: Prometheus, query: Query) -> bool:
    """Tell whether a query has a value now."""
    return bool(prometheus.values(query.text))


def test_every_panel_shows_data(tmp_path: Path) -> None:
    """A video, a broken one and a camera that was lost once, asked for by token: no panel stays empty."""
    needed("prometheus")
    model, port = tiny_detector(tmp_path / "tiny.onnx"), free_port()
    (tmp_path / "videos").mkdir()
    make_clip(tmp_path / "videos" / "long.mp4", Clip(frames=3000, fps=Fraction(30)))
    settings: dict[str, Any] = {
        "METRICS_PORT": port,
        "METRICS_TOKEN": TOKEN,
        "METRICS_TARGET_FPS": 10,
        "MAX_STREAMS": 2,
        "LOG_LEVEL": "info",
        "STREAM_BACKOFF_SECONDS": 0.1,
        "STREAM_TIMEOUT_SECONDS": 1,
    }
    with (
        FaultyCamera() as camera,
        Daemon(tmp_path, model, SOURCES=f"gate={camera.address()}", **settings),
        Prometheus(tmp_path / "prometheus", [f"127.0.0.1:{port}"], token=TOKEN) as prometheus,
    ):
        missing = [query for query in queries() if GPU not in query.text]
        prometheus.await_value('tilewatch_stream_up{stream="gate"} == 1')
        camera.drop()
        broken = tmp_path / "videos" / "broken.mp4"
        broken.write_bytes(b"no video" * 1000)
        subprocess.run(["/bin/touch", "-d", "2 hours ago", broken], check=True)  # nothing more can be expected of it

        def all_shown() -> bool:
            missing[:] = [query for query in missing if not shows(prometheus, query)]
            return not missing

        try:
            wait_for(all_shown, "data in every panel")
        except AssertionError:
            pytest.fail("no data: " + "; ".join(f"{query.panel}: {query.text}" for query in missing))
        assert prometheus.values('up{job="tilewatch"}') == [1]
        assert prometheus.values("tilewatch_ready") == [1]
