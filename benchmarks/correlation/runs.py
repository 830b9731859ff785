"""Runs of contenders over scenarios and seeds, and their results."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.correlation import baselines
from benchmarks.correlation.contender import Contender, Outcome
from benchmarks.correlation.frontier import SWEEPS, price_a_day, variant
from benchmarks.correlation.kinlimit import Kinlimit
from benchmarks.correlation.scenario import Scale, build
from benchmarks.correlation.verdict import Verdict, judge

CONTENDERS: dict[str, Callable[[], Contender]] = {
    "kinlimit": Kinlimit,
    "per-account": baselines.PerAccount,
    "per-address": baselines.PerAddress,
    "per-network": baselines.per_network,
    "union-find": baselines.UnionFind,
    "union-find-cut": baselines.CutUnionFind,
    "additive": baselines.Additive,
    "true-labels": baselines.TrueLabels,
}


@dataclass(frozen=True, slots=True)
class Result:
    """One contender on one trace.

    Args:
        requests: of the trace.
        price: dollars a day the attacker spends, for points of the evasion frontier.
    """

    scenario: str
    seed: int
    contender: str
    requests: int
    verdict: Verdict
    price: float | None = None


def run(
    scenarios: Sequence[str], seeds: int, scale: Scale, contenders: Sequence[str], data: Path | None
) -> Iterator[Result]:
    """Yield results as they come; a trace is built once, and a control run once for all baselines."""
    for scenario in scenarios:
        for seed in range(1, seeds + 1):
            trace = build(scenario, scale, seed, data)
            price = None
            sweep = scenario.partition(":")[2]
            if sweep in SWEEPS:
                price = price_a_day(trace, 0, scale.sized(variant(sweep)))
            control: Outcome | None = None
            for name in contenders:
                contender = CONTENDERS[name]()
                if isinstance(contender, Kinlimit):
                    verdict = judge(trace, contender.run(trace), contender.control(trace))
                else:
                    control = control or contender.control(trace)
                    verdict = judge(trace, contender.run(trace), control)
                yield Result(scenario, seed, name, len(trace), verdict, price)


@dataclass(frozen=True, slots=True)
class Interval:
    """A number over seeds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        """Return the interval of some values, of which there is at least one."""
        ordered = sorted(values)
        middle = len(ordered) // 2
        median = ordered[middle]
        if len(ordered) % 2 == 0 and math.isfinite(median):
            median = (median + ordered[middle - 1]) / 2
        return cls(median, ordered[0], ordered[-1])


def interval(results: Sequence[Result], scenario: str, contender: str, number: str) -> Interval | None:
    """Return a number of one contender in one scenario over its seeds, None if it has none."""
    values = [
        float(result.verdict.numbers[number])
        for result in results
        if result.scenario == scenario and result.contender == contender and number in result.verdict.numbers
    ]
    return Interval.of(values) if values else None


def as_json(results: Sequence[Result]) -> list[dict[str, object]]:
    """Return results for machines; what is infinite (never attached) becomes null."""
    return [
        {
            "scenario": result.scenario,
            "seed": result.seed,
            "contender": result.contender,
            "requests": result.requests,
            "price": result.price,
            "numbers": {
                name: float(value) if np.isfinite(value) else None
                for name, value in result.verdict.numbers.items()
            },
            "classes": {name: harm.as_dict() for name, harm in result.verdict.harm.items()},
            "hourly": [
                {"admitted": admitted, "possible": possible} for admitted, possible in result.verdict.curves
            ],
        }
        for result in results
    ]
