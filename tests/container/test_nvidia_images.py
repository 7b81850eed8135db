"""The images for NVIDIA over stand-ins for their bases: what can be seen without NVIDIA's registry and a device.

They take minutes to build, so that they are no part of `make container`: `make nvidia-images` builds and tests them.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.clips import Clip, make_clip
from tests.support.compose import QUICK, Stack
from tests.support.containers import LOCKED_DOWN, USER, build, docker, inspected, installed, layers, listed, writable
from tests.support.models import tiny_detector
from tests.support.nvidia_base import make_base

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(1800)

SWITCH = "TILEWATCH_NVIDIA_IMAGES"
FRAMES = 12
OURS_MEGABYTES = 450
"""What dependencies, model and package may take, unpacked."""
SYSTEM_MEGABYTES = {"cuda": 60, "jetson": 70}
"""What the system's packages may take beside them: Python and TensorRT's bindings, or GStreamer."""
WITHOUT_RUNTIME = {
    "cuda": "services: {tilewatch: {deploy: !reset null}}",
    "jetson": "services: {tilewatch: {runtime: !reset null}}",
}
"""What takes NVIDIA's runtime out of the Compose files."""
COMPILE = """
from tilewatch.engines.cuda.binding import load
from tilewatch.engines.cuda.kernels import compiled
cuda = load()
print(*(len(compiled(cuda, *capability)) > 1000 for capability in ((8, 7), (8, 9), (9, 0))))
"""
"""Compiles the kernels for Orin, Ada and Hopper."""


@pytest.fixture(scope="module", params=["cuda", "jetson"])
def target(request: pytest.FixtureRequest) -> str:
    """Return a target of Dockerfile.multi."""
    if os.environ.get(SWITCH) != "1":
        pytest.skip(f"built for minutes by `make nvidia-images` ({SWITCH}=1)")
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where what both bases are built from is put, once."""
    return tmp_path_factory.mktemp("bases") / "context"


@pytest.fixture(scope="module")
def nvidia_image(engine: None, target: str, context: Path) -> str:
    """Return the image, built over a stand-in for its base with the build arguments' defaults but for that base."""
    del engine
    start = time.monotonic()
    base = make_base(target, context)
    based, tag = time.monotonic(), f"tilewatch:test-{target}"
    build(tag, target=target, arguments=[f"{target.upper()}_IMAGE={base}"])
    seconds = (based - start, time.monotonic() - based)
    print("{}: base made in {:.0f} s, image built in {:.0f} s, what was cached included".format(target, *seconds))
    return tag


def said(image: str, *arguments: object) -> str:
    """Run the image with nothing granted, whatever comes of it; return what it printed and its exit code."""
    name = f"tilewatch-test-{secrets.token_hex(6)}"
    try:
        text = docker("run", "--name", name, *LOCKED_DOWN, image, *arguments, check=False)
        return f"{text}\nexit code {inspected(name)['State']['ExitCode']}"
    finally:
        docker("rm", "--force", "--volumes", name, check=False)


def test_video_is_processed_whole_on_the_processor(nvidia_image: str, tmp_path: Path) -> None:
    """With `BACKEND=onnxruntime` and no device, no network, no capability, a read-only root, a user without rights."""
    clip = make_clip(tmp_path / "clip.mp4", Clip(frames=FRAMES, audio="aac"))
    mounts = ("-v", f"{clip}:/videos/clip.mp4:ro", "-v", f"{writable(tmp_path / 'out')}:/output")
    options = ("--network=none", *mounts, "-e", "BACKEND=onnxruntime", "-e", "OUTPUT_FORMATS=video,jsonl,mot,csv,coco")
    docker("run", "--rm", *LOCKED_DOWN, *options, nvidia_image, "run", "/videos/clip.mp4")
    folder = tmp_path / "out" / "clip"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["status"], manifest["accounts"]["frames"]["written"]) == ("complete", FRAMES)
    assert manifest["engine"]["backend"] == "onnxruntime"
    assert f"{folder.stat().st_uid}:{folder.stat().st_gid}" == USER


def test_service_works_as_compose_starts_it(nvidia_image: str, target: str, tmp_path: Path) -> None:
    """The target's own Compose file but for NVIDIA's runtime: healthy, a video done, stopped with code 0."""
    override = WITHOUT_RUNTIME[target]
    with Stack(
        tmp_path / "checkout", nvidia_image, f"tilewatch-{secrets.token_hex(4)}", target=target, override=override
    ) as stack:
        tiny_detector(stack.folder / "models" / "model.onnx")
        stack.settle(**QUICK, BACKEND="onnxruntime")
        make_clip(stack.videos / "clip.mp4", Clip(frames=FRAMES))
        stack.up()
        assert stack.until("job_done", path="clip.mp4")["frames"] == FRAMES
        assert stack.probe().returncode == 0
        assert stack.status()["state"] == "ready"
        stack.compose("stop", "tilewatch")
        assert stack.state()["State"]["ExitCode"] == 0


