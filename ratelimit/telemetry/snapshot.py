"""Snapshot of what a deployment counts, as numbers: for `ratelimit top` and the demo's board."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ratelimit.telemetry.metric import Metric


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
    """Return one moment of several hosts: sums of all they count.

    Clusters are no sum: hosts that share a server report the same ones, and one that starts knows fewer.
    """
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
            found.verdicts[verdict] = max(found.verdicts.get(verdict, 0), value)
        found.entries_live += one.entries_live
        found.away += one.away
        for name, numbers in one.loads.items():
            found.loads.setdefault(name, LoadNumbers()).add(numbers)
    return found


def quantile_bound_s(buckets: Mapping[float, int], share: float) -> float | None:
    """Return the upper bound of the bucket that holds the quantile; None without samples.

    The bound, not an interpolation: "99 % took at most this" is what is known.
    """
    bounds = sorted(buckets)
    if not bounds or not buckets[bounds[-1]]:
        return None
    wanted = share * buckets[bounds[-1]]
    return next(bound for bound in bounds if buckets[bound] >= wanted)
