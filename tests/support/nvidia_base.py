"""Images that stand in for NVIDIA's, over which ours are built where NVIDIA's registry cannot be reached."""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.containers import docker
from tests.support.program import ROOT

RECIPE = ROOT / "tests" / "container" / "nvidia_base"
PYENV = Path.home() / ".pyenv" / "versions"
UNUSED = ("site-packages", "test", "tests", "config-*", "__pycache__", "idlelib", "tkinter")


def arguments() -> dict[str, str]:
    """Return the build arguments of Dockerfile.multi with their defaults."""
    return dict(re.findall(r"^ARG (\w+)=(.*)$", (ROOT / "Dockerfile.multi").read_text(), re.MULTILINE))


def make_base(target: str, folder: Path) -> str:
    """Build the stand-in for a target's base and return its name; skips where what it is made of is missing."""
    defaults = arguments()
    if not folder.exists():
        folder.mkdir()
        _copy_python(folder / "python")
        _copy_nvrtc(folder / "cuda")
        _fetch_bindings(folder, defaults["TENSORRT_VERSION"].split("-")[0])
        for path in RECIPE.iterdir():
            shutil.copy(path, folder)
    name = f"tilewatch-nvidia-base:{target}"
    given = {"BASE": defaults["PYTHON_IMAGE"], "TENSORRT_VERSION": defaults["TENSORRT_VERSION"]}
    options = [f"--build-arg={key}={value}" for key, value in given.items()]
    docker("build", "--target", target, "-t", name, *options, folder, timeout=300)
    return name


def _copy_python(target: Path) -> None:
    """Copy a Python 3.10 of this machine, without what is not looked for in it."""
    found = shutil.which("python3.10", path=":".join(str(path) for path in sorted(PYENV.glob("3.10.*/bin"))))
    if found is None:
        pytest.skip("no Python 3.10 of pyenv on this machine, which is Ubuntu 22.04's")
    prefix = Path(found).parent.parent
    for part in ("bin", "lib", "include"):
        (target / part).mkdir(parents=True)
    shutil.copy(found, target / "bin")
    for library in prefix.glob("lib/libpython3.10.so*"):
        shutil.copy(library, target / "lib", follow_symlinks=False)
    shutil.copytree(
        prefix / "lib" / "python3.10", target / "lib" / "python3.10", ignore=shutil.ignore_patterns(*UNUSED)
    )
    shutil.copytree(prefix / "include" / "python3.10", target / "include" / "python3.10")


def _copy_nvrtc(target: Path) -> None:
    """Copy CUDA's compiler from its package."""
    spec = importlib.util.find_spec("nvidia.cuda_nvrtc") if importlib.util.find_spec("nvidia") else None
    if spec is None or platform.machine() != "x86_64":
        pytest.skip("no package nvidia-cuda-nvrtc-cu12, which is for x86-64, on this machine")
    place = next(iter(spec.submodule_search_locations or ()))
    shutil.copytree(Path(place) / "lib", target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))


def _fetch_bindings(folder: Path, version: str) -> None:
    """Fetch TensorRT's bindings for Python 3.10; its Debian package has them under the name `tensorrt`."""
    wanted = "tensorrt-cu12-bindings==" + ".".join(version.split(".")[:3])
    options = ("--no-deps", "--only-binary=:all:", "--python-version=3.10", "--platform=manylinux_2_17_x86_64")
    command = [sys.executable, "-m", "pip", "download", "-q", *options, "-d", str(folder), wanted]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    wheel.unlink()
    (folder / "tensorrt_bindings").rename(folder / "tensorrt")
    (facts,) = folder.glob("*.dist-info")
    facts.rename(folder / facts.name.replace("tensorrt_cu12_bindings", "tensorrt"))
