"""Documents, dashboard and alerts name only what exists."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ratelimit.telemetry import names
from ratelimit.telemetry.document import markdown

DOCS = Path(__file__).resolve().parents[2] / "docs"
SERIES = {series for metric in names.METRICS for series in metric.series}
LABELS = {label.name for metric in names.METRICS for label in metric.labels} | {
    "le",
    "instance",
    "job",
    "digest",
}
VALUES: dict[str, set[str]] = {}
for _metric in names.METRICS:
    for _label in _metric.labels:
        VALUES.setdefault(_label.name, set()).update(_label.values)

WORDS = re.compile(r"\bratelimit_\w+")
MATCHERS = re.compile(r'(\w+)\s*(?:=~|!=|=)\s*"([^"]*)"')
GROUPINGS = re.compile(r"\b(?:by|without|ignoring|on)\s*\(([^)]*)\)")


def queries() -> list[tuple[str, str]]:
    dashboard = json.loads((DOCS / "grafana.json").read_text("utf-8"))
    found = [
        (panel["title"], target["expr"])
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    ]
    alerts = (DOCS / "alerts.yml").read_text("utf-8")
    rules = re.findall(r"alert: (\w+)\n\s+expr: >-\n((?:\s{10,}.*\n)+)", alerts)
    assert len(rules) == alerts.count("alert:")
    return found + [(name, " ".join(expr.split())) for name, expr in rules]


def test_metrics_document_is_in_step() -> None:
    written = (DOCS / "metrics.md").read_text("utf-8")
    assert written == markdown(), "run: python -m ratelimit.telemetry.document > docs/metrics.md"


def test_dashboard_and_alerts_have_queries() -> None:
    assert {"Refusals by limit", "RatelimitPolicyRejected", "RatelimitTableEvicting"} <= {
        name for name, _ in queries()
    }


@pytest.mark.parametrize(("title", "query"), queries())
def test_query_names_only_what_exists(title: str, query: str) -> None:
    used = set(WORDS.findall(query))
    assert used, title
    assert used <= SERIES
    for label, wanted in MATCHERS.findall(query):
        assert label in LABELS, label
        if not wanted.startswith("$"):
            assert not VALUES.get(label) or set(wanted.split("|")) <= VALUES[label], (label, wanted)
    for group in GROUPINGS.findall(query):
        assert {name.strip() for name in group.split(",") if name.strip()} <= LABELS


@pytest.mark.parametrize("metric", names.METRICS, ids=lambda metric: metric.name)
def test_metric_follows_the_naming_rules(metric: names.Metric) -> None:
    assert re.fullmatch(r"ratelimit_[a-z_]+", metric.name)
    assert metric.help.rstrip().endswith(".")
    assert not metric.name.endswith("_total")
