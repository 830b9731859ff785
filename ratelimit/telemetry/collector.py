"""The read side: a Prometheus collector that looks only when it is scraped.

Theory of operation. Workers count into the shared table, and a scrape of any one of them sums every
worker that ever was. So a load balancer may send Prometheus where it likes, and no multi-process
directory is needed. Two gauges are the answering worker's own and say so in their help.

Cardinality is fixed by the policy: (limits x a few actions); series of a limit
leave the exposition when a reload removes the limit.

In one file, since all families are yielded in the order in which they are documented.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from ratelimit.decision import Reason
from ratelimit.features.parts import parts
from ratelimit.features.steps import RefusalStep
from ratelimit.telemetry import names, remote
from ratelimit.telemetry.cells import CounterSource, totals
from ratelimit.telemetry.exemplars import Exemplars
from ratelimit.telemetry.metric import Metric, Samples
from ratelimit.telemetry.names import RuleColumn, RuntimeColumn

_REFUSAL = ("refuse", "enforce")


class CounterTable(CounterSource, Protocol):
    """The part of `core.memory.table.Table` that is read."""

    def stats(self, now_ns: int, /) -> Mapping[str, int]: ...


class WatchedRule(Protocol):
    """The part of one compiled rule that is read."""

    @property
    def name(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def shadow(self) -> bool: ...
    @property
    def first(self) -> str: ...
    @property
    def following(self) -> RefusalStep: ...
    @property
    def acts(self) -> str: ...
    @property
    def is_clustered(self) -> bool: ...
    @property
    def is_twin(self) -> bool: ...
    @property
    def is_beside(self) -> bool: ...
    @property
    def counter_name(self) -> str: ...


class WatchedReload(Protocol):
    """The part of the last reload that is read."""

    @property
    def result(self) -> str: ...


class WatchedPolicy(Protocol):
    """The part of the policy in force that is read."""

    @property
    def digest(self) -> int: ...


class Watched(Protocol):
    """What is read of a limiter, beside what features read for their own metrics."""

    @property
    def table(self) -> CounterTable: ...
    @property
    def rules(self) -> Sequence[WatchedRule]: ...
    @property
    def generation(self) -> int: ...
    @property
    def reloaded_ns(self) -> int: ...
    @property
    def last_reload(self) -> WatchedReload | None: ...
    @property
    def policy(self) -> WatchedPolicy: ...
    @property
    def correlation(self) -> Mapping[str, int]: ...
    @property
    def remote(self) -> Mapping[str, float]: ...
    @property
    def exemplars(self) -> Exemplars | None: ...
    def now_ns(self) -> int: ...
    def drift_ns(self) -> int: ...


class RateLimitCollector(Collector):
    """Exports one limiter; `registry.register(RateLimitCollector(limiter))`."""

    def __init__(self, limiter: Watched) -> None:
        self._limiter = limiter

    def describe(self) -> Iterator[Family]:
        """Return the families without samples, so that registering does not scrape."""
        for metric in names.METRICS:
            yield _family(metric)

    def collect(self) -> Iterator[Family]:
        """Return every family with the totals of this moment."""
        table = self._limiter.table
        yield from self._requests(table)
        yield from self._limits(table)
        yield self._latency(table)
        yield from self._table(table)
        yield from self._runtime(table)
        yield from served(table, self._limiter.remote)
        yield from correlated(self._limiter.correlation)
        for part in parts("metrics"):
            for samples in part.samples(self._limiter, partial(totals, table)):
                yield _of(samples)

    def _requests(self, table: CounterTable) -> Iterator[Family]:
        cells = totals(table, names.COUNTER_REQUESTS, names.REQUESTS_WIDTH)
        family = _family(names.REQUESTS)
        for (allowed, reason), column in names.REQUEST_COLUMN.items():
            labels = {"action": names.ACTIONS[0 if allowed else 1], "reason": reason.value}
            family.add_sample(names.REQUESTS.exported, labels, cells[column])
        shed = totals(table, names.COUNTER_RUNTIME, len(RuntimeColumn))[names.CAPACITY_COLUMN]
        labels = {"action": names.ACTIONS[1], "reason": Reason.CAPACITY.value}
        family.add_sample(names.REQUESTS.exported, labels, shed)
        yield family

    def _limits(self, table: CounterTable) -> Iterator[Family]:
        decisions, units = _family(names.DECISIONS), _family(names.COST_UNITS)
        likely, forgiven = _family(names.LIKELY_DECISIONS), _family(names.FORGIVEN_UNITS)
        acted, exemplars = _family(names.ACTED), self._limiter.exemplars
        clustered = _family(names.LIMIT_PER_CLUSTER)
        # Tiers of a limit are rules of the same name and share its counter.
        rules = {rule.name: rule for rule in self._limiter.rules if not rule.is_beside}
        twins = {rule.name: rule.counter_name for rule in self._limiter.rules if rule.is_twin}
        for name, counter_name in twins.items():
            cells = totals(table, counter_name)
            for action, column in (
                ("allow", RuleColumn.ALLOWED),
                ("refuse", RuleColumn.REFUSED_IN_SHADOW),
            ):
                labels = {"limit": name, "action": action}
                likely.add_sample(names.LIKELY_DECISIONS.exported, labels, cells[column])
        exposed = {
            rule.name: rule.counter_name
            for rule in self._limiter.rules
            if rule.is_beside and not rule.is_twin
        }
        for name, rule in rules.items():
            cells = totals(table, name)
            if rule.is_clustered:
                clustered.add_sample(names.LIMIT_PER_CLUSTER.exported, {"limit": name}, 1)
            if name in exposed:
                beside = totals(table, exposed[name])
                labels = {"limit": name, "action": "refuse", "mode": "exposure"}
                decisions.add_sample(names.DECISIONS.exported, labels, beside[RuleColumn.REFUSED])
            own = "shadow" if rule.shadow else "enforce"
            for action, mode, count in _said(rule.following, own, cells):
                labels = {"limit": name, "action": action, "mode": mode}
                seen = exemplars.of_limit(name) if exemplars and (action, mode) == _REFUSAL else None
                decisions.add_sample(names.DECISIONS.exported, labels, count, exemplar=seen)
            for action, column in (
                ("allow", RuleColumn.UNITS_ADMITTED),
                ("refuse", RuleColumn.UNITS_REFUSED),
            ):
                labels = {"limit": name, "unit": rule.unit, "action": action}
                units.add_sample(names.COST_UNITS.exported, labels, cells[column])
            if rule.acts:
                labels = {"limit": name, "action": rule.acts}
                column = RuleColumn.REFUSED_IN_SHADOW if rule.acts == rule.first else RuleColumn.ACTED
                acted.add_sample(names.ACTED.exported, labels, 0 if rule.shadow else cells[column])
            labels = {"limit": name, "unit": rule.unit}
            forgiven.add_sample(names.FORGIVEN_UNITS.exported, labels, cells[RuleColumn.UNITS_FORGIVEN])
        yield decisions
        yield clustered
        yield likely
        yield units
        yield forgiven
        yield acted

    def _latency(self, table: CounterTable) -> Family:
        cells = totals(table, names.COUNTER_LATENCY, names.LATENCY_WIDTH)
        return _histogram(names.LATENCY, cells, exemplars=self._limiter.exemplars)

    def _table(self, table: CounterTable) -> Iterator[Family]:
        stats = table.stats(self._limiter.now_ns())
        live, used = stats["live"], stats["used"]
        yield _labelled(names.TABLE_ENTRIES, {"live": live, "idle": max(used - live, 0)})
        yield _plain(names.TABLE_CAPACITY, stats["capacity"])
        yield _plain(names.EVICTIONS, stats["evictions"])
        blocks, blocks_used = stats["blocks"], stats["blocks_used"]
        yield _labelled(names.BLOCKS, {"used": blocks_used, "free": max(blocks - blocks_used, 0)})
        yield _plain(names.BLOCK_EVICTIONS, stats["block_evictions"])
        yield _plain(names.WORKERS, stats["workers"])
        state = self._limiter.remote
        if state:
            # Of itself this worker knows it before its next sign of life.
            yield _plain(remote.STORE_AWAY, max(stats["away"], state["is_away"]))

    def _runtime(self, table: CounterTable) -> Iterator[Family]:
        cells = totals(table, names.COUNTER_RUNTIME, len(RuntimeColumn))
        yield _plain(names.STORE_FAULTS, cells[RuntimeColumn.STORE_FAULTS])
        yield _plain(names.POLICY_GENERATION, self._limiter.generation)
        yield _labelled(
            names.POLICY_RELOADS,
            {
                "applied": cells[RuntimeColumn.RELOADS_APPLIED],
                "unchanged": cells[RuntimeColumn.RELOADS_UNCHANGED],
                "rejected": cells[RuntimeColumn.RELOADS_REJECTED],
            },
        )
        told = totals(table, names.COUNTER_EVENTS, len(names.EVENTS))
        yield _labelled(names.EVENTS_TOLD, dict(zip(names.EVENTS, told, strict=False)))
        yield _labelled(
            names.EVENTS_LOST,
            {
                "log": cells[RuntimeColumn.EVENTS_LOST_LOG],
                "file": cells[RuntimeColumn.EVENTS_LOST_FILE],
                "webhook": cells[RuntimeColumn.EVENTS_LOST_WEBHOOK],
                "journal": cells[RuntimeColumn.EVENTS_LOST_JOURNAL],
            },
        )
        yield _plain(names.POLICY_RELOADED, self._limiter.reloaded_ns / 1e9)
        last = self._limiter.last_reload
        yield _plain(names.POLICY_RELOAD_SUCCESSFUL, int(last is None or last.result != "rejected"))
        yield _plain(names.POLICY_DIGEST, self._limiter.policy.digest)
        yield _plain(names.CLOCK_DRIFT, self._limiter.drift_ns() / 1e9)
        said = totals(table, names.COUNTER_DIAGNOSTICS, len(names.DIAGNOSTIC_CODES))
        yield _labelled(names.DIAGNOSTICS, dict(zip(names.DIAGNOSTIC_CODES, said, strict=False)))


def _said(first: RefusalStep, own: str, cells: Sequence[int]) -> Iterator[tuple[str, str, int]]:
    """Yield what a limit said with its first step: word, mode and count."""
    allowed, without = cells[RuleColumn.ALLOWED], cells[RuleColumn.REFUSED_IN_SHADOW]
    if first.asks and own == "enforce":
        # Those without room that had passed count with what it allows.
        yield "allow", own, allowed + without
        yield first.name, own, cells[RuleColumn.REFUSED]
    else:
        yield "allow", own, allowed
        yield "refuse", "enforce", cells[RuleColumn.REFUSED]
        # What a limit lets pass without room is no matter of shadow.
        yield first.name, own if first.admits else "shadow", without
    yield "skip", own, cells[RuleColumn.SKIPPED]


def served(table: CounterTable, state: Mapping[str, float]) -> Iterator[Family]:
    """Yield the families of a store that is a server; none where it is this host's memory."""
    if not state:
        return
    cells = totals(table, remote.COUNTER_REMOTE, len(remote.RemoteColumn))
    trips = totals(table, remote.COUNTER_ROUND_TRIPS, remote.ROUND_TRIP_WIDTH)
    yield _histogram(remote.ROUND_TRIPS, trips)
    yield _plain(remote.QUESTIONS, cells[remote.RemoteColumn.QUESTIONS])
    yield _plain(remote.BREAKER_TRIPS, cells[remote.RemoteColumn.TRIPS])
    yield _plain(remote.CORRECTIONS_LOST, cells[remote.RemoteColumn.CORRECTIONS_LOST])
    yield _plain(remote.COUNTERS_FORGOTTEN, cells[remote.RemoteColumn.COUNTERS_FORGOTTEN])
    yield _plain(remote.REQUESTS_FORGOTTEN, cells[remote.RemoteColumn.REQUESTS_FORGOTTEN])
    stood = totals(table, remote.COUNTER_STOOD_IN, len(remote.StoodInColumn))
    yield _plain(remote.REFUSED_BY_SHARE, stood[remote.StoodInColumn.BY_SHARE])
    yield _plain(remote.STORE_AWAY_SECONDS, cells[remote.RemoteColumn.AWAY_MS] / 1e3)
    yield _plain(remote.STORE_SHARE, state["share"])
    yield _plain(remote.STORE_HOSTS, state["hosts"])
    yield _plain(remote.STORE_WORKERS, state["workers"])


