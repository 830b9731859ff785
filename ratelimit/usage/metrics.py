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
METRICS = (UNSETTLED_UNITS, SETTLEMENT_RATIO)
"""Exported only where the policy has limits with a unit."""


class CountedRule(Protocol):
    """The needed part of a rule of the policy."""

    @property
    def name(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def is_beside(self) -> bool: ...


def ratio_labels(rules: Iterable[CountedRule]) -> Mapping[str, str]:
    """Return the label of `ratelimit_settlement_ratio` for each limit with a unit, by name.

    Args:
        rules: of the policy in force, in its order.
    """
    names = dict.fromkeys(rule.name for rule in rules if not rule.is_beside and rule.unit != "requests")
    return {name: name if at < MOST_RATIOS else OTHERS for at, name in enumerate(names)}


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
    yield Samples(SETTLEMENT_RATIO, [({"limit": label}, totals(ratio_counter(label))) for label in labels])
