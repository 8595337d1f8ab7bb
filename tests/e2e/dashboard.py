"""The queries of deploy/dashboard.json, as Grafana sends them to Prometheus."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parents[2] / "deploy" / "dashboard.json"


@dataclass(frozen=True)
class Query:
    panel: str  # its title
    text: str  # with Grafana's variables


def load(file: Path = FILE) -> dict[str, Any]:
    dashboard: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return dashboard


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the panels that are no rows, those within rows too."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def queries(dashboard: dict[str, Any]) -> list[Query]:
    return [
        Query(panel["title"], target["expr"])
        for panel in panels(dashboard)
        for target in panel["targets"]
    ]


def variables(dashboard: dict[str, Any]) -> dict[str, str]:
    """Returns the variables that queries may use, with the value that stands for all."""
    return {
        variable["name"]: variable["allValue"]
        for variable in dashboard["templating"]["list"]
        if variable["type"] == "query"
    }


def filled_in(query: str, values: dict[str, str], rate_interval: str) -> str:
    """Returns the query for Prometheus: of everything, with rates over `rate_interval`."""
    query = query.replace("$__rate_interval", rate_interval)
    for name, value in values.items():
        query = query.replace(f"${name}", value)
    return query
