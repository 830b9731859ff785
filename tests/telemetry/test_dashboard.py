"""The dashboard: Grafana's own schema knows all of it, and it shows what there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from ratelimit.telemetry import names
from ratelimit.telemetry.load import LOAD_METRICS
from ratelimit.telemetry.remote import REMOTE_METRICS

PATH = Path(__file__).resolve().parents[2] / "docs" / "grafana.json"
WRITTEN: dict[str, Any] = json.loads(PATH.read_text("utf-8"))
PANELS = [panel for panel in WRITTEN["panels"] if panel["type"] != "row"]
QUERIES = " ".join(target["expr"] for panel in PANELS for target in panel["targets"])


def lost(written: Any, read: Any, place: str = "") -> list[str]:
    """Return where what was read does not have what was written."""
    if isinstance(written, dict):
        if not isinstance(read, dict):
            return [place]
        return [
            each for key, value in written.items() for each in lost(value, read.get(key), f"{place}.{key}")
        ]
    if isinstance(written, list):
        if not isinstance(read, list) or len(read) != len(written):
            return [place]
        return [each for at, value in enumerate(written) for each in lost(value, read[at], f"{place}[{at}]")]
    return [] if written == read else [place]


def test_every_setting_is_one_that_grafana_has() -> None:
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(WRITTEN)))
    assert lost(WRITTEN, read) == []
    assert lost({**WRITTEN, "titel": "x"}, read) == [".titel"]


def test_panels_lie_side_by_side_and_have_numbers_of_their_own() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in WRITTEN["panels"]:
        spot = panel["gridPos"]
        for x in range(spot["x"], spot["x"] + spot["w"]):
            for y in range(spot["y"], spot["y"] + spot["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
                assert x < 24
    assert len({panel["id"] for panel in WRITTEN["panels"]}) == len(WRITTEN["panels"])
    assert all(panel["description"].endswith(".") for panel in PANELS)


@pytest.mark.parametrize(
    "group",
    [names.CORRELATION_METRICS, names.HOSTS_METRICS, REMOTE_METRICS, LOAD_METRICS],
    ids=["actors", "hosts", "server", "load"],
)
def test_clusters_hosts_and_server_are_shown(group: tuple[names.Metric, ...]) -> None:
    assert [metric.name for metric in group if not any(one in QUERIES for one in metric.series)] == []
