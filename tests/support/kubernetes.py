"""Manifests as `kubectl apply -k` would send them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.support.program import ROOT

SOURCE = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("cpu", "nvidia", "jetson")
COMPONENTS = ("servicemonitor", "cameras", "hpa", "keda")
Manifest: TypeAlias = dict[str, Any]


def kubectl() -> str:
    """Return the program that renders: the environment's, else the machine's; skips the test where there is none."""
    found = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")
    if found is None:
        pytest.skip("kubectl is absent: it is in the dependency group `lint`")
    return found


def render(folder: Path) -> list[Manifest]:
    """Return what a kustomization comes to."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is absent: it is in the dependency group `lint`")
    done = subprocess.run([kubectl(), "kustomize", folder], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, f"kustomize warns: {done.stderr}"
    return list(yaml.safe_load_all(done.stdout))


@cache
def overlay(name: str) -> list[Manifest]:
    """Return an overlay as it is shipped; rendered once, so nobody may change it."""
    return render(SOURCE / "overlays" / name)


def render_with(folder: Path, base: str, *components: str, patches: tuple[str, ...] = ()) -> list[Manifest]:
    """Return an overlay with components and patches (by their paths below the manifests), composed as a user does."""
    copy = folder / "kubernetes"
    if not copy.exists():
        shutil.copytree(SOURCE, copy)
    (copy / "site").mkdir(exist_ok=True)
    lines = [f"resources: [../overlays/{base}]"]
    lines += ["components: [" + ", ".join(f"../components/{name}" for name in components) + "]"]
    for number, patch in enumerate(patches):
        shutil.copy(copy / patch, copy / "site" / f"patch-{number}.yaml")
    lines += ["patches: [" + ", ".join(f"{{path: patch-{number}.yaml}}" for number, _ in enumerate(patches)) + "]"]
    (copy / "site" / "kustomization.yaml").write_text("\n".join(lines) + "\n")
    return render(copy / "site")


def one(manifests: list[Manifest], kind: str, name: str = "tilewatch") -> Manifest:
    """Return the manifest of a kind and name."""
    (found,) = [item for item in manifests if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    return found


def workload(manifests: list[Manifest]) -> Manifest:
    """Return what makes the pods."""
    (found,) = [item for item in manifests if item["kind"] in {"Deployment", "DaemonSet"}]
    return found


def pod(manifests: list[Manifest]) -> Manifest:
    """Return the pods' specification."""
    spec: Manifest = workload(manifests)["spec"]["template"]["spec"]
    return spec


def container(manifests: list[Manifest]) -> Manifest:
    """Return the one container."""
    (found,) = pod(manifests)["containers"]
    assert isinstance(found, dict)
    return found


def mounts(manifests: list[Manifest]) -> dict[str, tuple[Manifest, Manifest]]:
    """Return, by the path in the container, the mount and its volume."""
    volumes = {volume["name"]: volume for volume in pod(manifests)["volumes"]}
    return {mount["mountPath"]: (mount, volumes[mount["name"]]) for mount in container(manifests)["volumeMounts"]}