def _of(samples: Samples) -> Family:
    """Return a feature's family, as it is exported."""
    metric = samples.metric
    family = _family(metric)
    for labels, value in samples.values:
        if isinstance(family, HistogramMetricFamily):
            buckets, total = _buckets(metric, value)
            family.add_metric(tuple(labels.values()), buckets, sum_value=total)
        else:
            family.add_sample(metric.exported, dict(labels), value)
    return family


def _histogram(metric: Metric, cells: Sequence[int], exemplars: Exemplars | None = None) -> Family:
    """Return a histogram without labels."""
    family = HistogramMetricFamily(metric.name, metric.help)
    buckets, total = _buckets(metric, cells, exemplars)
    family.add_metric((), buckets, sum_value=total)
    return family


def _buckets(
    metric: Metric, cells: Sequence[int], exemplars: Exemplars | None = None
) -> tuple[list[tuple[str, float] | tuple[str, float, Exemplar]], float]:
    """Return buckets and sum: of a cell for each bound, one for the rest, and one for the sum."""
    bounds, scale = metric.bounds, metric.scale
    buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
    running = 0
    for at, bound in enumerate((*bounds, None)):
        running += cells[at]
        shown = "+Inf" if bound is None else repr(bound / scale)
        seen = None if exemplars is None else exemplars.of_bucket(at)
        buckets.append((shown, running) if seen is None else (shown, running, seen))
    return buckets, cells[len(bounds) + 1] / scale


