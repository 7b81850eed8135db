"""The rules that are shipped: Prometheus' own checks and tests, and a way out for whoever is woken by an alert."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml

from tests.support.program import ROOT, run_tilewatch
from tests.support.prometheus import ALERTMANAGER_CONFIG, SHIPPED, needed
from tilewatch.settings import env_names

ALERTS = {
    rule["alert"]: rule
    for group in yaml.safe_load((SHIPPED / "rules" / "tilewatch.alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}
DOCS = (ROOT / "docs" / "MONITORING.md").read_text()
UNIT_TESTS = SHIPPED / "tests" / "tilewatch.test.yml"


def passed(*command: str) -> None:
    """Run a check and expect that it has nothing to say against."""
    done = subprocess.run([*needed(command[0]), *command[1:]], capture_output=True, text=True, check=False, cwd=SHIPPED)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_configuration_and_rules() -> None:
    """`promtool check`: syntax, functions, templates, doubled rules."""
    passed("promtool", "check", "config", "--syntax-only", "prometheus.yml")
    passed("promtool", "check", "rules", *sorted(str(path) for path in (SHIPPED / "rules").glob("*.yml")))


def test_alertmanager_takes_its_configuration() -> None:
    """`amtool check-config`."""
    passed("amtool", "check-config", str(ALERTMANAGER_CONFIG))


def test_rules_fire_when_they_should_and_only_then() -> None:
    """`promtool test rules`: every alert, with its true spans of time, beside cases in which it has to be quiet."""
    passed("promtool", "test", "rules", str(UNIT_TESTS))
    assert {name for name in ALERTS if name not in UNIT_TESTS.read_text()} == set()


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_has_a_severity_and_a_way_out(name: str) -> None:
    """Summary, description, and an entry of the runbook that is there and says how bad it is."""
    rule = ALERTS[name]
    severity = rule["labels"]["severity"]
    assert severity in {"critical", "warning"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    assert "$labels.instance" in rule["annotations"]["summary"]
    assert rule["annotations"]["runbook"] == f"docs/MONITORING.md#{name.lower()}"
    entry = re.search(rf"^### {name}\n\n\*{severity}", DOCS, re.MULTILINE)
    assert entry, f"docs/MONITORING.md: no entry ### {name} that begins with *{severity}"


def test_runbook_knows_no_alert_that_is_gone() -> None:
    """Headings and links of the page name alerts that exist."""
    assert set(re.findall(r"^### (Tilewatch\w+)", DOCS, re.MULTILINE)) == set(ALERTS)
    assert {link.lower() for link in re.findall(r"\(#(tilewatch\w+)\)", DOCS)} <= {name.lower() for name in ALERTS}


def test_runbook_names_settings_events_and_commands_that_exist() -> None:
    """Whoever is woken at night types what stands there."""
    compose = (ROOT / "docker-compose.monitoring.yml").read_text()
    settings = set(re.findall(r"`([A-Z]+_[A-Z_]*[A-Z])\b", DOCS))
    assert {
        name
        for name in settings
        if name not in env_names() and name not in compose and not name.startswith(("GF_", "COMPOSE_"))
    } == set()
    events = set(re.findall(r"\b(?:grep (?:-\w+ )?|`)((?:process|service|settings|intake)_\w+)", DOCS))
    code = "".join(path.read_text() for path in (ROOT / "daemon" / "tilewatch" / "service").glob("*.py"))
    assert {event for event in events if f'"{event}"' not in code} == set()
    commands = set(re.findall(r"`(?:docker compose exec tilewatch )?tilewatch (jobs \w+(?: --\w+ \w+)?)", DOCS))
    for command in commands:
        run_tilewatch(*command.split(), "--help")
    assert len(settings) > 20
    assert len(events) > 2
    assert len(commands) > 2


def test_inhibitions_name_alerts_that_exist() -> None:
    """A renamed alert would let its followers through again, silently."""
    named = set(re.findall(r"\bTilewatch[A-Z]\w+", ALERTMANAGER_CONFIG.read_text()))
    assert named <= set(ALERTS)
    assert len(named) > 5
