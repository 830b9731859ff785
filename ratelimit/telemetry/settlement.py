"""Rows, columns and metrics of estimates and what came of them: see `names`."""

from __future__ import annotations

from ratelimit.telemetry.metric import Label, Metric

ROW_RATIOS = "\x1fratios"
RATIO_BOUNDS_PERCENT: tuple[int, ...] = (10, 25, 50, 75, 90, 100, 110, 125, 150, 200, 300, 500, 1000)
RATIO_REST = len(RATIO_BOUNDS_PERCENT)
RATIO_SUM_PERCENT = RATIO_REST + 1
RATIO_WIDTH = RATIO_SUM_PERCENT + 1

UNSETTLED_UNITS = Metric(
    "ratelimit_unsettled_units",
    "gauge",
    "Estimates of requests in flight that are charged and not settled yet. "
    "Of limits with a unit, and of requests through the ASGI middleware.",
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
    "One for each limit with a unit and an estimate above 0.",
)
SETTLEMENT_METRICS: tuple[Metric, ...] = (UNSETTLED_UNITS, SETTLEMENT_RATIO)
"""Exported only where the policy has limits with a unit."""
