"""Builds, starts and asks containers, through the `docker` command as a user does."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support.program import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LOCKED_DOWN = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
"""How the compose file and Kubernetes start it."""
USER = "10001:10001"
NO_LAYER = ("ARG", "CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "USER", "VOLUME")
"""Steps that change an image's description alone."""


class Layer(NamedTuple):
    """A layer of an image."""

    digest: str
    size: int
    """Bytes, unpacked."""
    step: str
    """The line of the Dockerfile it comes from."""


def docker(*arguments: object, timeout: float = 120, check: bool = True) -> str:
    """Run a docker command and return what it printed; what it complained of is in the failure's text."""
    done = subprocess.run(
        ["docker", *map(str, arguments)],  # noqa: S607 -- the one on PATH is the one under test
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    said = done.stdout + done.stderr
    assert not check or done.returncode == 0, f"docker {arguments} ended with {done.returncode}\n{said}"
    return done.stdout.strip() if check else said


def inspected(thing: str) -> dict[str, Any]:
    """Return what the engine knows of an image or a container."""
    return dict(json.loads(docker("inspect", thing))[0])


def build(tag: str, folder: Path = ROOT, target: str = "cpu", arguments: Sequence[str] = ()) -> None:
    """Build an image from a folder with the sources, with build arguments as NAME=value."""
    given = [f"--build-arg={argument}" for argument in arguments]
    docker("build", "-f", folder / "Dockerfile.multi", "--target", target, "-t", tag, *given, folder, timeout=1500)


def installed(image: str) -> set[str]:
    """Return the packages that Python finds in an image, as name==version."""
    script = "import importlib.metadata as m; print(*{f'{d.name.lower()}=={d.version}' for d in m.distributions()})"
    return set(docker("run", "--rm", "--entrypoint", "python", image, "-c", script).split())


def listed(image: str) -> set[str]:
    """Return the packages that an image's bill of materials names, as name==version."""
    text = docker("run", "--rm", "--entrypoint", "cat", image, "/usr/share/doc/tilewatch/sbom.cdx.json")
    bill = json.loads(text)
    assert bill["bomFormat"] == "CycloneDX"
    parts = [bill["metadata"]["component"], *bill["components"]]
    return {f"{part['name'].lower()}=={part['version']}" for part in parts}


def layers(image: str) -> list[Layer]:
    """Return the image's layers from the base up."""
    form = "{{.Size}}\t{{.CreatedBy}}"
    lines = docker("history", "--no-trunc", "--human=false", "--format", form, image).splitlines()[::-1]
    parts = [line.partition("\t") for line in lines]
    steps = [(int(size), step) for size, _, step in parts if not step.startswith(NO_LAYER)]
    digests = inspected(image)["RootFS"]["Layers"]
    # The history of a base image may be told in words of its own: it is the end of both lists that belongs together.
    ours = zip(digests[::-1], steps[::-1], strict=False)
    return [Layer(digest, size, step) for digest, (size, step) in ours][::-1]


def writable(folder: Path) -> Path:
    """Return the folder, made, with the right for the container's user to write there."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)
    return folder


def events(container: str) -> Sequence[dict[str, Any]]:
    """Return the events a container has logged so far."""
    lines = docker("logs", container, check=False).splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]
