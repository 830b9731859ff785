"""Rows, columns and metrics of estimates and what came of them: see `names`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from ratelimit.telemetry.metric import Label, Metric, Samples, Totals

RATIO_BOUNDS_PERCENT: tuple[int, ...] = (25, 50, 100, 125, 200, 500)
"""As many as leave room in one counter for the rest and the sum."""
RATIO_SUM_PERCENT = len(RATIO_BOUNDS_PERCENT) + 1

MOST_RATIOS = 16
"""Limits with ratios of their own: the table has few counters beside those of the limits."""
OTHERS = "(others)"
"""The label of the limits beyond; no limit can have that name."""

UNSETTLED_UNITS = Metric(
    "ratelimit_unsettled_units",
    "gauge",
    "Estimates of requests in flight that are charged and not settled yet. "
    "For limits with a unit, and requests through the ASGI middleware.",
    (
        Label("limit", source="name of the limit in the policy file"),
        Label("unit", source="cost unit of the limit in the policy file"),
    ),
    per_worker=True,
)
SETTLEMENT_RATIO = Metric(
    "ratelimit_settlement_ratio",
    "histogram",
    "Real cost divided by its estimate, of requests that were settled, when they end. "
    f"For limits with a unit and estimates above 0; those beyond the first {MOST_RATIOS} share one label.",
    (Label("limit", source=f"name of the limit in the policy file, or `{OTHERS}`"),),
    bounds=RATIO_BOUNDS_PERCENT,
    scale=100,
)
CERTAINTIES = ("exact", "at_least", "unknown")
MOST_ROUTES = 12
"""Routes with counts of their own: the table has few counters beside those of the limits."""
SETTLED = Metric(
    "ratelimit_settled",
    "counter",
    "Answers of limits with `usage` that ended: with all of it; with less, so that they are charged the "
    "estimate at least; or with no word of it. "
    f"Routes beyond the first {MOST_ROUTES} of the policy share one label.",
    (
        Label("certainty", CERTAINTIES),
        Label("route", source=f"path template of the policy, or `{OTHERS}`"),
    ),
)
METRICS = (UNSETTLED_UNITS, SETTLEMENT_RATIO, SETTLED)
"""Exported only where the policy has limits with a unit."""


class CountedRule(Protocol):
    """The needed part of a rule of the policy."""

    @property
    def name(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def is_beside(self) -> bool: ...


class MatchingLimit(Protocol):
    """The needed part of a limit of the policy."""

    @property
    def match(self) -> tuple[str, ...]: ...
    @property
    def unit(self) -> str: ...


def ratio_labels(rules: Iterable[CountedRule]) -> Mapping[str, str]:
    """Return the label of `ratelimit_settlement_ratio` for each limit with a unit, by name.

    Args:
        rules: of the policy in force, in its order.
    """
    names = dict.fromkeys(rule.name for rule in rules if not rule.is_beside and rule.unit != "requests")
    return {name: name if at < MOST_RATIOS else OTHERS for at, name in enumerate(names)}


def route_labels(limits: Iterable[MatchingLimit]) -> Mapping[str, str]:
    """Return the label of `ratelimit_settled` for each path template of the policy.

    Args:
        limits: of the policy in force. Those with a unit come first.
    """
    ordered = sorted(limits, key=lambda limit: limit.unit == "requests")
    templates = dict.fromkeys(match.rpartition(" ")[2] for limit in ordered for match in limit.match)
    return {template: template if at < MOST_ROUTES else OTHERS for at, template in enumerate(templates)}


def settled_counter(label: str) -> str:
    """Return what the counter of a route is called."""
    return f"\x1fsettled {label}"


def ratio_counter(label: str) -> str:
    """Return what the counter of a label is called."""
    return f"\x1fratio {label}"


def samples(limiter: Any, totals: Totals) -> Iterator[Samples]:
    """Yield what is charged by estimate, and how good estimates were."""
    rules = {rule.name: rule.unit for rule in limiter.rules if not rule.is_beside}
    units = {name: unit for name, unit in rules.items() if unit != "requests"}
    if not units:
        return
    unsettled = limiter.unsettled_units
    yield Samples(
        UNSETTLED_UNITS,
        [({"limit": name, "unit": unit}, unsettled.get(name, 0)) for name, unit in units.items()],
    )
    labels = dict.fromkeys(ratio_labels(limiter.rules).values())
    routes = limiter.metered_routes
    if routes:
        counted = {route: totals(settled_counter(route)) for route in routes}
        yield Samples(
            SETTLED,
            [
                ({"certainty": certainty, "route": route}, counted[route][at])
                for route in routes
                for at, certainty in enumerate(CERTAINTIES)
            ],
        )
    yield Samples(SETTLEMENT_RATIO, [({"limit": label}, totals(ratio_counter(label))) for label in labels])
