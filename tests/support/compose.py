"""The service as Compose brings it up: the files as shipped, in a folder like a fresh checkout."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from tests.support.daemon import free_port
from tests.support.program import ROOT
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

SERVICE = "tilewatch"
HEALTH_CHECK = "/usr/libexec/tilewatch/docker-healthcheck.sh"
FREE_BOX = b"free"
QUICK = {"TILE_SIZE": 64, "TILE_OVERLAP": 16, "SETTLE_SECONDS": 0, "CHECKPOINT_SECONDS": 1, "OUTPUT_FORMATS": "jsonl"}
"""Settings for the tiny detector of these tests, with checkpoints so dense that every fault falls between two."""


def docker(*arguments: object) -> str:
    """Run a Docker command to a good end and return what it printed."""
    done = subprocess.run(["docker", *map(str, arguments)], capture_output=True, text=True, check=False)  # noqa: S607
    assert done.returncode == 0, f"docker {arguments}: {done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def same_pictures(clip: Path, target: Path, tag: str) -> Path:
    """Write a video of other content and the same pictures: an MP4 with an empty box behind it, of some name."""
    note = tag.encode()
    part = target.with_name(f".{target.name}")
    part.write_bytes(clip.read_bytes() + (8 + len(note)).to_bytes(4, "big") + FREE_BOX + note)
    return part.rename(target)


class Stack:
    """A checkout with the service in it, taken down and forgotten at the end.

    Args:
        folder: is made, as a checkout that anybody can read.
        image: runs in place of one that is built.
        name: of the Compose project.
        target: whose Compose file is laid over it, as cuda or jetson.
        override: another Compose file, as text.
        variables: that Compose reads from the environment.
    """

    def __init__(
        self, folder: Path, image: str, name: str, *, target: str = "", override: str = "", **variables: object
    ) -> None:
        self.folder, self.port = folder, free_port()
        self.videos, self.output, self.logs = (folder / part for part in ("videos", "output", "logs"))
        for path in (folder, folder / "models", self.videos, self.output, self.logs):
            path.mkdir()
            path.chmod(0o755)
            (path / ".gitkeep").touch()
        for file in ROOT.glob("docker-compose*.yml"):
            (folder / file.name).write_bytes(file.read_bytes())
        files = ["docker-compose.yml", *([f"docker-compose.{target}.yml"] if target else [])]
        if override:
            (folder / "override.yml").write_text(override)
            files.append("override.yml")
        given = {"TILEWATCH_IMAGE": image, "METRICS_PORT": self.port, "COMPOSE_PROJECT_NAME": name, **variables}
        self.environment = {**os.environ, "COMPOSE_FILE": ":".join(files), **{key: str(given[key]) for key in given}}
        self._seen = 0

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take everything down, with what the service said where a test has failed."""
        if kind:
            print(self.compose("logs", "--no-color", "--tail", 40))  # noqa: T201 a failed test's report
        self.compose("down", "-v", "--timeout", 1)

    def compose(self, *arguments: object) -> str:
        """Run a Compose command to a good end and return what it printed."""
        command = ["docker", "compose", *map(str, arguments)]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def up(self) -> Self:
        """Bring it up as a user does."""
        self.compose("up", "-d")
        return self

    def settle(self, **settings: object) -> None:
        """Put settings into `.env`, by replacing the file as editors do."""
        text = "".join(f"{name}={value}\n" for name, value in settings.items())
        part = self.folder / ".env.new"
        part.write_text(text)
        part.rename(self.folder / ".env")

    @property
    def container(self) -> str:
        """Its id."""
        return self.compose("ps", "-aq", SERVICE)

    def state(self) -> dict[str, Any]:
        """Return what Docker knows of the container."""
        found: dict[str, Any] = json.loads(docker("inspect", self.container))[0]
        return found

    def run(self, *command: object) -> str:
        """Run a command in the container to a good end and return what it printed."""
        return docker("exec", self.container, *command)

    def probe(self) -> subprocess.CompletedProcess[str]:
        """Ask for its health as Docker does."""
        command = ["docker", "exec", self.container, HEALTH_CHECK]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def process(self) -> str:
        """Return the id of tilewatch's process inside."""
        tests = 'for p in /proc/[0-9]*; do [ "$(cat $p/comm)" = tilewatch ] && echo ${p#/proc/}; done; true'
        return self.run("sh", "-c", tests).split()[0]

    def signal(self, name: str) -> None:
        """Send a signal to tilewatch's process, past its init."""
        self.run("sh", "-c", f"kill -{name} {self.process()}")

    def until(self, event: str, **facts: object) -> dict[str, Any]:
        """Follow the log, over restarts, until a next event with these facts, and return it."""
        while True:
            for found in self._follow():
                if found.get("event") == event and facts.items() <= found.items():
                    return found
            assert self.state()["State"]["Status"] in {"running", "restarting"}, f"no {event} {facts}"

    def _follow(self) -> Iterator[dict[str, Any]]:
        """Yield the events that were not seen yet, until the container ends."""
        command = ["docker", "logs", "--follow", self.container]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as following:
            assert following.stdout is not None
            try:
                for number, line in enumerate(following.stdout):
                    if number >= self._seen:
                        self._seen += 1
                        yield json.loads(line)
            finally:
                following.kill()

    def events(self) -> list[dict[str, Any]]:
        """Return all it has told so far."""
        command = ["docker", "logs", self.container]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return [json.loads(line) for line in told.splitlines()]

    def status(self) -> dict[str, Any]:
        """Return what the published port tells."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/status") as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def until_status(self, holds: Callable[[dict[str, Any]], bool]) -> None:
        """Ask for the status until something holds of it; the service may be starting meanwhile."""

        def look() -> bool:
            with suppress(OSError, HTTPException):
                return holds(self.status())
            return False

        wait_for(look, "what the status is to tell", 120)

    def results(self) -> set[str]:
        """Return the names of the results."""
        return {path.parent.name for path in self.output.glob("*/manifest.json")}

    def rows(self, name: str) -> bytes:
        """Return the tracks of a result."""
        return (self.output / name / "tracks.jsonl").read_bytes()
