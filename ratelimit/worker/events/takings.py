"""Takings of an hour on this host: by limit, the callers that took most, and the actors of their accounts.

What reads them for people loads none of what notes them: no limiter, no reporter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ratelimit.core.clusters.cluster_index import cluster_of
from ratelimit.core.memory.table import Table
from ratelimit.core.memory.takings import takings_in
from ratelimit.core.sharing.observer import Watch
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule

HOUR_S = 3600
MOST_CALLERS = 10
"""Of a host those refused most, of each limit those that took most."""

By = Mapping[str, Mapping[str, int]]
"""Units by the names of limits and by hashes."""


@dataclass(frozen=True, slots=True)
class TakenHere:
    """The units that were taken of limits within an hour, by the callers and actors that took most."""

    callers: By = field(default_factory=dict)
    actors: By = field(default_factory=dict)
    """Of limits that count by the account: sums over all accounts of an actor that have a place in the table,
    also over those that are not among the callers that took most."""


def takings(
    table: Table,
    compiled: CompiledPolicy,
    rules: Iterable[LimitRule],
    hour: int,
    watch: Watch | None,
    most: int = MOST_CALLERS,
) -> TakenHere:
    """Return what was taken of limits within an hour.

    Args:
        table: where it is noted.
        compiled: the policy.
        rules: the limits that are known, also those in the application's code.
        hour: its number since 1970: the present one, or the one before.
        watch: knows which actor an account is in now; None where nothing is correlated.
        most: callers of each limit, and actors: those that took most.
    """
    known = {
        table.counter(rule.name): rule for rule in reversed(list(rules)) if rule.counter_name == rule.name
    }
    spec = compiled.correlation
    account = None if spec is None or len(spec.principal) != 1 else tuple(spec.principal)
    callers: dict[str, dict[str, int]] = {}
    actors: dict[str, dict[str, int]] = {}
    for counter, who, units in takings_in(table, hour):
        rule = known.get(counter)
        if rule is None:
            continue
        is_actor = rule.is_clustered and len(rule.per) == 1
        _add(callers.setdefault(rule.name, {}), cluster_of(who) if is_actor else who, units)
        actor = actor_of(watch, who) if rule.per == account else None
        if actor is not None:
            _add(actors.setdefault(rule.name, {}), actor, units)
    return TakenHere(_foremost(callers, most), _foremost(actors, most))


def actor_of(watch: Watch | None, account: int) -> int | None:
    """Return the actor that an account is in now, as workers decide by; None if it is in none."""
    actor = -1 if watch is None else watch.assignments.of_key(account)
    return None if actor < 0 else cluster_of(actor)


def _add(found: dict[str, int], who: int, units: int) -> None:
    name = f"{who:016x}"
    found[name] = found.get(name, 0) + units


def _foremost(found: By, most: int) -> By:
    return {
        name: dict(sorted(units.items(), key=lambda each: (-each[1], each[0]))[:most])
        for name, units in sorted(found.items())
    }
