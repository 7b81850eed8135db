"""The dashboard that is shipped: what it asks for exists, it is laid out, explained, and what Grafana's types allow."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.dashboard import GPU, PATH, dashboard, panels, queries
from tests.support.program import ROOT
from tilewatch.telemetry import metrics

SCHEMA = Path(__file__).parent / "schema"
WIDTH = 24
DOCS = (ROOT / "docs" / "MONITORING.md").read_text()


def exported() -> set[str]:
    """Return the names under which the service's metrics are stored."""
    found = set()
    for family in metrics.create().registry.collect():
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}
        found |= {family.name + end for end in ends.get(family.type, ("",))}
    return found


def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    """Return the cells of the grid that a panel covers."""
    place = panel["gridPos"]
    rows, columns = range(place["y"], place["y"] + place["h"]), range(place["x"], place["x"] + place["w"])
    return {(row, column) for row in rows for column in columns}


def test_panels_fill_the_grid_without_overlap() -> None:
    """Every line of the grid is covered from edge to edge, every cell once."""
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard()["panels"]:
        for cell in cells(panel):
            assert cell not in taken, f"{panel['title']} lies on {taken[cell]}"
            taken[cell] = panel["title"]
    height = 1 + max(row for row, _ in taken)
    assert set(taken) == {(row, column) for row in range(height) for column in range(WIDTH)}


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: str(panel["title"]))
def test_every_panel_is_explained_and_reads_the_chosen_source(panel: dict[str, Any]) -> None:
    """A unit, a description that a person understands, the variables, and a line in the docs."""
    assert len(panel["description"]) > 25
    assert panel["type"] in {"table", "state-timeline"} or panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] == "${datasource}"
    for target in panel["targets"]:
        assert target["datasource"]["uid"] == "${datasource}"
        assert target["expr"].count("{") == target["expr"].count('instance=~"$instance"')
    rows = [line for line in DOCS.splitlines() if line.startswith("| ")]
    assert any(panel["title"] in line.split("|")[1] for line in rows), "no line in docs/MONITORING.md"


def test_alerts_named_in_panels_exist() -> None:
    """A description sends nobody to an alert that is gone."""
    named = set(re.findall(r"\bTilewatch[A-Z]\w+", PATH.read_text())) - {"Tilewatch"}
    assert named <= set(re.findall(r"^### (\w+)", DOCS, re.MULTILINE))


def test_identifiers_are_unique() -> None:
    """Grafana mixes up panels of one number."""
    numbers = [panel["id"] for panel in dashboard()["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_metrics_asked_for_are_exported() -> None:
    """A metric that was renamed empties a panel; those of the GPUs are shown by test_gpu_panels."""
    asked = {name for query in queries() for name in query.metrics if not name.startswith(GPU)}
    assert asked <= exported()
    assert len(asked) > 25


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which `compile_errors` works: Grafana's schema package and the TypeScript compiler."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm on this machine: apt-get install npm")
    folder = tmp_path_factory.mktemp("schema")
    shutil.copytree(SCHEMA, folder, dirs_exist_ok=True)
    done = subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True, check=False, timeout=100
    )
    if done.returncode and os.environ.get("TILEWATCH_REQUIRE_DATA") != "1":
        pytest.skip(f"npm cannot fetch Grafana's schema package: {done.stderr.strip().splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    return folder


def compile_errors(folder: Path, text: str) -> str:
    """Return what the compiler has against a dashboard; empty when it fits Grafana's types."""
    source = f"import type {{ Checked }} from './panels.js';\nexport const dashboard: Checked =\n{text};\n"
    (folder / "dashboard.ts").write_text(source)
    done = subprocess.run(
        [folder / "node_modules" / ".bin" / "tsc", "-p", "."], cwd=folder, capture_output=True, text=True, check=False
    )
    assert bool(done.stdout) == bool(done.returncode), done.stderr
    return done.stdout


def test_dashboard_fits_the_types_of_grafana(compiler: Path) -> None:
    """Compiled against @grafana/schema, the version of the shipped Grafana."""
    assert compile_errors(compiler, PATH.read_text()) == ""
    wanted = json.loads((SCHEMA / "package.json").read_text())["dependencies"]["@grafana/schema"]
    assert f"grafana/grafana:{wanted}" in (ROOT / "docker-compose.monitoring.yml").read_text()


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('"drawStyle": "line"', '"drawStyle": "lines"'),
        ('"graphTooltip": 1', '"graphTooltip": 7'),
        ('"showHeader": true', '"showHeader": "yes"'),
        ('"id": "custom.fillOpacity"', '"id": "custom.opacity"'),
    ],
)
def test_types_of_grafana_find_mistakes(compiler: Path, right: str, wrong: str) -> None:
    """The check is none that lets everything through."""
    text = PATH.read_text()
    assert right in text
    assert compile_errors(compiler, text.replace(right, wrong, 1))