def correlated(numbers: Mapping[str, int]) -> Iterator[Family]:
    """Yield the families of the correlation; none where nothing is correlated."""
    if not numbers:
        return
    for metric, key in ((names.CLUSTERS, "clusters"), (names.CLUSTER_MEMBERS, "members")):
        certain = numbers[f"certain_{key}"]
        yield _labelled(metric, {"certain": certain, "likely": max(0, numbers[key] - certain)})
    yield _plain(names.CLUSTERS_UNLABELLED, numbers["unlabelled"])
    yield _plain(names.CLUSTERS_YOUNG, numbers["young"])
    yield _labelled(
        names.CORRELATED, {"principal": numbers["principals"], "identifier": numbers["identifiers"]}
    )
    yield _labelled(
        names.CORRELATION_EVICTIONS,
        {"principal": numbers["principal_evictions"], "identifier": numbers["identifier_evictions"]},
    )
    results = ("taken", "dropped", "abandoned", "torn")
    yield _labelled(names.OBSERVATIONS, {result: numbers[result] for result in results})
    yield _plain(names.OBSERVATIONS_WAITING, numbers["waiting"])
    yield _plain(names.ASSIGNMENTS_OVERFLOWED, numbers["overflowed"])
    yield _plain(names.REBUILDS, numbers["rebuilds"])
    yield _plain(names.REBUILT, numbers["rebuilt_ns"] / 1e9)
    yield _plain(names.REBUILD_DURATION, numbers["rebuild_spent_ns"] / 1e9)
    yield _plain(names.LONGEST_SLICE, numbers["longest_slice_ns"] / 1e9)
    yield _plain(names.CORRELATION_SAVED, numbers["saved_ns"] / 1e9)
    yield _plain(names.CORRELATOR_HEARTBEAT, numbers["heartbeat_ns"] / 1e9)
    yield _plain(names.CORRELATOR_TERMS, numbers["term"])
    yield _plain(names.ASSIGNMENT_GENERATION, numbers["generation"])
    if "lease_term" in numbers:
        yield from _hosts(numbers)


