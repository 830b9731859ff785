"""Counts by the minute: answers on this host, by limit, class and what else refuses; by the hour its callers.

One worker of the host writes each. What was counted up to the last minute is in the host's record, so no
answer is counted twice or left out, whichever worker it is. Minutes are added up to quarters of an hour,
which are small: a week of these has room where minutes have some days.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ratelimit.core.memory.refusals import refusals_in
from ratelimit.core.memory.table import Table
from ratelimit.deciding.denials import DENY_LIST, denied_counters
from ratelimit.limiter import Limiter
from ratelimit.load.metrics import SHED_COLUMNS, SHED_MODES, WatchedLoad, entered_counter, shed_counter
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.stores.acts.act import Act
from ratelimit.telemetry.cells import totals
from ratelimit.telemetry.names import RuleColumn
from ratelimit.verdict import Reason
from ratelimit.worker.events.reporter import Reporter
from ratelimit.worker.events.takings import HOUR_S, MOST_CALLERS, takings

MINUTE_NS = 60 * 10**9
QUARTER = 15
"""Minutes."""
MOST_LIMITS = 48
"""In one line; those with the most answers."""
MOST_REFUSING = 8
"""In the line of a quarter: limits with the most refusals."""
MOST_CLASSES = 24
LONGEST_TAKINGS = 4096
"""Characters of a line's callers, about."""
_COLUMNS = {
    "allowed": RuleColumn.ALLOWED,
    "refused": RuleColumn.REFUSED,
    "refused_in_shadow": RuleColumn.REFUSED_IN_SHADOW,
}
OTHERS: Mapping[Reason, str] = {
    Reason.DENY_LIST: DENY_LIST,
    Reason.IDENTITY: "missing identity",
    Reason.STORE: "failed store",
    Reason.BODY: "slow body",
    Reason.MODEL: "model without a price",
    Reason.QUEUE: "queue",
}
"""What refuses beside limits and classes, as people read it. An operator's `stop` is on the deny list."""
_REQUESTS, _LIMITS, _CLASSES, _OTHERS = "requests", "limits", "classes", "others"
_WORDS: Mapping[str, tuple[str, ...]] = {
    _REQUESTS: ("allowed", "refused", "shed"),
    _LIMITS: tuple(_COLUMNS),
    _CLASSES: ("allowed", "shed", "shed_in_shadow"),
    _OTHERS: ("refused",),
}
Counts = Mapping[str, list[int]]
"""Numbers as `_WORDS` has them, by their kind and name: `limits requests`."""


