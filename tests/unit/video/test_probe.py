"""Which encoder is taken: hardware only where it is and works, software else, a named one or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tilewatch.errors import ConfigError
from tilewatch.video import decoders, probe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder that stands in for /dev, with nothing remembered of earlier probes."""
    monkeypatch.setattr(probe, "DEV", tmp_path)
    probe.pick_encoder.cache_clear()
    yield tmp_path
    probe.pick_encoder.cache_clear()


@pytest.mark.parametrize(
    ("present", "working", "expected", "tried"),
    [
        ([], {"h264_nvenc"}, "libx264", []),
        (["nvidia0"], {"h264_nvenc"}, "h264_nvenc", ["h264_nvenc"]),
        (["nvidia0"], set(), "libx264", ["h264_nvenc"]),
        (["nvidiactl"], {"h264_nvenc"}, "libx264", []),
        (["nvidia0", "video11"], {"h264_v4l2m2m"}, "h264_v4l2m2m", ["h264_nvenc", "h264_v4l2m2m"]),
    ],
)
def test_auto_takes_the_first_hardware_that_works_else_software(
    devices: Path,
    monkeypatch: pytest.MonkeyPatch,
    present: list[str],
    working: set[str],
    expected: str,
    tried: list[str],
) -> None:
    """What has no device is not even tried; what is found out is remembered."""
    trials: list[str] = []

    def trial(codec: str) -> str:
        trials.append(codec)
        return "" if codec in working else "no"

    monkeypatch.setattr(probe, "trial_apart", trial)
    for name in present:
        (devices / name).touch()
    assert [probe.pick_encoder("auto") for _ in range(3)] == [expected] * 3
    assert trials == tried


@pytest.mark.usefixtures("devices")
def test_named_encoder_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never a silent fall-back."""
    monkeypatch.setattr(probe, "trial_apart", lambda _: "Operation not permitted")
    with pytest.raises(ConfigError, match=r"VIDEO_CODEC=h264_nvenc does not work here \(Operation not permitted\)"):
        probe.pick_encoder("h264_nvenc")


@pytest.mark.parametrize(
    ("present", "refusals", "expected", "cause"),
    [
        ([], {}, "", "this machine has no hardware decoder"),
        (["nvidia0"], {"nvdec": "no such codec"}, "", "nvdec: no such codec"),
        (["nvidia0", "v4l2-nvdec"], {"nvdec": "no such codec", "nvv4l2": ""}, "nvv4l2", ""),
        (["nvidiactl", "nvhost-nvdec1"], {"nvdec": "", "nvv4l2": ""}, "nvv4l2", ""),
    ],
)
def test_decoder_is_the_first_that_is_there_and_works(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    present: list[str],
    refusals: dict[str, str],
    expected: str,
    cause: str,
) -> None:
    """What has no device is not even tried; why none works is known."""
    monkeypatch.setattr(decoders, "DEV", tmp_path)
    monkeypatch.setattr(decoders, "trial", refusals.__getitem__)
    decoders.best.cache_clear()
    for name in present:
        (tmp_path / name).touch()
    found = decoders.best()
    decoders.best.cache_clear()
    assert found == expected
    if not found:
        assert decoders.why_none() == cause
