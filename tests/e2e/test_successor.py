"""A daemon that hung and came back may complete a video that another daemon has taken over meanwhile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.clips import Clip, make_clip
from tests.support.daemon import Daemon
from tests.support.models import tiny_detector
from tests.support.program import run_tilewatch

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

OVERTAKEN = """
import sys
from tilewatch.cli import run_command_line
from tilewatch.errors import SinkError
from tilewatch.job import VideoJob
whole = VideoJob.run
async def overtaken(self):
    await whole(self)
    raise SinkError("the folder of work is gone")
VideoJob.run = overtaken
sys.exit(run_command_line(sys.argv[1:]))
"""
"""The program as its successor sees it: the result is there, complete, and its own attempt fails over it."""


def test_video_that_the_other_daemon_completed_is_done_and_not_failed(tmp_path: Path) -> None:
    """What counts is the result: it is there, of this content, model and settings."""
    model = tiny_detector(tmp_path / "tiny.onnx")
    with Daemon(tmp_path, model) as first:
        make_clip(first.videos / "long.mp4", Clip(frames=200))
        first.until("checkpoint_saved")
        first.kill()
    with Daemon(tmp_path, model, script=OVERTAKEN) as successor:
        assert successor.until("job_started")["attempt"] == 2
        successor.until("job_done", path="long.mp4")
        assert successor.stop() == 0
    assert "job_failed" not in successor.told()
    assert successor.results() == {"long"}
    told = json.loads(run_tilewatch("jobs", "list", "--json", OUTPUT_DIR=str(successor.out)).stdout)
    assert [job["state"] for job in told["jobs"]] == ["done"]
