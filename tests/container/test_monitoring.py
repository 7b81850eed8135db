"""The monitoring override with a real engine: Prometheus and Alertmanager as shipped, read-only and without privileges.

The public images cannot be had everywhere, so Debian's programs stand in for them, in an image laid out alike. Grafana
is not part of Debian: its part of the file is checked as text (tests/monitoring/test_compose_file.py).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import free_port
from tests.support.program import ROOT
from tests.support.prometheus import ask, needed
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)

BASE = "python:3.11-slim-bookworm"
TOKEN = "open-sesame"  # noqa: S105 a pretended one
TEMPLATES = "/usr/share/prometheus/alertmanager"
"""Where Debian's Alertmanager looks for its own."""
DOCKERFILE = f"""
FROM {BASE}
COPY --chmod=755 prometheus alertmanager wget /bin/
COPY templates {TEMPLATES}/
RUN mkdir /prometheus /alertmanager && chown 65534:65534 /prometheus /alertmanager
USER 65534:65534
ENTRYPOINT ["/bin/alertmanager"]
"""
WGET = """#!/usr/local/bin/python
import sys, urllib.request
urllib.request.urlopen(sys.argv[-1], timeout=4)
"""
SERVICE = """
services:
  tilewatch:
    image: {image}
    entrypoint: [python, -c]
    command:
      - |
        from http.server import BaseHTTPRequestHandler, HTTPServer
        class Metrics(BaseHTTPRequestHandler):
            def do_GET(self):
                known = self.headers.get("Authorization") == "Bearer {token}"
                self.send_response(200 if known else 401)
                self.end_headers()
                self.wfile.write(b"tilewatch_ready 0\\n" if known else b"")
        HTTPServer(("", 9464), Metrics).serve_forever()
"""


def docker(*arguments: object, **environment: str) -> str:
    """Run a command of Docker to a good end and return what it printed."""
    command = [shutil.which("docker") or "docker", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment or None)
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout.strip()


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[str]:
    """Return an image with Debian's programs where the public images have theirs."""
    programs = needed("prometheus", "prometheus-alertmanager")
    probe = ["docker", "image", "inspect", BASE]
    if shutil.which("docker") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip(f"no Docker Engine with the image {BASE} on this machine")
    context = tmp_path / "image"
    context.mkdir()
    for program, name in zip(programs, ("prometheus", "alertmanager"), strict=True):
        shutil.copy(program, context / name)
    shutil.copytree(TEMPLATES, context / "templates")
    (context / "wget").write_text(WGET)
    (context / "Dockerfile").write_text(DOCKERFILE)
    tag = f"tilewatch-monitoring-test:{uuid.uuid4().hex[:8]}"
    docker("build", "-q", "-t", tag, context)
    yield tag
    docker("image", "rm", tag)


def test_prometheus_scrapes_with_the_token_and_reaches_alertmanager(tmp_path: Path, stand_in: str) -> None:
    """Both become healthy on a read-only root; the token reaches the service; what fires reaches Alertmanager."""
    ports = {"PROMETHEUS_PORT": str(free_port()), "PROMETHEUS_ALERTMANAGER_PORT": str(free_port())}
    override = tmp_path / "service.yml"
    override.write_text(SERVICE.format(image=stand_in, token=TOKEN))
    environment = {
        **os.environ,
        **ports,
        "METRICS_TOKEN": TOKEN,
        "PROMETHEUS_IMAGE": stand_in,
        "PROMETHEUS_ALERTMANAGER_IMAGE": stand_in,
    }
    files = ["-f", ROOT / "docker-compose.monitoring.yml", "-f", override]
    compose = ["compose", "-p", stand_in.replace(":", "-"), *files]
    services = ["tilewatch", "prometheus", "alertmanager"]
    try:
        docker(*compose, "up", "-d", "--wait", "--wait-timeout", 120, *services, **environment)
        prometheus = f"http://127.0.0.1:{ports['PROMETHEUS_PORT']}/api/v1"
        found = wait_for(lambda: ask(f"{prometheus}/query?query=tilewatch_ready")["data"]["result"], "a scrape")
        assert found[0]["metric"]["instance"] == "tilewatch:9464"
        rules = {rule["name"] for group in ask(f"{prometheus}/rules")["data"]["groups"] for rule in group["rules"]}
        assert {"TilewatchDown", "tilewatch:busy:max"} <= rules
        peers = ask(f"{prometheus}/alertmanagers")["data"]["activeAlertmanagers"]
        assert [peer["url"] for peer in peers] == ["http://alertmanager:9093/api/v2/alerts"]
        assert ask(f"http://127.0.0.1:{ports['PROMETHEUS_ALERTMANAGER_PORT']}/api/v2/status")
        stat = ["exec", "-T", "prometheus", "stat", "-c", "%a %u", "/run/tilewatch/metrics_token"]
        assert docker(*compose, *stat, **environment) == "600 65534"
    finally:
        docker(*compose, "down", "-v", "--timeout", 2, **environment)
