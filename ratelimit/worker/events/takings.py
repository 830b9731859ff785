"""Takings of an hour on this host: by limit, the callers that took most.

What reads them for people loads none of what notes them: no limiter, no reporter.
"""

from __future__ import annotations

from collections.abc import Iterable

from ratelimit.core.clusters.cluster_index import cluster_of
from ratelimit.core.memory.table import Table
from ratelimit.core.memory.takings import takings_in
from ratelimit.policy.compile.compiled import LimitRule

HOUR_S = 3600
MOST_CALLERS = 10
"""Of a host those refused most, of each limit those that took most."""


def takings(
    table: Table, rules: Iterable[LimitRule], hour: int, most: int = MOST_CALLERS
) -> dict[str, dict[str, int]]:
    """Return what was taken of limits within an hour: by their names, callers' hashes and units.

    Args:
        table: where it is noted.
        rules: the limits that are known.
        hour: its number since 1970: the present one, or the one before.
        most: callers of each limit, those that took most.
    """
    known = {
        table.counter(rule.name): rule for rule in reversed(list(rules)) if rule.counter_name == rule.name
    }
    found: dict[str, dict[str, int]] = {}
    for counter, who, units in takings_in(table, hour):
        rule = known.get(counter)
        if rule is not None:
            is_actor = rule.is_clustered and len(rule.per) == 1
            name = f"{cluster_of(who) if is_actor else who:016x}"
            callers = found.setdefault(rule.name, {})
            callers[name] = callers.get(name, 0) + units
    return {
        name: dict(sorted(callers.items(), key=lambda each: (-each[1], each[0]))[:most])
        for name, callers in sorted(found.items())
    }