class Minutes:
    """Notes one limiter's minutes, and holds on to no limiter.

    Args:
        reporter: writes them.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._minute = 0

    def look(self, limiter: Limiter, now_ns: int, log: Sequence[Act] = ()) -> None:
        """Note the minute that has ended, unless another worker of the host has.

        `log` has the operator's acts, with those that ended.

        While the host's record cannot be written, no minute is noted; the next one has its counts.
        """
        minute = now_ns // MINUTE_NS
        if minute == self._minute or self._reporter.minutes is None:
            return
        self._minute = minute
        counts = counts_of(limiter)
        quarters: list[tuple[int, Counts]] = []
        try:
            with self._reporter.record.change() as told:
                if told.minute == minute:
                    return
                began, told.minute = told.minute, minute
                before, told.counts = told.counts, counts
                hour, told.hour = told.hour, minute // 60
                # Of hours without any worker, what was taken is that of its last one.
                ended = [] if hour in (0, told.hour) else sorted({hour, told.hour - 1})
                grew = grown(counts, before) if began else {}
                # Of minutes without any worker the counts are those of its last one.
                for end in (began, minute):
                    if told.sums and told.quarter != end // QUARTER:
                        quarters.append((told.quarter, told.sums))
                        told.sums = {}
                    if end == began and grew:
                        told.quarter = began // QUARTER
                        told.sums = _added(told.sums, grew)
        except OSError:
            return
        if grew:
            # No worker looked for so long: the counts are of all that time.
            span = {"minutes": minute - began} if minute - began > 1 else {}
            self._reporter.note("minute", now_ns, **span, **_fields(grew, MOST_LIMITS))
        for quarter, sums in quarters:
            begin_ns = quarter * QUARTER * MINUTE_NS
            refusing = {key: each for key, each in sums.items() if not _is_limit(key) or any(each[1:])}
            fields = _fields(refusing, MOST_REFUSING)
            self._reporter.note_for_long("quarter", now_ns, begin=begin_ns // 10**9, **fields)
        if ended:
            self._note_callers(limiter, now_ns, log)
        for hour in ended:
            compiled, watch = limiter.policy.compiled, limiter.current.watch
            taken = takings(limiter.table, compiled, limiter.rules, hour, watch)
            for limits in _lines(taken.callers):
                self._reporter.note_for_long("takings", now_ns, begin=hour * HOUR_S, limits=limits)
            for actors in _lines(taken.actors):
                self._reporter.note_for_long("takings", now_ns, begin=hour * HOUR_S, limits={}, actors=actors)

    def _note_callers(self, limiter: Limiter, now_ns: int, log: Sequence[Act]) -> None:
        table = limiter.table
        acts = {act.mark: act.label for act in log}
        denied = denied_counters(limiter.policy.compiled, table)
        names = dict.fromkeys(denied, DENY_LIST)
        names |= {table.counter(rule.counter_name): rule.name for rule in reversed(list(limiter.rules))}
        found = sorted(refusals_in(table, now_ns), key=lambda each: (-each[2], each[1]))[:MOST_CALLERS]
        callers = [
            {
                "caller": f"{who:016x}",
                "limit": names[counter],
                **({"act": acts[mark]} if counter in denied and mark in acts else {}),
                "refused": refused,
            }
            for counter, who, refused, _, _, _, _, mark, _ in found
            if counter in names
        ]
        if callers:
            self._reporter.note("top-callers", now_ns, callers=callers)


def _lines(limits: Mapping[str, Mapping[str, int]]) -> Iterator[dict[str, Mapping[str, int]]]:
    """Yield limits with their callers, as many as one line has room for."""
    part: dict[str, Mapping[str, int]] = {}
    size = 0
    for name, callers in limits.items():
        longer = len(name) + 48 * len(callers)
        if part and size + longer > LONGEST_TAKINGS:
            yield part
            part, size = {}, 0
        part[name] = callers
        size += longer
    if part:
        yield part


def counts_of(limiter: Limiter) -> dict[str, list[int]]:
    """Return what all workers of the host counted, by kind and name; nothing that is 0."""
    return dict(_counted(limiter))


def _counted(limiter: Limiter) -> Iterator[tuple[str, list[int]]]:
    """Yield the same, one by one."""
    requests = [0, 0, 0]
    for (is_allowed, reason), number in limiter.runtime.counters.decisions().items():
        requests[0 if is_allowed else 2 if reason is Reason.CAPACITY else 1] += number
        if not is_allowed and reason in OTHERS:
            yield f"{_OTHERS} {OTHERS[reason]}", [number]
    if any(requests):
        yield f"{_REQUESTS} all", requests
    for rule in limiter.rules:
        if rule.is_beside:  # it has no name for people: the limit that it stands beside says what it counts
            continue
        found = _totals(limiter.table, rule)
        if any(found):
            yield f"{_LIMITS} {rule.counter_name}", found
    for one in limiter.loads.values():
        one.count_entered(limiter.table)
    for load in limiter.watched_loads:
        for name in load.classes:
            found = [_entered(limiter.table, load, name), *_shed(limiter.table, load, name)]
            if any(found):
                yield f"{_CLASSES} {class_label(load.group, name, limiter)}", found


def class_label(group: str, name: str, limiter: Limiter) -> str:
    """Return what a class is called beside those of other groups."""
    return name if len(limiter.watched_loads) == 1 else f"{group}: {name}"


def _totals(table: Table, rule: LimitRule) -> list[int]:
    cells = table.totals(table.counter(rule.counter_name))
    return [int(cells[column]) for column in _COLUMNS.values()]


def _entered(table: Table, load: WatchedLoad, name: str) -> int:
    return int(totals(table, entered_counter(load.group, name))[0])


def _shed(table: Table, load: WatchedLoad, name: str) -> list[int]:
    found = dict.fromkeys(SHED_MODES, 0)
    cells = totals(table, shed_counter(load.group, name))
    for labels, column in SHED_COLUMNS:
        found[labels["mode"]] += int(cells[column])
    return list(found.values())


def grown(counts: Counts, before: Counts) -> dict[str, list[int]]:
    """Return by how much counts have grown; memory that is fresh begins at 0."""
    found: dict[str, list[int]] = {}
    for key, now in counts.items():
        then = before.get(key, [0] * len(now))
        if any(one < other for one, other in zip(now, then, strict=True)):
            then = [0] * len(now)
        grown = [one - other for one, other in zip(now, then, strict=True)]
        if any(grown):
            found[key] = grown
    return found


def _added(one: Counts, other: Counts) -> dict[str, list[int]]:
    """Return the sums of two counts."""
    found = dict(one)
    for key, numbers in other.items():
        found[key] = [a + b for a, b in zip(found.get(key, [0] * len(numbers)), numbers, strict=True)]
    return found


def _is_limit(key: str) -> bool:
    return key.startswith(f"{_LIMITS} ")


def _fields(counts: Counts, most_limits: int) -> dict[str, Any]:
    """Return counts as a line has them: of limits and classes those with the most, without what is 0."""
    most = {_REQUESTS: 1, _LIMITS: most_limits, _CLASSES: MOST_CLASSES, _OTHERS: len(OTHERS)}
    found: dict[str, Any] = {}
    for kind, words in _WORDS.items():
        named = [
            (name, numbers)
            for each, _, name, numbers in ((*key.partition(" "), value) for key, value in counts.items())
            if each == kind
        ]
        named.sort(key=lambda one: (-sum(one[1]), one[0]))
        said = {
            name: {word: number for word, number in zip(words, numbers, strict=True) if number}
            for name, numbers in named[: most[kind]]
        }
        if said:
            found[kind] = said["all"] if kind == _REQUESTS else said
    return found
