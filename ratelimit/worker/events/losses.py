"""The use that a server forgot when it came back empty: what this host's limits had counted until then.

Each limit remembers one window. So what was allowed within the last one, as counts by the minute have it, is
what the limit may let through once more. It is a bound: a caller that asks no more takes none of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ratelimit.algorithms import OF_SLOTS
from ratelimit.limiter import Limiter
from ratelimit.stores.journal import Record

_ALLOWED = 0


def forgotten(
    limiter: Limiter, minutes: Iterable[Record], since: Mapping[str, list[int]], now_ns: int
) -> dict[str, int]:
    """Return the requests that each limit had allowed within its window, by its name; without those of 0.

    Args:
        limiter: the limits.
        minutes: counts of this host by the minute.
        since: what was counted since the last of these, by kind and name, as `minutes.Counts` has it.
        now_ns: the time.
    """
    noted = [(each.time_ns, each.fields.get("limits")) for each in minutes if each.kind == "minute"]
    found: dict[str, int] = {}
    for rule in limiter.rules:
        if rule.shadow or rule.algorithm in OF_SLOTS:
            continue
        name, begin_ns = rule.counter_name, now_ns - rule.period_ns if rule.period_ns else 0
        number = since.get(f"limits {name}", [0])[_ALLOWED]
        for at_ns, limits in noted:
            counts = limits.get(name) if at_ns > begin_ns and isinstance(limits, dict) else None
            allowed = counts.get("allowed") if isinstance(counts, dict) else None
            number += allowed if isinstance(allowed, int) else 0
        found[name] = max(found.get(name, 0), number)
    return {name: number for name, number in found.items() if number}
