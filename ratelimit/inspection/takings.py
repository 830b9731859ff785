"""The callers that took most of each limit, over all hosts and a time: in requests, tokens or dollars.

Each host notes by the hour, of each limit, the ten callers that took most. So a sum says the least that a
caller took: hours in which it was not among the ten are not in it. What they took in the hour under way is
asked of all hosts; one that does not answer is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ratelimit.clock import SystemClock
from ratelimit.inspection import formatting
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.hosts import Moment, hosts_of
from ratelimit.inspection.journal import HOUR_NS, Journal, journal_of
from ratelimit.inspection.knowledge import Knowledge
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.stores.journal import read_records, takings_of

DAY_NS = 24 * HOUR_NS
SPANS: Mapping[str, str] = {
    "1h": "an hour",
    "1d": "a day",
    "yesterday": "yesterday",
    "3d": "three days",
    "7d": "a week",
}
"""The times that people choose from."""


@dataclass(frozen=True, slots=True)
class HourTaken:
    """What the callers of one host that took most took within one hour."""

    begin_ns: int
    host: str
    limits: Mapping[str, Mapping[int, int]]
    """By the names of limits, callers' hashes and units."""


@dataclass(frozen=True, slots=True)
class Taker:
    """One caller of one limit, and what it took at least."""

    rule: LimitRule
    hash: int
    """What the limit counts it by."""
    units: int
    hours: int
    """In so many hours it was among those that took most."""
    hosts: frozenset[str]

    @property
    def is_actor(self) -> bool:
        """Whether it is an actor."""
        return self.rule.is_clustered and len(self.rule.per) == 1

    @property
    def amount(self) -> str:
        """The units in words."""
        return formatting.amount(self.units, self.rule.unit)

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "caller": f"{self.hash:016x}",
            "is_actor": self.is_actor,
            "took_at_least": self.units,
            "unit": self.rule.unit,
            "hours": self.hours,
            "hosts": sorted(self.hosts),
        }


@dataclass(frozen=True)
class Takings:
    """What callers took within a time."""

    begin_ns: int
    end_ns: int
    limits: Mapping[str, Sequence[Taker]]
    """By the limits' names in the order of the policy, the callers; those first that took most."""
    hours: int
    """Of so many hours something is known."""
    hosts: Sequence[str]
    trouble: str = ""
    """A sentence if a part of the hour under way is not known; it names the hosts."""

    def of(self, hashes: Iterable[int], *, actor: int | None = None) -> list[Taker]:
        """Return what a caller took of each limit, by the hashes of its identities and of its actor."""
        wanted = set(hashes)
        return [
            each
            for callers in self.limits.values()
            for each in callers
            if (each.hash == actor if each.is_actor else each.hash in wanted)
        ]

    def of_members(self, known: Knowledge) -> dict[tuple[int, str], int]:
        """Return what accounts of actors took, of limits that count by the account: by actor and limit."""
        spec = known.compiled.correlation
        found: dict[tuple[int, str], int] = {}
        if spec is None or len(spec.principal) != 1:
            return found
        for name, callers in self.limits.items():
            for each in callers:
                if each.rule.per == tuple(spec.principal):
                    actor, _ = known.membership(each.hash)
                    if actor is not None:
                        found[actor, name] = found.get((actor, name), 0) + each.units
        return found


