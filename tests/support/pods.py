"""A pod of the Kubernetes manifests, played by a container: what of its specification Docker knows too."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from tests.support.configmap import ConfigMapVolume
from tests.support.kubernetes import container, mounts, overlay, pod

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self


def docker(*arguments: object) -> str:
    """Run a Docker command to a good end and return what it printed."""
    done = subprocess.run(["docker", *map(str, arguments)], capture_output=True, text=True, check=False)  # noqa: S607
    assert done.returncode == 0, f"docker {arguments}: {done.stdout}\n{done.stderr}"
    return done.stdout.strip()


class Pod:
    """A pod of the overlay `cpu`, running until the block ends.

    Args:
        folder: gets the folders that stand for its volumes.
        image: in place of the one that is named.
        name: of the container.
        settings: the text of the ConfigMap.
    """

    def __init__(self, folder: Path, image: str, name: str, settings: str) -> None:
        self.name = name
        self._manifests = overlay("cpu")
        self.user = pod(self._manifests)["securityContext"]["runAsUser"]
        self.settings = ConfigMapVolume(folder / "settings", settings)
        self.folders = {path: folder / path.strip("/") for path in ("/videos", "/output", "/models")}
        for path in (folder / "settings", *self.folders.values()):
            path.mkdir(exist_ok=True)
            path.chmod(0o755)
        self._image = image

    def __enter__(self) -> Self:
        """Start it."""
        docker("run", "--detach", *self._options(), self._image, *container(self._manifests)["args"])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove it, with what it said where a test has failed."""
        if kind:
            print(docker("logs", "--tail", 40, self.name))  # noqa: T201 a failed test's report
        docker("rm", "--force", "--volumes", self.name)

    def _options(self) -> Iterator[str]:
        spec, inside = pod(self._manifests), container(self._manifests)
        rights = spec["securityContext"]
        yield from ("--name", self.name, "--user", f"{rights['runAsUser']}:{rights['runAsGroup']}")
        yield from ("--security-opt", "no-new-privileges", "--stop-timeout", str(spec["terminationGracePeriodSeconds"]))
        if inside["securityContext"]["readOnlyRootFilesystem"]:
            yield "--read-only"
        for capability in inside["securityContext"]["capabilities"]["drop"]:
            yield from ("--cap-drop", capability)
        for item in inside["env"]:
            if "value" in item:
                yield from ("--env", f"{item['name']}={item['value']}")
        limits = inside["resources"]["limits"]
        yield from ("--cpus", limits["cpu"], "--memory", limits["memory"].removesuffix("i"))
        yield from ("--publish", f"127.0.0.1::{inside['ports'][0]['containerPort']}")
        yield from self._volumes()

    def _volumes(self) -> Iterator[str]:
        for path, (mount, volume) in mounts(self._manifests).items():
            if "emptyDir" in volume:
                yield from ("--tmpfs", f"{path}:uid={self.user},gid={self.user},mode=0770")
                continue
            folder = self.settings.file.parent if "configMap" in volume else self.folders[path]
            yield from ("--volume", f"{folder}:{path}" + (":ro" if mount.get("readOnly") else ""))

    def answer(self, kind: str) -> int:
        """Return the HTTP status that a probe ('liveness', ...) gets; 0 while nobody answers."""
        probe = container(self._manifests)[f"{kind}Probe"]["httpGet"]
        address = docker("port", self.name, container(self._manifests)["ports"][0]["containerPort"])
        try:
            with urllib.request.urlopen(f"http://{address}{probe['path']}", timeout=5) as response:
                status: int = response.status
                return status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def until(self, event: str, **facts: object) -> dict[str, Any]:
        """Follow the log from its beginning until an event with these facts, and return it."""
        command = ["docker", "logs", "--follow", self.name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as following:
            assert following.stdout is not None
            try:
                for line in following.stdout:
                    found: dict[str, Any] = json.loads(line) if line.startswith("{") else {}
                    if found.get("event") == event and facts.items() <= found.items():
                        return found
            finally:
                following.kill()
        raise AssertionError(f"no {event} {facts}: {docker('logs', self.name)}")

    def stop(self) -> int:
        """End it as kubelet does and return the exit code."""
        docker("stop", self.name)
        return int(docker("wait", self.name))
