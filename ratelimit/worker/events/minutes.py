"""Counts by the minute: each limit's answers on this host; by the hour the callers that were refused most.

One worker of the host writes each. What was counted up to the last minute is in the host's record, so no
answer is counted twice or left out, whichever worker it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from ratelimit.core.memory.refusals import refusals_in
from ratelimit.core.memory.table import Table
from ratelimit.limiter import Limiter
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.telemetry.names import RuleColumn
from ratelimit.worker.events.reporter import Reporter

MINUTE_NS = 60 * 10**9
MOST_LIMITS = 48
"""In one line; those with the most answers."""
MOST_CALLERS = 10
_COLUMNS = {
    "allowed": RuleColumn.ALLOWED,
    "refused": RuleColumn.REFUSED,
    "refused_in_shadow": RuleColumn.REFUSED_IN_SHADOW,
}


class Minutes:
    """Notes one limiter's minutes, and holds on to no limiter.

    Args:
        reporter: writes them.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._minute = 0

    def look(self, limiter: Limiter, now_ns: int) -> None:
        """Note the minute that has ended, unless another worker of the host has.

        While the host's record cannot be written, no minute is noted; the next one has its counts.
        """
        minute = now_ns // MINUTE_NS
        if minute == self._minute or self._reporter.minutes is None:
            return
        self._minute = minute
        counts = _counts(limiter)
        try:
            with self._reporter.record.change() as told:
                if told.minute == minute:
                    return
                is_first, told.minute = not told.minute, minute
                before, told.counts = told.counts, counts
                is_hour, told.hour = told.hour not in (0, minute // 60), minute // 60
        except OSError:
            return
        if not is_first and (limits := _grown(counts, before)):
            self._reporter.note("minute", now_ns, limits=limits)
        if is_hour:
            self._note_callers(limiter, now_ns)

    def _note_callers(self, limiter: Limiter, now_ns: int) -> None:
        table = limiter.table
        rules = {table.counter(rule.counter_name): rule for rule in reversed(list(limiter.rules))}
        found = sorted(refusals_in(table, now_ns), key=lambda each: (-each[2], each[1]))[:MOST_CALLERS]
        callers = [
            {"caller": f"{who:016x}", "limit": rules[counter].name, "refused": refused}
            for counter, who, refused, *_ in found
            if counter in rules
        ]
        if callers:
            self._reporter.note("top-callers", now_ns, callers=callers)


def _counts(limiter: Limiter) -> dict[str, list[int]]:
    counts: dict[str, list[int]] = {}
    for rule in limiter.rules:
        found = _totals(limiter.table, rule)
        if any(found):
            counts[rule.counter_name] = found
    return counts


def _totals(table: Table, rule: LimitRule) -> list[int]:
    cells = table.totals(table.counter(rule.counter_name))
    return [int(cells[column]) for column in _COLUMNS.values()]


def _grown(counts: Mapping[str, list[int]], before: Mapping[str, list[int]]) -> dict[str, dict[str, int]]:
    """Return by how much counts have grown, those that grew most first; memory that is fresh begins at 0."""
    found: list[tuple[int, str, dict[str, int]]] = []
    for name, now in counts.items():
        then = before.get(name, [0] * len(now))
        if any(one < other for one, other in zip(now, then, strict=True)):
            then = [0] * len(now)
        grown = {
            word: one - other for word, one, other in zip(_COLUMNS, now, then, strict=True) if one != other
        }
        if grown:
            found.append((-sum(grown.values()), name, grown))
    return {name: grown for _, name, grown in sorted(found, key=lambda each: each[:2])[:MOST_LIMITS]}
