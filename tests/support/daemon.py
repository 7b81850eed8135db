"""The service as a process, followed by what it logs."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.support.program import command, environment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

SETTINGS = {
    "BACKEND": "onnxruntime",
    "TILE_SIZE": "64",
    "TILE_OVERLAP": "16",
    "OUTPUT_FORMATS": "video,jsonl,mot",
    "SETTLE_SECONDS": "0",
    "WATCH_RESCAN_SECONDS": "1",
    "CHECKPOINT_SECONDS": "1",
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "debug",
    "METRICS_PORT": "0",
}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Daemon:
    """`tilewatch serve` from start to end; killed if a test leaves it running.

    Args:
        folder: holds `videos` and `out`, which are made.
        model: that it runs.
        within: words in front of its command.
        script: Python that is run in its place: for faults that no file can cause.
        settings: by environment name, in place of `SETTINGS`.
    """

    def __init__(
        self, folder: Path, model: Path, within: Sequence[str] = (), /, *, script: str = "", **settings: object
    ) -> None:
        self.videos, self.out = folder / "videos", folder / "out"
        for path in (self.videos, self.out):
            path.mkdir(exist_ok=True)
        self.events: list[dict[str, Any]] = []
        places = {"WATCH_DIR": str(self.videos), "OUTPUT_DIR": str(self.out), "MODEL_PATH": str(model)}
        changes = {name: str(value) for name, value in settings.items()}
        arguments: Sequence[str] = [sys.executable, "-c", script, "serve"] if script else command("serve")
        self._process = subprocess.Popen(
            [*within, *arguments],
            cwd=folder,
            env=environment(**places, **{**SETTINGS, **changes}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill it if it still runs."""
        self.kill()

    def until(self, event: str, **facts: object) -> dict[str, Any]:
        """Read the log until an event with these facts has come, and return it."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            found = json.loads(line)
            self.events.append(found)
            if found["event"] == event and facts.items() <= found.items():
                return dict(found)
        raise AssertionError(f"no {event} {facts}: {self.told()}\n{self._errors()}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask for the end and return the exit code."""
        self._process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end and return the exit code."""
        out, self._tail = self._process.communicate(timeout=60)
        self.events += [json.loads(line) for line in out.splitlines()]
        return self._process.returncode

    def kill(self) -> None:
        """End it as a power failure would. Idempotent."""
        self._process.kill()
        self._process.communicate()

    def told(self) -> list[str]:
        """Return the names of all events so far."""
        return [event["event"] for event in self.events]

    def results(self) -> set[str]:
        """Return the folders of results below the output, by relative name."""
        return {str(path.parent.relative_to(self.out)) for path in self.out.rglob("manifest.json")}

    def litter(self) -> set[str]:
        """Return what is in the output beside results and ledger."""
        known = {self.out / name for name in self.results()}
        return {
            str(path.relative_to(self.out))
            for path in self.out.rglob("*")
            if path.is_file() and path.parent not in known and ".tilewatch" not in path.parts
        }

    def _errors(self) -> str:
        self._process.kill()
        return self._process.communicate()[1]
