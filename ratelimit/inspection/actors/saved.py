"""The actors of a running deployment: what the correlator last saved of them, and what they use now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, cast, overload

from ratelimit.core.clusters import profile
from ratelimit.core.clusters.cluster_index import cluster_of
from ratelimit.correlation.classification import Verdict
from ratelimit.correlation.overview import Overview
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.decision import VERDICTS
from ratelimit.errors import StoreError
from ratelimit.inspection import formatting
from ratelimit.inspection.access.server import no_answer
from ratelimit.inspection.actors.evidence import Source
from ratelimit.inspection.hosts.refused import RefusedCaller
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.stores.contract import AnyPlan, Outcome

if TYPE_CHECKING:
    from ratelimit.stores.redis.decision.plan import RedisPlan
    from ratelimit.stores.redis.store import RedisStore


@dataclass(frozen=True, slots=True)
class Use:
    """The use of one limit by a cluster."""

    rule: LimitRule
    used: int
    holds: int
    """What the limit holds in all."""


@dataclass(frozen=True, slots=True)
class Actor:
    """One actor, and how it fares."""

    found: Overview
    uses: Sequence[Use] | None
    """The use of each limit per cluster; None where the limits' state cannot be looked at."""
    requests: int
    """The requests of its members since they were first seen."""
    refused: Sequence[RefusedCaller]
    """The refusals by limits per cluster on this host within the last hour."""
    watched_ns: int = 0
    """The time for which its requests were counted."""

    @property
    def a_day(self) -> float | None:
        """Its requests a day; None while they were counted for less than a day."""
        return formatting.a_day(self.requests, self.watched_ns)

    @property
    def certain(self) -> int:
        """The number of its members that are certain."""
        return sum(verdict == VERDICTS.index("certain") for _, verdict in self.found.members)


@dataclass(frozen=True, slots=True)
class Member:
    """One account of an actor."""

    key: int
    verdict: str | None
    override: str | None
    """The operator's override of it, if any."""
    first_s: int
    last_s: int
    requests: int


Budget = Callable[[int], Sequence[Use]]


def label_of(source: Source, actor: Overview) -> int:
    """Return the number that the correlator has for an actor; 0 if it is gone."""
    names = source.correlator.identities.items()
    return next((label for label, identity in names if identity == actor.identity), 0)


def actors_of(
    source: Source, found: Sequence[Overview], budget: Budget | None, refused: Iterable[RefusedCaller]
) -> list[Actor]:
    """Return actors with what they use and what they were refused.

    Args:
        source: what the correlator saved.
        found: the actors that are asked about.
        budget: returns what one has used; None where that cannot be looked at.
        refused: what this host's limits refused.
    """
    by_actor: dict[int, list[RefusedCaller]] = {}
    for each in refused:
        if each.is_actor and not each.in_shadow:
            by_actor.setdefault(cluster_of(each.hash), []).append(each)
    return [
        Actor(
            each,
            None if budget is None else budget(each.identity),
            source.takings.get(each.identity, 0),
            by_actor.get(each.identity, []),
            source.watched_ns(each.identity),
        )
        for each in found
    ]


class Members(Sequence[Member]):
    """The accounts of an actor; each is made when it is asked for, as there may be many.

    Args:
        source: what the correlator saved.
        found: of each its key, verdict, requests, and when it was first and last seen.
    """

    def __init__(self, source: Source, found: Sequence[tuple[int, int, int, int, int]]) -> None:
        self._source, self.found = source, found

    def __len__(self) -> int:
        return len(self.found)

    @overload
    def __getitem__(self, at: int) -> Member: ...
    @overload
    def __getitem__(self, at: slice) -> list[Member]: ...
    def __getitem__(self, at: int | slice) -> Member | list[Member]:
        if isinstance(at, slice):
            return [self._member(each) for each in self.found[at]]
        return self._member(self.found[at])

    def _member(self, found: tuple[int, int, int, int, int]) -> Member:
        key, verdict, requests, first_s, last_s = found
        ruling = self._source.correlator.override_of(key)
        return Member(key, VERDICTS[verdict], ruling, first_s, last_s, requests)


def members_of(source: Source, actor: Overview) -> Members:
    """Return the accounts of an actor, the surest and busiest first."""
    found = profile.members_of(source.correlator.core, label_of(source, actor))
    if exempt := source.correlator.exempt:  # by an act since the last rebuild
        found = [each for each in found if each[0] not in exempt]
    return Members(source, sorted(found, key=itemgetter(1, 2), reverse=True))


def is_held(rule: LimitRule, actor: Overview) -> bool:
    """Return whether a limit per actor counts anything of an actor now: most count certain members alone."""
    return actor.verdict is Verdict.CERTAIN or (actor.verdict is Verdict.LIKELY and rule.verdict != "certain")


def budget_of(bound: BoundPolicy) -> Budget:
    """Return what tells how much of each limit per cluster one has used, in the store of a bound policy.

    What is returned raises `InspectionFailure` where a server keeps the limits and does not answer.
    """

    def uses(actor: int) -> list[Use]:
        found = []
        for rules, plan in bound.budgets.looked_at:
            outcome = peek(bound, plan, bound.budgets.row_of(actor), [0] * len(rules))
            for index, rule in enumerate(rules):
                if not rule.is_beside and rule.verdict != "young":
                    left = outcome.remaining(index)
                    found.append(Use(rule, max(0, rule.burst - left), rule.burst))
        return found

    return uses


def peek(bound: BoundPolicy, plan: AnyPlan, row: list[int], costs: list[int]) -> Outcome:
    """Return what the limits of a plan would say to a request; nothing is charged.

    Raises:
        InspectionFailure: a server keeps the limits and does not answer.
    """
    if plan.decides_here:
        return plan.peek(row, bound.store.clock.now_ns(), costs)
    # Imported here: an event loop is loaded only where there is a server to ask.
    from ratelimit.inspection.access.asking import answer_to, peek_patiently

    store = cast("RedisStore", bound.store)
    try:
        return answer_to(peek_patiently(store, cast("RedisPlan", plan), row, costs))
    except StoreError as error:
        raise no_answer(store.spec.url, error) from error
