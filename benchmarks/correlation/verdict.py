"""One contender, one trace: all that is measured, flat."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.correlation.collateral import Harm, by_class
from benchmarks.correlation.containment import attachment, containment, hourly
from benchmarks.correlation.contender import Outcome
from benchmarks.correlation.partition import clusters
from benchmarks.correlation.trace import Trace

FEW = 10
"""Classes with fewer accounts have no share worth a bound."""
# A campaign is as well contained as the worst of those in the trace.
_WORST_IS_LEAST = ("attached, first wave", "attached, replacements")


@dataclass(slots=True)
class Verdict:
    """What came of it.

    Args:
        numbers: by name; of several campaigns the worst.
        harm: by class of honest accounts.
        curves: for each campaign requests admitted and possible by hour.
    """

    numbers: dict[str, float]
    harm: dict[str, Harm]
    curves: list[tuple[list[float], list[float]]] = field(default_factory=list)


def judge(trace: Trace, outcome: Outcome, control: Outcome) -> Verdict:
    """Return what is to be said of a contender on a trace."""
    numbers: dict[str, float] = {}
    curves = []
    for campaign in trace.starts_ns:
        found = containment(trace, outcome, control, campaign) | attachment(trace, outcome, campaign)
        for name, value in found.items():
            worse = min if name in _WORST_IS_LEAST else max
            numbers[name] = worse(numbers.get(name, value), value)
        admitted, possible = hourly(trace, outcome, control, campaign)
        curves.append((admitted.tolist(), possible.tolist()))
    harm = by_class(trace, outcome, control)
    numbers |= clusters(trace, outcome)
    numbers["honest refused"] = harm["honest"].refused
    numbers["honest ever refused"] = harm["honest"].ever
    if "victims" in harm:
        numbers["victims refused"] = harm["victims"].refused
    numbers["worst class refused"] = max(
        (one.refused for name, one in harm.items() if one.accounts >= FEW and name != "victims"), default=0.0
    )
    numbers |= outcome.cost
    return Verdict(numbers, harm, curves)
