"""The dashboard asks for what /metrics tells, and is one that Grafana takes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from service.launch import Running
from tests.service.asking import client

DASHBOARD = Path(__file__).parents[2] / "service" / "deploy" / "grafana.json"
UNBOUNDED = {"tenant", "project", "request_id", "job", "path"}


def test_every_series_that_the_dashboard_shows_is_told(server: Running) -> None:
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text())
    shown = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert dashboard["schemaVersion"] >= 36 and dashboard["title"] and dashboard["uid"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert all(panel["targets"] and panel["gridPos"]["w"] <= 24 for panel in shown)
    with client(server.url, server.key) as http:
        page = http.get("/metrics").text
    families = list(text_string_to_metric_families(page))
    # A family's samples come with its first event; what its name is, its type says.
    ends = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    told = {family.name + end for family in families for end in ends.get(family.type, ())}
    asked = {name for panel in shown for target in panel["targets"] for name in names(target["expr"])}
    assert len(asked) > 20 and asked <= told, asked - told
    assert not names("sum(tsugiki_unheard_of)") <= told
    assert not {label for family in families for sample in family.samples for label in sample.labels} & UNBOUNDED


def names(expression: str) -> set[str]:
    return set(re.findall(r"tsugiki_\w+", expression))
