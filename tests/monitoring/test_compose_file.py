"""The monitoring override as text: nothing is open to the outside, nothing floats, nothing can be changed in it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.support.program import ROOT

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.monitoring.yml").read_text())["services"]
DATA_SOURCES = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
DOCS = (ROOT / "docs" / "MONITORING.md").read_text()


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_closed_pinned_and_bounded(name: str) -> None:
    """Loopback ports, a version, no privileges, a read-only root, a health check, logs that do not grow for ever."""
    service = SERVICES[name]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert re.search(r":v?\d+\.\d+\.\d+}$", service["image"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"]
    assert {"max-size", "max-file"} <= service["logging"]["options"].keys()


@pytest.mark.parametrize("name", SERVICES)
def test_mounts_from_the_checkout_are_there_and_read_only(name: str) -> None:
    """A path that is not there would become an empty folder of root's."""
    mounts = [mount for mount in SERVICES[name]["volumes"] if mount.startswith("./")]
    assert mounts
    for mount in mounts:
        source, _, mode = mount.split(":")
        assert mode == "ro"
        assert (ROOT / source).exists()


def test_settings_are_told() -> None:
    """Every variable that the file reads is in docs/MONITORING.md, and has a prefix that `.env` may carry."""
    variables = set(re.findall(r"(?<!\$)\$\{(\w+)", (ROOT / "docker-compose.monitoring.yml").read_text()))
    assert variables == {name for name in variables if f"`{name}`" in DOCS}
    assert all(name.startswith(("PROMETHEUS_", "GRAFANA_", "METRICS_")) for name in variables)


def test_grafana_looks_back_as_far_as_prometheus_scrapes() -> None:
    """With a longer interval than the data source knows, rates would have gaps."""
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["global"]["scrape_interval"]
    source = next(one for one in DATA_SOURCES["datasources"] if one["type"] == "prometheus")
    assert source["jsonData"]["timeInterval"] == scraped


def test_grafana_is_for_looking_only() -> None:
    """No account, no editing, nothing fetched."""
    settings = SERVICES["grafana"]["environment"]
    assert settings["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert settings["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert settings["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"
    provider = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/tilewatch.yml").read_text())
    assert provider["providers"][0]["allowUiUpdates"] is False