def _hosts(numbers: Mapping[str, int]) -> Iterator[Family]:
    yield _plain(names.HOSTS_CORRELATING, numbers["is_correlator"])
    yield _plain(names.HOSTS_TERM, numbers["lease_term"] / 1e3)
    yield _plain(names.HOSTS_HEARD, numbers["heard_ns"] / 1e9)
    yield _plain(names.HOSTS_TAKEOVERS, numbers["takeovers"])
    yield _plain(names.HOSTS_CATCH_UPS, numbers["catch_ups"])
    yield _labelled(names.HOSTS_OBSERVATIONS, {"sent": numbers["sent"], "dropped": numbers["unsent"]})
    yield _plain(names.HOSTS_WAITING, numbers["outgoing"])
    yield _plain(names.HOSTS_SERVER_FAULTS, numbers["server_faults"])
    yield _plain(names.HOSTS_STREAM_LAG, numbers["stream_lag_ns"] / 1e9)
    yield _plain(names.HOSTS_STREAM_LOST, numbers["stream_lost"])


def _family(metric: Metric) -> Family:
    labels = [label.name for label in metric.labels]
    if metric.kind == "counter":
        return CounterMetricFamily(metric.name, metric.help, labels=labels)
    if metric.kind == "gauge":
        return GaugeMetricFamily(metric.name, metric.help, labels=labels)
    return HistogramMetricFamily(metric.name, metric.help, labels=labels)


def _plain(metric: Metric, value: float) -> Family:
    family = _family(metric)
    family.add_sample(metric.exported, {}, value)
    return family


def _samples(metric: Metric, values: Mapping[str, float]) -> Family:
    """Return a family with a sample for each value of its label, if it has one."""
    family = _family(metric)
    for value, number in values.items():
        family.add_sample(metric.exported, {label.name: value for label in metric.labels}, number)
    return family


def _labelled(metric: Metric, values: Mapping[str, float]) -> Family:
    """Return a family with one label, a sample for each of its values."""
    family = _family(metric)
    (label,) = metric.labels
    for value, number in values.items():
        family.add_sample(metric.exported, {label.name: value}, number)
    return family
