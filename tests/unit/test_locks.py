"""What the images are built from is locked, held against hashes, and within what pyproject.toml allows."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.program import ROOT
from tilewatch.engines import zoo

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

if TYPE_CHECKING:
    from collections.abc import Iterable

LOCKS = ROOT / "deploy" / "locks"
PIN = re.compile(
    r"^(?P<name>[\w.-]+)==(?P<version>\S+)(?: ; [^\\]+)? \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n?)+",
    re.MULTILINE,
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DEPENDENCIES = PROJECT["project"]["dependencies"]
NVIDIA = PROJECT["project"]["optional-dependencies"]["nvidia"]
PYTHON = {"cpu": "3.11", "cuda": "3.10", "jetson": "3.10"}
MACHINE = {"cpu": "x86_64", "cuda": "x86_64", "jetson": "aarch64"}
ON_NVIDIA = {"openvino", "tensorrt-cu12", "nvidia-cuda-nvrtc-cu12"}
ELSEWHERE: dict[str, set[str]] = {"cpu": set(), "cuda": ON_NVIDIA, "jetson": ON_NVIDIA}
"""What an image has no use for (OpenVINO beside TensorRT), or gets from its base (TensorRT, NVRTC)."""


def pins(name: str) -> dict[str, str]:
    """Return the versions in a lock file by package; every line of it must be a comment or a pin with hashes."""
    text = (LOCKS / f"{name}.txt").read_text(encoding="ascii")
    found: dict[str, str] = {canonicalize_name(pin["name"]): pin["version"] for pin in PIN.finditer(text)}
    rest = [line for line in PIN.sub("", text).splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert not rest, f"{name}.txt: neither a pin with hashes nor a comment: {rest[:3]}"
    return found


def unmet(requirements: Iterable[str], locked: dict[str, str], environment: dict[str, str]) -> list[str]:
    """Return the requirements that a lock does not meet."""
    asked = [Requirement(text) for text in requirements]
    needed = [one for one in asked if one.marker is None or one.marker.evaluate(environment)]
    return [str(one) for one in needed if not one.specifier.contains(locked.get(canonicalize_name(one.name), "0.dev0"))]


@pytest.mark.parametrize("target", PYTHON)
def test_images_get_what_the_project_asks_for(target: str) -> None:
    """Every dependency is locked to a version in its range: otherwise `make lock` was forgotten."""
    environment = {"python_version": PYTHON[target], "platform_machine": MACHINE[target], "sys_platform": "linux"}
    asked = [*DEPENDENCIES, *(NVIDIA if target != "cpu" else [])]
    wanted = [text for text in asked if canonicalize_name(Requirement(text).name) not in ELSEWHERE[target]]
    locked = pins(target)
    assert unmet(wanted, locked, environment) == []
    assert not ELSEWHERE[target] & locked.keys()


def test_the_wheel_is_built_with_what_the_project_asks_for() -> None:
    """The build runs without a network of its own, so the tools are locked too."""
    assert unmet(PROJECT["build-system"]["requires"], pins("build"), {}) == []


def test_the_model_is_the_one_the_program_would_fetch() -> None:
    """The image ships what `tilewatch model fetch` brings."""
    assert unmet([zoo.YOLOV4_TINY.requirement, zoo.BIKES.requirement], pins("model"), {}) == []


@pytest.mark.parametrize("lock", sorted(path.stem for path in LOCKS.glob("*.txt")))
def test_locks_name_no_index(lock: str) -> None:
    """Where packages come from is the builder's configuration: a mirror's address has no place in the sources."""
    pins(lock)
    assert "://" not in (LOCKS / f"{lock}.txt").read_text(encoding="ascii")