def test_without_a_device_it_says_so_and_ends(nvidia_image: str) -> None:
    """TensorRT asked for: the service ends with 78, building an engine with 70, doctor with 78; all name the device."""
    model = "/usr/share/tilewatch/models/yolov4-tiny-640-1.onnx"
    mounted = ("--tmpfs=/output:uid=10001", "-e", "BACKEND=tensorrt", "-e", f"MODEL_PATH={model}", nvidia_image)
    serving = said(*mounted, "serve")
    assert "BACKEND=tensorrt needs an NVIDIA device" in serving
    assert serving.endswith("exit code 78")
    building = said(*mounted, "model", "build", model, "-o", "/output/model.engine")
    assert "there is no NVIDIA device to build for" in building
    assert building.endswith("exit code 70")
    doctor = " ".join(said(*mounted, "doctor").split())
    assert "BACKEND=tensorrt needs an NVIDIA device" in doctor
    assert "tensorrt tensorrt 10." in doctor
    assert doctor.endswith("exit code 78")


def test_health_check_says_that_nothing_answers(nvidia_image: str) -> None:
    """The probe runs where no service does."""
    probe = ("--entrypoint", "/usr/libexec/tilewatch/docker-healthcheck.sh", nvidia_image)
    text = said(*probe)
    assert "no answer" in text
    assert text.endswith("exit code 1")


def test_kernels_compile_with_the_library_of_the_base(nvidia_image: str) -> None:
    """The base's NVRTC is found, read-only root and all; it needs no device."""
    assert docker("run", "--rm", *LOCKED_DOWN, "--entrypoint=python", nvidia_image, "-c", COMPILE) == "True True True"


def test_tensorrt_is_the_system_s(nvidia_image: str) -> None:
    """Python finds the bindings where NVIDIA's package puts them; only their libraries are missing here."""
    text = said("--entrypoint=python", nvidia_image, "-c", "import tensorrt")
    assert "/usr/lib/python3.10/dist-packages/tensorrt/" in text
    assert "libnvinfer.so.10: cannot open shared object file" in text


def test_jetson_has_the_elements_around_its_codecs(nvidia_image: str, target: str) -> None:
    """GStreamer's own elements load with a registry in the cache; NVIDIA's come from the host."""
    if target == "jetson":
        script = "for e in fdsrc fdsink gdppay gdpdepay h264parse h265parse; do gst-inspect-1.0 --exists $e; done"
        docker("run", "--rm", *LOCKED_DOWN, "--entrypoint=sh", nvidia_image, "-euc", script)


def test_image_starts_ours_and_nothing_of_the_base_s(nvidia_image: str, target: str) -> None:
    """Entry point, user and what NVIDIA's runtime reads; the version comes without a device."""
    config = inspected(nvidia_image)["Config"]
    assert (config["Entrypoint"], config["Cmd"], config["User"]) == (["tini", "--", "tilewatch"], ["serve"], USER)
    assert config["Labels"]["io.tilewatch.target"] == target
    assert "NVIDIA_VISIBLE_DEVICES=all" in config["Env"]
    assert said(nvidia_image, "--version").startswith("tilewatch ")


def test_bill_of_materials_names_what_is_installed(nvidia_image: str) -> None:
    """The system's TensorRT is a package apart: `jetson` lists it, as its base has it while the bill is written."""
    found, named = installed(nvidia_image), listed(nvidia_image)
    foreign = {package for package in found if package.startswith("tensorrt")}
    assert len(foreign) == 1
    assert named - foreign == found - foreign


def test_layers_are_small(nvidia_image: str, target: str) -> None:
    """What is pulled besides the base: the system's packages apart, which over NVIDIA's own base may be there."""
    steps = layers(nvidia_image)
    places = [place for place, layer in enumerate(steps) if "system.sh" in layer.step or "gstreamer.sh" in layer.step]
    system = sum(steps[place].size for place in places) / 1e6
    ours = sum(layer.size for layer in steps[places[-1] + 1 :]) / 1e6
    print(f"{target}: ours {ours:.0f} MB (bar: {OURS_MEGABYTES} MB), system's packages {system:.0f} MB")
    assert ours < OURS_MEGABYTES
    assert system < SYSTEM_MEGABYTES[target]
