"""Measures of a world: harm by class, containment by campaign, purity of certain clusters."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.correlation.collateral import harm
from benchmarks.correlation.containment import containment
from benchmarks.correlation.contender import Outcome
from benchmarks.correlation.families import price
from benchmarks.correlation.families.catalogue import Entry
from benchmarks.correlation.families.world import World
from benchmarks.correlation.numbers import DAY_NS, HOUR_NS

NEVER = float("inf")
TWO_WEEKS_NS = 14 * DAY_NS


@dataclass(frozen=True, slots=True)
class Crowd:
    """One class of honest accounts in one world.

    Args:
        new: all of it was created while the trace lasts.
        ordinary: part of the population that every world has.
        requests, accounts: sent and seen.
        refused: requests that correlation refused, beyond what the control does.
        ever: accounts of which it refused one at least.
        limited: requests that the control refuses: the open limits.
        likely, certain: requests judged so; certain ones are not among the likely.
        accounts_certain: accounts judged certain at least once.
    """

    klass: str
    new: bool
    ordinary: bool
    requests: int
    accounts: int
    refused: int
    ever: int
    limited: int
    likely: int
    certain: int
    accounts_certain: int


@dataclass(frozen=True, slots=True)
class Chase:
    """One campaign in one world: budgets are those of one actor, a day's mean.

    Args:
        demand: budgets a day that the control admits; after a day of it, too.
        amplification: budgets a day admitted; and after hours of it.
        hours_beyond: hours of its own traffic admitted beyond the budget.
        hours_to_likely, hours_to_certain: until half of an hour's requests are judged so.
        likely: requests judged likely or certain, after a day, as a share; certain: those.
        cards: payment methods used.
        dollars: a month of it; evasion_dollars: of that payment methods, exits and age.
    """

    family: str
    change: str
    demand: float
    demand_24: float
    amplification: float
    after_1: float
    after_6: float
    after_24: float
    hours_beyond: float
    hours_to_likely: float
    hours_to_certain: float
    likely: float
    certain: float
    cards: int
    accounts: int
    dollars: float
    evasion_dollars: float


@dataclass(frozen=True, slots=True)
class Result:
    """One contender on one world.

    Args:
        members: accounts ever certain; pure: those with their cluster's majority.
        honest_old: honest ones among them that were older than two weeks by then.
    """

    entry: str
    kind: str
    family: str
    change: str
    seed: int
    contender: str
    requests: int
    crowds: tuple[Crowd, ...]
    chases: tuple[Chase, ...]
    members: int
    pure: int
    honest_old: int
    cost: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Return it for machines; what never happens becomes null."""
        said = asdict(self)
        for chase in said["chases"]:
            for name, value in chase.items():
                if isinstance(value, float) and not np.isfinite(value):
                    chase[name] = None
        return said


def measure(
    entry: Entry, world: World, seed: int, contender: str, outcome: Outcome, control: Outcome, scale: float
) -> Result:
    """Return all that is to be said of it."""
    trace, truth = world.trace, world.trace.truth
    verdict = outcome.verdicts
    crowds = []
    for number, name in enumerate(truth.klasses):
        among = (truth.klass == number) & truth.honest
        if among.any():
            crowds.append(_crowd(world, name, among, outcome, control, verdict))
    hostile = [group for group in world.groups if group.hostile]
    chases = tuple(
        _chase(world, number, entry.change, group.name, outcome, control, verdict, scale)
        for number, group in enumerate(hostile)
    )
    members, pure, honest_old = _purity(world, outcome, verdict)
    return Result(
        entry.name,
        entry.kind,
        entry.family,
        entry.change,
        seed,
        contender,
        len(trace),
        tuple(crowds),
        chases,
        members,
        pure,
        honest_old,
        dict(outcome.cost),
    )


def _crowd(
    world: World,
    name: str,
    among: NDArray[np.bool_],
    outcome: Outcome,
    control: Outcome,
    verdict: NDArray[np.int64],
) -> Crowd:
    trace = world.trace
    found = harm(trace, outcome, control, among)
    sent = among[trace.account]
    said = verdict[sent]
    certain = said == 2
    return Crowd(
        klass=name,
        new=bool(world.new[among].all()),
        ordinary=bool(world.ordinary[among].all()),
        requests=found.requests,
        accounts=found.accounts,
        refused=round(found.refused * found.requests),
        ever=round(found.ever * found.accounts),
        limited=int((~control.admitted[sent]).sum()),
        likely=int((said == 1).sum()),
        certain=int(certain.sum()),
        accounts_certain=len(np.unique(trace.account[sent][certain])),
    )


def _chase(
    world: World,
    number: int,
    change: str,
    name: str,
    outcome: Outcome,
    control: Outcome,
    verdict: NDArray[np.int64],
    scale: float,
) -> Chase:
    trace = world.trace
    found = containment(trace, outcome, control, number)
    mine = (trace.campaign == number) & (trace.time_ns >= trace.starts_ns[number])
    hour = (trace.time_ns[mine] - trace.starts_ns[number]) // HOUR_NS
    said = verdict[mine]
    late = hour >= 24
    bill = price.bill(world, number, scale)
    held = found.get("amplification after 24 h", found["amplification"])
    return Chase(
        family=name,
        change=change,
        demand=found["demand"],
        demand_24=found.get("demand after 24 h", found["demand"]),
        amplification=found["amplification"],
        after_1=found.get("amplification after 1 h", found["amplification"]),
        after_6=found.get("amplification after 6 h", found["amplification"]),
        after_24=held,
        hours_beyond=found["hours beyond"],
        hours_to_likely=_until(hour, said >= 1),
        hours_to_certain=_until(hour, said == 2),
        likely=float((said[late] >= 1).mean()) if late.any() else 0.0,
        certain=float((said[late] == 2).mean()) if late.any() else 0.0,
        cards=len(np.unique(trace.payment[mine])),
        accounts=len(np.unique(trace.account[mine])),
        dollars=bill.total,
        evasion_dollars=bill.evasion,
    )


def _until(hour: NDArray[np.int64], judged: NDArray[np.bool_]) -> float:
    """Return hours from the first request until half of an hour's are judged so; infinite for never."""
    if not len(hour):
        return NEVER
    sent = np.bincount(hour)
    met = np.flatnonzero((sent > 0) & (np.bincount(hour, weights=judged, minlength=len(sent)) >= 0.5 * sent))
    return float(met[0] - np.flatnonzero(sent)[0]) if len(met) else NEVER


def _purity(world: World, outcome: Outcome, verdict: NDArray[np.int64]) -> tuple[int, int, int]:
    trace, truth = world.trace, world.trace.truth
    rows = np.flatnonzero((verdict == 2) & (outcome.cluster >= 0))
    if not len(rows):
        return 0, 0, 0
    account = trace.account[rows].astype(np.int64)
    pair = np.unique(np.stack([outcome.cluster[rows], account]), axis=1)
    labels, which = np.unique(pair[0], return_inverse=True)
    actor = truth.actor[pair[1]]
    counts = np.unique(np.stack([which, actor]), axis=1, return_counts=True)
    most = np.zeros(len(labels), dtype=np.int64)
    np.maximum.at(most, counts[0][0], counts[1])
    age = trace.time_ns[rows] - world.created_ns[account]
    old = np.unique(account[(age > TWO_WEEKS_NS) & truth.honest[account]])
    return len(pair[0]), int(most.sum()), len(old)
