"""The shipped dashboard, as Grafana reads it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from tests.support.program import ROOT

PATH = ROOT / "deploy" / "grafana" / "dashboards" / "tilewatch.json"
VARIABLES = {"$__rate_interval": "6s", "$instance": ".*"}
"""What Grafana puts into a query, with scrapes every second."""


GPU = "tilewatch_gpu_"
"""What the names of the GPUs' metrics begin with."""


@dataclass(frozen=True)
class Query:
    """One query of a panel."""

    panel: str
    text: str
    unit: str
    """In Grafana's words, as 'percentunit'; empty where a panel has none."""

    @property
    def metrics(self) -> set[str]:
        """The names of metrics in it."""
        return set(re.findall(r"\b(?:tilewatch|process)_\w+", self.text))


def dashboard() -> dict[str, Any]:
    """Return the whole document."""
    found: dict[str, Any] = json.loads(PATH.read_text())
    return found


def panels() -> list[dict[str, Any]]:
    """Return the panels, rows left out."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> list[Query]:
    """Return all queries of all panels, with the variables filled in."""
    found = []
    for panel in panels():
        for target in panel["targets"]:
            text = target["expr"]
            for name, value in VARIABLES.items():
                text = text.replace(name, value)
            found.append(Query(panel["title"], text, _unit(panel, target["refId"])))
    return found


def _unit(panel: dict[str, Any], query: str) -> str:
    """Return the unit in which a panel shows one of its queries: that of an override, else the panel's."""
    config = panel["fieldConfig"]
    unit: str = config["defaults"].get("unit", "")
    for override in config["overrides"]:
        if override["matcher"] == {"id": "byFrameRefID", "options": query}:
            unit = {prop["id"]: prop["value"] for prop in override["properties"]}.get("unit", unit)
    return unit
