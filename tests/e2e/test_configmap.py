"""Settings from a ConfigMap: the folder is laid as kubelet lays it, and changes as it changes it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.clips import Clip, make_clip
from tests.support.daemon import Daemon
from tests.support.models import tiny_detector

pytestmark = pytest.mark.timeout(180)


class ConfigMapVolume:
    """A folder whose `.env` leads through the link `..data` to a folder of its own for every state of the map.

    An update makes a new such folder and puts the link in its place by a rename; the files themselves, and the link
    `.env`, are never touched. (Kubernetes: pkg/volume/util/atomic_writer.go.)
    """

    def __init__(self, folder: Path, text: str) -> None:
        self._folder = folder
        self._states = 0
        folder.mkdir()
        self.update(text)
        self.file = folder / ".env"
        self.file.symlink_to(Path("..data", ".env"))

    def update(self, text: str) -> None:
        """Put another content in place, as a whole."""
        data = self._folder / "..data"
        before = data.resolve() if data.is_symlink() else None
        self._states += 1
        state = self._folder / f"..2024_05_03_{self._states}"
        state.mkdir()
        (state / ".env").write_text(text)
        link = self._folder / "..data_tmp"
        link.symlink_to(state.name)
        link.rename(data)
        if before:
            shutil.rmtree(before)


def test_changed_configmap_is_taken_over_by_the_running_service(tmp_path: Path) -> None:
    """A good change is in force, a bad one is refused while the old one stays, and the next good one is taken again."""
    volume = ConfigMapVolume(tmp_path / "config", "CONFIDENCE_THRESHOLD=0.3\n")
    model = tiny_detector(tmp_path / "tiny.onnx")
    with Daemon(tmp_path, model, arguments=("--env-file", str(volume.file))) as daemon:
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
