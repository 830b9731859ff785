"""Exposed metrics read back as numbers, from a page or from a collector."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from ratelimit.features.steps import BY_NAME
from ratelimit.load.metrics import (
    LOAD_BOUND,
    LOAD_ENFORCED,
    LOAD_HELD,
    LOAD_KEPT_FREE,
    LOAD_PRESSURE,
    LOAD_REQUESTS,
    LOAD_SHED,
    LOAD_STILL,
    LOAD_TARGET,
)
from ratelimit.telemetry import names
from ratelimit.telemetry.remote import STORE_AWAY
from ratelimit.telemetry.snapshot import LimitCounts, LoadNumbers, Snapshot

_BY_VERDICT = (names.CLUSTERS.exported, names.CLUSTER_MEMBERS.exported)
_LOAD_FIELDS: Mapping[tuple[str, str], str] = {
    (LOAD_REQUESTS.exported, "answering"): "answering",
    (LOAD_REQUESTS.exported, "waiting"): "waiting",
    (LOAD_BOUND.exported, "waiting"): "bound",
    (LOAD_BOUND.exported, "learned"): "learned",
    (LOAD_HELD.exported, ""): "held",
    (LOAD_KEPT_FREE.exported, ""): "kept_free",
    (LOAD_STILL.exported, ""): "still_s",
    (LOAD_PRESSURE.exported, ""): "pressure",
    (LOAD_TARGET.exported, ""): "target_s",
    (LOAD_ENFORCED.exported, ""): "enforced",
}
"""By sample and the value of its other label: which number of a limit that follows the load it is."""


def of_text(text: str) -> Snapshot:
    """Return what the text of a `/metrics` page says.

    Raises:
        ValueError: it is not Prometheus text, or nothing in it is ours.
    """
    try:
        families = list(text_string_to_metric_families(text))
    except Exception as error:
        # The parser stumbles over what is no such text in many ways; none means anything else.
        raise ValueError("the page has no metrics in the text format of Prometheus") from error
    return of_families(families)


def of_families(families: Iterable[Family]) -> Snapshot:
    """Return what some metric families say.

    Raises:
        ValueError: nothing in them is ours.
    """
    snapshot = Snapshot()
    seen = False
    for family in families:
        for sample in family.samples:
            # Of other programs, too: their metrics may have any name, labels and value.
            wanted = _LABELS.get(sample.name)
            if wanted is not None and wanted <= sample.labels.keys() and _is_finite(sample.value):
                seen = _take(snapshot, sample.name, sample.labels, sample.value) or seen
    if not seen:
        raise ValueError("no ratelimit metrics there")
    return snapshot


def _is_finite(value: float) -> bool:
    """Return whether a float can have a value: the parser reads digits as an int of any size."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _labels() -> dict[str, frozenset[str]]:
    """Return the labels of every sample that is ours."""
    found = {}
    for metric in names.METRICS:
        labels = frozenset(label.name for label in metric.labels)
        found[metric.exported] = labels
        if metric.kind == "histogram":
            found |= {f"{metric.name}_{part}": labels for part in ("count", "sum", "created")}
            found[f"{metric.name}_bucket"] = labels | {"le"}
    return found


_LABELS = _labels()


def _take(snapshot: Snapshot, name: str, labels: Mapping[str, str], value: float) -> bool:
    """Note a sample with the labels of ours; return whether it is one."""
    count = max(int(value), 0)
    if name == names.DECISIONS.exported:
        counts = snapshot.limits.setdefault(labels["limit"], LimitCounts())
        action, shadow = labels["action"], labels["mode"] == "shadow"
        if action == "allow":
            counts.allowed += count
            counts.shadow = shadow
        elif action in BY_NAME and BY_NAME[action].admits:
            pass  # it passed, with less
        elif action == "skip":
            counts.skipped += count
        elif shadow:
            counts.refused_in_shadow += count
        else:
            counts.refused += count
    elif name == names.REQUESTS.exported:
        snapshot.requests[labels["action"], labels["reason"]] = count
    elif name == f"{names.LATENCY.name}_bucket":
        bound = _bound_of(labels["le"])
        if bound is None:
            return False
        snapshot.latency[bound] = count
    elif name == names.TABLE_ENTRIES.exported and labels["state"] == "live":
        snapshot.entries_live = count
    elif name == names.LIKELY_DECISIONS.exported and labels["action"] == "refuse":
        counts = snapshot.limits.setdefault(labels["limit"], LimitCounts())
        counts.likely_refused += count
    elif name in _BY_VERDICT:
        snapshot.verdicts[name, labels["verdict"]] = value
    elif name == LOAD_SHED.exported:
        shed = snapshot.loads.setdefault(labels["group"], LoadNumbers()).shed
        shed[labels["class"]] = shed.get(labels["class"], 0) + count
    elif (number := _LOAD_FIELDS.get((name, labels.get("state", labels.get("on", ""))))) is not None:
        setattr(snapshot.loads.setdefault(labels["group"], LoadNumbers()), number, value)
    elif name == STORE_AWAY.exported:
        snapshot.away = count
    elif not labels:
        snapshot.gauges[name] = value
    return True


def _bound_of(text: str) -> float | None:
    try:
        bound = float(text)
    except ValueError:
        return None
    return bound if bound > 0 else None
