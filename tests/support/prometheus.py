"""A real Prometheus and Alertmanager with the configuration that is shipped, hurried so that a test can wait for it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from math import isfinite
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.daemon import free_port
from tests.support.program import ROOT
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

SHIPPED = ROOT / "deploy" / "prometheus"
ALERTMANAGER_CONFIG = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
HURRIED = {"5m": "6s", "15m": "5m", "30m": "60s", "1h": "8s"}
"""Spans of time in the rules, and what a test takes for them: scrapes come every second."""


def needed(*names: str) -> list[str]:
    """Return the paths of programs, or skip the test saying which is missing."""
    found = {name: shutil.which(name) for name in names}
    if missing := [name for name, path in found.items() if path is None]:
        pytest.skip(f"no {', '.join(missing)} on this machine: apt-get install prometheus prometheus-alertmanager")
    return [str(path) for path in found.values()]


def ask(url: str) -> Any:
    """Return what a server answers, as data; None while it does not."""
    try:
        with urllib.request.urlopen(url) as answer:  # noqa: S310 always http
            return json.load(answer)
    except (urllib.error.URLError, ConnectionError):
        return None


class Server:
    """A program that answers at a port; its output goes to a file. Ended with the block."""

    def __init__(self, arguments: Sequence[str], port: int, folder: Path) -> None:
        self.address = f"127.0.0.1:{port}"
        self._log = folder / "log.txt"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(arguments, cwd=folder, stdout=log, stderr=log)

    def __enter__(self) -> Self:
        """Wait until it answers."""
        wait_for(self._answers, "an answer", 30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            urllib.request.urlopen(f"http://{self.address}/-/ready").close()
        except (urllib.error.URLError, ConnectionError):
            return False
        return True


class Alertmanager(Server):
    """With the shipped configuration, but for the time it waits for more before it tells."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (program,) = needed("prometheus-alertmanager")
        text = ALERTMANAGER_CONFIG.read_text().replace("group_wait: 30s", "group_wait: 1s")
        (folder / "alertmanager.yml").write_text(text)
        port = free_port()
        flags = [f"--storage.path={folder}", f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
        super().__init__([program, f"--config.file={folder / 'alertmanager.yml'}", *flags], port, folder)

    def alerts(self) -> dict[tuple[str, str], str]:
        """Return the state of every alert by name and instance: active, or suppressed by another one."""
        found = ask(f"http://{self.address}/api/v2/alerts") or []
        return {
            (one["labels"]["alertname"], one["labels"].get("instance", "")): one["status"]["state"] for one in found
        }


class Prometheus(Server):
    """Scrapes some addresses as the shipped configuration scrapes the service.

    Args:
        folder: for its files; it is made.
        targets: host:port of services.
        token: that it shows them.
        alertmanager: address of one.
    """

    def __init__(self, folder: Path, targets: Sequence[str], *, token: str = "", alertmanager: str = "") -> None:
        folder.mkdir()
        (program,) = needed("prometheus")
        port = free_port()
        (folder / "metrics_token").write_text(token)
        (folder / "rules").mkdir()
        for path in (SHIPPED / "rules").iterdir():
            (folder / "rules" / path.name).write_text(hurried(path.read_text()))
        changes = {
            '"tilewatch:9464"': ", ".join(f'"{target}"' for target in targets),
            '"localhost:9090"': f'"127.0.0.1:{port}"',
            '"alertmanager:9093"': f'"{alertmanager}"' if alertmanager else "",
            "/run/tilewatch/metrics_token": "metrics_token",
            "_interval: 15s": "_interval: 1s",
        }
        text = (SHIPPED / "prometheus.yml").read_text()
        for shipped, wanted in changes.items():
            assert shipped in text
            text = text.replace(shipped, wanted)
        (folder / "prometheus.yml").write_text(text)
        flags = [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"]
        super().__init__([program, f"--config.file={folder / 'prometheus.yml'}", *flags], port, folder)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series an expression has now."""
        query = urllib.parse.urlencode({"query": expression})
        answer = ask(f"http://{self.address}/api/v1/query?{query}")
        assert answer, f"refused: {expression}"
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def values(self, expression: str) -> list[float]:
        """Return the values an expression has now, those that are finite numbers."""
        return [value for one in self.query(expression) if isfinite(value := float(one["value"][1]))]

    def await_value(self, expression: str) -> None:
        """Wait until an expression has a value."""
        wait_for(lambda: self.values(expression), expression)

    def fired(self, alert: str, **labels: str) -> bool:
        """Tell whether an alert has fired so far, be it over or not."""
        wanted = {"alertname": alert, "alertstate": "firing", **labels}
        selector = ", ".join(f'{name}="{value}"' for name, value in wanted.items())
        return bool(self.query(f"last_over_time(ALERTS{{{selector}}}[10m])"))

    def await_alert(self, alert: str, *, seconds: float = 60, **labels: str) -> None:
        """Wait until an alert has fired."""
        wait_for(lambda: self.fired(alert, **labels), f"{alert} {labels}", seconds)


def hurried(rules: str) -> str:
    """Return rules that look back seconds instead of minutes, and fire at the first sight."""
    rules = re.sub(r"\bfor: \w+", "for: 0s", rules)
    return re.sub(r"(?<=\[)\w+(?=\])|(?<=offset )\w+", lambda span: HURRIED[span[0]], rules)
