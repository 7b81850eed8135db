"""The image under the rights, mounts and limits of the Kubernetes manifests."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.clips import Clip, make_clip
from tests.support.models import tiny_detector
from tests.support.pods import Pod

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

SETTINGS = "TILE_SIZE=64\nTILE_OVERLAP=16\nSETTLE_SECONDS=0\nOUTPUT_FORMATS=jsonl,mot\nWATCH_RESCAN_SECONDS=1\n"


def test_pod_works_as_its_manifest_lets_it(tmp_path: Path, image: str) -> None:
    """Probes turn green, a video comes out, a changed ConfigMap is in force, and the end is a clean one."""
    with Pod(tmp_path, image, f"tilewatch-pod-{os.getpid()}", SETTINGS) as pod:
        os.chown(pod.folders["/output"], pod.user, pod.user)
        tiny_detector(pod.folders["/models"] / "model.onnx")
        pod.until("service_ready")
        assert [pod.answer(kind) for kind in ("startup", "liveness", "readiness")] == [200, 200, 200]
        make_clip(pod.folders["/videos"] / "a.mp4", Clip(frames=5))
        pod.until("job_done", path="a.mp4")
        pod.settings.update(f"{SETTINGS}CONFIDENCE_THRESHOLD=0.9\n")
        assert pod.until("settings_read")["change"] == "live"
        assert pod.stop() == 0
    result = pod.folders["/output"] / "a" / "tracks.jsonl"
    assert result.stat().st_uid == pod.user