def bounds_of(span: str, now_ns: int) -> tuple[int, int]:
    """Return when a chosen time begins and ends; both are full hours.

    Raises:
        InspectionFailure: it is none of `SPANS`.
    """
    end_ns = (now_ns // HOUR_NS + 1) * HOUR_NS
    if span == "yesterday":
        today_ns = now_ns // DAY_NS * DAY_NS
        return today_ns - DAY_NS, today_ns
    hours = {"1h": 1, "1d": 24, "3d": 3 * 24, "7d": 7 * 24}.get(span)
    if hours is None:
        raise InspectionFailure(f"`{span}` is none of {', '.join(SPANS)}", "call")
    # The hour under way is there beside the whole ones: a minute of it alone would say little.
    return end_ns - (hours + 1) * HOUR_NS, end_ns


def hours_taken(journal: Journal, since_ns: int) -> list[HourTaken]:
    """Return what callers took in each hour since an instant, by the host; whole hours alone."""
    found = []
    for record in read_records(journal.counts(takings_of, lambda server: server.takings)):
        begin_s, limits = record.fields.get("begin"), record.fields.get("limits")
        if record.kind != "takings" or not isinstance(begin_s, int) or not isinstance(limits, dict):
            continue
        if begin_s * 10**9 >= since_ns:
            taken = {str(name): _units(callers) for name, callers in limits.items()}
            found.append(HourTaken(begin_s * 10**9, record.host, taken))
    return found


def _units(callers: object) -> dict[int, int]:
    found: dict[int, int] = {}
    for who, units in callers.items() if isinstance(callers, dict) else ():
        try:
            found[int(who, 16)] = int(units)
        except (TypeError, ValueError):  # of another release
            continue
    return found


def took_most(policy: Policy, whole: Policy, span: str) -> Takings:
    """Return the callers that took most of each limit within a time, over all hosts, up to now.

    Args:
        policy: the policy.
        whole: the same with the limits in the application's code.
        span: one of `SPANS`.

    Raises:
        InspectionFailure: it is none of these.
    """
    begin_ns, end_ns = bounds_of(span, SystemClock().now_ns())
    with journal_of(policy) as journal:
        hours = hours_taken(journal, begin_ns)
    try:
        with hosts_of(policy, whole) as hosts:
            moment = hosts.look()
    except InspectionFailure:  # no worker runs: what was noted is all
        moment = Moment(end_ns, [], [])
    return takings_within(whole.compiled, hours, moment, begin_ns, end_ns)


def takings_within(
    compiled: CompiledPolicy, noted: Sequence[HourTaken], now: Moment, begin_ns: int, end_ns: int
) -> Takings:
    """Return what callers took within a time.

    Args:
        compiled: the policy; limits that it has no more are left out.
        noted: what hosts noted when their hours had ended.
        now: what all hosts say of the hour under way.
        begin_ns, end_ns: the time.
    """
    ended = {(each.begin_ns, each.host) for each in noted}
    # A look that is older than the end of its hour has a part of what was noted then.
    hours = [*noted, *(each for each in _under_way(now) if (each.begin_ns, each.host) not in ended)]
    rules = {rule.name: rule for rule in reversed(compiled.rules) if not rule.is_beside}
    units: dict[tuple[str, int], int] = {}
    seen: dict[tuple[str, int], set[int]] = {}
    by: dict[tuple[str, int], set[str]] = {}
    within = [each for each in hours if begin_ns <= each.begin_ns < end_ns]
    for hour in within:
        for name, callers in hour.limits.items():
            for who, taken in callers.items():
                one = name, who
                units[one] = units.get(one, 0) + taken
                seen.setdefault(one, set()).add(hour.begin_ns)
                by.setdefault(one, set()).add(hour.host)
    found: dict[str, list[Taker]] = {name: [] for name in reversed(rules)}
    for (name, who), taken in units.items():
        if name in rules:
            one = name, who
            found[name].append(Taker(rules[name], who, taken, len(seen[one]), frozenset(by[one])))
    limits = {
        name: sorted(callers, key=lambda each: (-each.units, each.hash))
        for name, callers in found.items()
        if callers
    }
    return Takings(
        begin_ns,
        end_ns,
        limits,
        len({each.begin_ns for each in within}),
        sorted({each.host for each in within}),
        _trouble(now) if begin_ns <= now.at_ns < end_ns else "",
    )


def _trouble(now: Moment) -> str:
    missing = [host.host for host in now.hosts if not host.hour]
    if now.is_away:
        return "The server does not answer: the hour under way is of this host alone."
    return f"No answer from {', '.join(missing)}: the hour under way is without it." if missing else ""


def _under_way(now: Moment) -> list[HourTaken]:
    """Return what callers have taken on each host since the hour began."""
    return [
        HourTaken(
            host.hour * HOUR_NS, host.host, {name: _units(callers) for name, callers in host.took.items()}
        )
        for host in now.hosts
        if host.took
    ]


def time_words(found: Takings) -> str:
    """Return a time as people read it."""
    begin, end = (datetime.fromtimestamp(at / 1e9, UTC) for at in (found.begin_ns, found.end_ns))
    return f"{begin:%a %d %b %H:%M} to {end:%a %d %b %H:%M} UTC"
