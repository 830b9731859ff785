"""An exposition of metrics read back as numbers: for `ratelimit top` and the demo's board."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

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
from ratelimit.telemetry.metric import Metric
from ratelimit.telemetry.remote import STORE_AWAY


@dataclass(slots=True)
class LimitCounts:
    """Verdicts of one limit so far."""

    allowed: int = 0
    refused: int = 0
    refused_in_shadow: int = 0
    skipped: int = 0
    likely_refused: int = 0
    """Refusals of likely clusters if it bound them."""
    shadow: bool = False

    @property
    def would_refuse(self) -> int:
        """Refusals that it would have made, in shadow or of likely clusters."""
        return self.refused_in_shadow + self.likely_refused


_BY_VERDICT = (names.CLUSTERS.exported, names.CLUSTER_MEMBERS.exported)


@dataclass(slots=True)
class LoadNumbers:
    """A limit that follows the load, at one moment."""

    answering: float = 0.0
    waiting: float = 0.0
    """Requests without a first byte."""
    held: float = 0.0
    """Requests that wait in the gateway."""
    bound: float = 0.0
    """How many may be without a first byte now."""
    learned: float = 0.0
    """How many may be while first bytes come."""
    still_s: float = 0.0
    pressure: float = 0.0
    target_s: float = 0.0
    enforced: float = 1.0
    """0 in shadow."""
    shed: dict[str, int] = field(default_factory=dict)
    """Requests shed by class, those in shadow included."""
    kept_free: float = 0.0
    """Share of the places that the last of several classes leaves free."""

    def add(self, other: LoadNumbers) -> None:
        """Take in another host's: sums of what is counted, the worst of what is measured."""
        for name in ("answering", "waiting", "held", "bound", "learned"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("kept_free", "still_s", "pressure", "target_s"):
            setattr(self, name, max(getattr(self, name), getattr(other, name)))
        self.enforced = min(self.enforced, other.enforced)
        for class_, count in other.shed.items():
            self.shed[class_] = self.shed.get(class_, 0) + count


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


@dataclass(slots=True)
class Snapshot:
    """One moment of one deployment."""

    limits: dict[str, LimitCounts] = field(default_factory=dict)
    requests: dict[tuple[str, str], int] = field(default_factory=dict)
    """By action and reason."""
    latency: dict[float, int] = field(default_factory=dict)
    """Cumulative count by upper bound in seconds."""
    gauges: dict[str, float] = field(default_factory=dict)
    """Everything else without labels, by its name."""
    verdicts: dict[tuple[str, str], float] = field(default_factory=dict)
    """Gauges of clusters, by name and verdict."""
    entries_live: int = 0
    away: int = 0
    """Workers that do not ask the server."""
    loads: dict[str, LoadNumbers] = field(default_factory=dict)
    """The limits that follow the load, by name."""

    @property
    def decided(self) -> int:
        """Requests decided."""
        return sum(self.requests.values())

    @property
    def refused(self) -> int:
        """Requests refused, for whatever reason."""
        return sum(count for (action, _), count in self.requests.items() if action == "refuse")

    def gauge(self, metric: Metric) -> float:
        """Return a metric without labels; 0 if the exposition lacks it."""
        return self.gauges.get(metric.exported, 0.0)

    def of_verdict(self, metric: Metric, verdict: str) -> float:
        """Return a gauge of clusters for one verdict; 0 if the exposition lacks it."""
        return self.verdicts.get((metric.exported, verdict), 0.0)


def total(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Return one moment of several deployments: sums of all they count."""
    found = Snapshot()
    for one in snapshots:
        for name, counts in one.limits.items():
            sums = found.limits.setdefault(name, LimitCounts())
            sums.allowed += counts.allowed
            sums.refused += counts.refused
            sums.refused_in_shadow += counts.refused_in_shadow
            sums.skipped += counts.skipped
            sums.likely_refused += counts.likely_refused
            sums.shadow = counts.shadow
        for key, requests in one.requests.items():
            found.requests[key] = found.requests.get(key, 0) + requests
        for bound, answers in one.latency.items():
            found.latency[bound] = found.latency.get(bound, 0) + answers
        for name, value in one.gauges.items():
            found.gauges[name] = found.gauges.get(name, 0) + value
        for verdict, value in one.verdicts.items():
            found.verdicts[verdict] = found.verdicts.get(verdict, 0) + value
        found.entries_live += one.entries_live
        found.away += one.away
        for name, numbers in one.loads.items():
            found.loads.setdefault(name, LoadNumbers()).add(numbers)
    return found


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
        elif action == "degrade":
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


def quantile_bound_s(buckets: Mapping[float, int], share: float) -> float | None:
    """Return the upper bound of the bucket that holds the quantile; None without samples.

    The bound, not an interpolation: "99 % took at most this" is what is known.
    """
    bounds = sorted(buckets)
    if not bounds or not buckets[bounds[-1]]:
        return None
    wanted = share * buckets[bounds[-1]]
    return next(bound for bound in bounds if buckets[bound] >= wanted)
