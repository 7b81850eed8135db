"""Settings from a ConfigMap: the folder is laid as kubelet lays it, and changes as it changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.clips import Clip, make_clip
from tests.support.configmap import ConfigMapVolume
from tests.support.daemon import Daemon
from tests.support.models import tiny_detector

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)


def test_changed_configmap_is_taken_over_by_the_running_service(tmp_path: Path) -> None:
    """A good change is in force, a bad one is refused while the old one stays, and the next good one is taken again."""
    volume = ConfigMapVolume(tmp_path / "config", "CONFIDENCE_THRESHOLD=0.3\n")
    model = tiny_detector(tmp_path / "tiny.onnx")
    (tmp_path / ".env").symlink_to(volume.file)
    with Daemon(tmp_path, model) as daemon:
        daemon.until("service_ready")
        volume.update("CONFIDENCE_THRESHOLD=0.9\n")
        assert daemon.until("settings_read")["change"] == "live"
        volume.update("CONFIDENCE_TRESHOLD=0.4\n")
        assert "did you mean CONFIDENCE_THRESHOLD?" in daemon.until("settings_refused")["error"]
        volume.update("CONFIDENCE_THRESHOLD=0.4\n")
        daemon.until("settings_read")
        make_clip(daemon.videos / "a.mp4", Clip(frames=5))
        daemon.until("job_done", frames=5)
        assert daemon.stop() == 0
        manifest = (daemon.out / "a" / "manifest.json").read_text()
    assert '"CONFIDENCE_THRESHOLD": 0.4' in manifest
