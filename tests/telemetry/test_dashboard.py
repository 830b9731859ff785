"""The dashboard: Grafana's own schema knows all of it, and it shows what there is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from ratelimit.load.metrics import METRICS as LOAD_METRICS
from ratelimit.telemetry import names
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


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is of the kind that an annotation says."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin in (Union, UnionType):
        return any(fits(value, part) for part in parts)
    if origin is Literal:
        return value in parts
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return value in [each.value for each in kind]
    return isinstance(value, origin or kind)


def misfits(read: Any, place: str = "") -> Iterator[str]:
    """Yield where what Grafana's schema read has a value of another type than the schema says."""
    if isinstance(read, list):
        for at, each in enumerate(read):
            yield from misfits(each, f"{place}[{at}]")
    elif isinstance(read, dict):
        for key, each in read.items():
            yield from misfits(each, f"{place}.{key}")
    elif hasattr(type(read), "from_json"):
        kinds = get_type_hints(type(read))
        for key, each in vars(read).items():
            if key in kinds and not fits(each, kinds[key]):
                yield f"{place}.{key}"
            yield from misfits(each, f"{place}.{key}")


def spoilt(**settings: Any) -> dict[str, Any]:
    """Return the dashboard with other settings of its first panel with queries."""
    copy: dict[str, Any] = json.loads(json.dumps(WRITTEN))
    first = copy["panels"].index(next(each for each in copy["panels"] if each["type"] != "row"))
    copy["panels"][first].update(settings)
    return copy


def test_every_value_is_of_the_type_that_grafana_says() -> None:
    register_default_plugins()
    assert list(misfits(Dashboard.from_json(WRITTEN))) == []
    queries = PANELS[0]["targets"]
    for wrong, place in (
        (spoilt(title=5), "title"),
        (spoilt(gridPos={"x": "0", "y": 0, "w": 12, "h": 8}), "grid_pos.x"),
        (spoilt(targets=[{**queries[0], "expr": 5}]), "targets[0].expr"),
        (spoilt(transparent="yes"), "transparent"),
    ):
        (found,) = misfits(Dashboard.from_json(wrong))
        assert found.endswith(place)


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
