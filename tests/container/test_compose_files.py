"""What the Compose files ask Docker for, by target: read as Compose reads them, no container is started."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.program import ROOT
from tilewatch.settings import env_names, load

if TYPE_CHECKING:
    from pathlib import Path


def config(*overrides: str, options: tuple[str, ...] = (), **variables: str) -> dict[str, Any]:
    """Return the model of the Compose files of this checkout."""
    files = ["docker-compose.yml", *(f"docker-compose.{name}.yml" for name in overrides)]
    arguments = [part for file in files for part in ("-f", str(ROOT / file))]
    done = subprocess.run(
        ["docker", "compose", *options, *arguments, "config", "--format", "json"],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **variables},
    )
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


def test_every_service_is_locked_down() -> None:
    """Read-only root, no capability but the one that `prepare` is for, nothing gained by set-uid programs."""
    services = config()
    for service in services.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    assert services["tilewatch"]["user"] == "10001:10001"
    assert "cap_add" not in services["tilewatch"]
    assert services["prepare"]["cap_add"] == ["CHOWN"]
    assert services["prepare"]["network_mode"] == "none"


def test_grace_period_is_longer_than_the_drain() -> None:
    """Docker kills only after the service has had its time to keep what is in work."""
    grace = re.fullmatch(r"(\d+)s", config()["tilewatch"]["stop_grace_period"])
    assert grace
    assert float(grace[1]) > load().service.drain_seconds + 10


def test_health_is_asked_for_as_it_was_wanted() -> None:
    """Every 30 s, 10 s each, 3 in a row, 60 s at the start; logs of 3 times 10 MB."""
    service = config()["tilewatch"]
    check = service["healthcheck"]
    assert (check["interval"], check["timeout"], check["retries"], check["start_period"]) == ("30s", "10s", 3, "1m0s")
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}


def test_what_goes_in_is_read_only_and_the_page_is_for_this_machine() -> None:
    """Models, videos and settings cannot be changed from inside; the port is open to the loopback alone."""
    service = config()["tilewatch"]
    writable = {volume["target"] for volume in service["volumes"] if not volume.get("read_only")}
    assert writable == {"/output", "/logs", "/cache"}
    assert {volume["target"] for volume in service["volumes"]} - writable == {"/config", "/models", "/videos"}
    assert [port["host_ip"] for port in service["ports"]] == ["127.0.0.1"]


@pytest.mark.parametrize("target", ["cuda", "jetson"])
def test_target_with_a_gpu_builds_its_own_image(target: str) -> None:
    """Both services run the same image; the one that is built is the target's."""
    services = config(target)
    assert services["tilewatch"]["build"]["target"] == target
    assert {service["image"] for service in services.values()} == {f"tilewatch:{target}"}
    assert services["tilewatch"]["environment"]["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility,video"


def test_cuda_reserves_a_card() -> None:
    """One NVIDIA device, by Docker's own means."""
    (device,) = config("cuda")["tilewatch"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia"
    assert "gpu" in device["capabilities"]


def test_jetson_uses_its_runtime_and_the_network_of_the_host() -> None:
    """Nothing can be published there, and the page still is for this machine alone unless somebody opens it."""
    service = config("jetson")["tilewatch"]
    assert (service["runtime"], service["network_mode"]) == ("nvidia", "host")
    assert "ports" not in service
    assert service["environment"]["METRICS_HOST"] == "127.0.0.1"
    opened = config("jetson", TILEWATCH_PUBLISH="0.0.0.0", METRICS_PORT="9999")["tilewatch"]["environment"]  # noqa: S104
    assert (opened["METRICS_HOST"], opened["METRICS_PORT"]) == ("0.0.0.0", "9999")  # noqa: S104


def test_camera_is_handed_through_with_its_group() -> None:
    """One node and the group that may read it."""
    service = config("camera", TILEWATCH_CAMERA="/dev/video2")["tilewatch"]
    assert [(device["source"], device["target"]) for device in service["devices"]] == [("/dev/video2", "/dev/video0")]
    assert service["group_add"] == ["44"]


def test_value_in_single_quotes_is_the_same_to_compose_and_to_tilewatch(tmp_path: Path) -> None:
    """What .env.example and DOCKER_USAGE.md advise for tokens with characters that either of them would read."""
    value = "pa$word $HOME #1"
    env = tmp_path / ".env"
    env.write_text(f"METRICS_TOKEN='{value}'\n")
    given = config("monitoring", options=("--env-file", str(env)))["prometheus"]["environment"]["METRICS_TOKEN"]
    own = load(env_file=env).metrics.token
    assert own
    assert own.get_secret_value() == value
    assert given.replace("$$", "$") == value, "Compose prints every $ doubled"


def test_variables_of_compose_are_no_unknown_settings(tmp_path: Path) -> None:
    """The same `.env` is read by Compose and by tilewatch: neither minds the other's names."""
    names = {name for file in ROOT.glob("docker-compose*.yml") for name in re.findall(r"\$\{(\w+)", file.read_text())}
    env = tmp_path / ".env"
    env.write_text("".join(f"{name}=1\n" for name in sorted(names - env_names().keys())))
    load(env_file=env)
