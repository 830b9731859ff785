"""Metrics of conduct and of steep rises, and the counters behind them."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Any

from ratelimit.features import steps
from ratelimit.telemetry.metric import Label, Metric, Samples, Totals, counted


class RampColumn(IntEnum):
    """Columns of the counter of delayed rises."""

    ENFORCED = 0
    IN_SHADOW = 1


COUNTER_RAMP = "\x1framp"
COUNTER_STRIKES = "\x1fstrikes"
STRIKE_KINDS = ("persists", "grows", "surer")
"""What the columns of that counter count, in the order of `conduct.model.strikes.Strike`."""
COUNTER_STEPS = "\x1fsteps"
CONDUCT_STEPS: tuple[str, ...] = tuple(step.name for step in steps.STEPS if step.effect != "refuses")
"""What the columns of that counter count: steps of limits by which a request goes on."""

STRIKES = Metric(
    "ratelimit_conduct_strikes",
    "counter",
    "Strikes on accounts and actors: calls through refusals, an actor that grew, one that became certain.",
    (Label("kind", STRIKE_KINDS),),
)
STEPS = Metric(
    "ratelimit_conduct_steps",
    "counter",
    "Requests that conduct left no room for and that went by the whole limit, by the step.",
    (Label("step", CONDUCT_STEPS),),
)
RAMP = Metric(
    "ratelimit_ramp_delayed",
    "counter",
    "Requests of accounts that rose steeply above their own past: held for a while, or would have been.",
    (Label("mode", ("enforce", "shadow")),),
)
_COUNTERS = {STRIKES: COUNTER_STRIKES, STEPS: COUNTER_STEPS, RAMP: COUNTER_RAMP}
"""Where each is counted, a column for each value of its label."""
METRICS = tuple(_COUNTERS)


def samples(limiter: Any, totals: Totals) -> Iterator[Samples]:
    """Yield what was counted."""
    for metric, counter in _COUNTERS.items():
        yield counted(metric, totals(counter))
