"""The callers that took most of each limit, over all hosts and a time: in requests, tokens or dollars.

Each host notes by the hour, of each limit, the ten callers that took most. So a sum says the least that a
caller took: hours in which it was not among the ten are not in it. What they took in the hour under way is
asked of all hosts; one that does not answer is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ratelimit.clock import SystemClock
from ratelimit.correlation.overview import Overview
from ratelimit.decision import VERDICTS, cluster_name
from ratelimit.inspection import formatting
from ratelimit.inspection.callers.knowledge import Knowledge
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.hosts.moment import Moment, hosts_of, uncounted
from ratelimit.inspection.journal.entries import HOUR_NS, Journal, journal_of
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.stores.journal import read_records, takings_of

DAY_NS = 24 * HOUR_NS
SINCE_FOUND = "since found"
SPANS: Mapping[str, str] = {
    "1h": "an hour",
    "1d": "a day",
    "today": "today",
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
    actors: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    """Of limits that count by the account, what all accounts of an actor took; by actors' ids."""


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


@dataclass(slots=True)
class ActorTook:
    """The units that an actor took of one limit at least."""

    rule: LimitRule
    units: int = 0
    first_ns: int = 0
    """The beginning of the first hour of which something is known."""
    hosts: set[str] = field(default_factory=set)

    @property
    def is_by_account(self) -> bool:
        """Whether the limit counts by the account: it is a sum over the actor's accounts."""
        return not self.rule.is_clustered

    @property
    def amount(self) -> str:
        """The units in words."""
        return formatting.amount(self.units, self.rule.unit)


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
    noted: Sequence[HourTaken] = field(default_factory=list)
    """The takings of each host in each hour."""
    rules: Mapping[str, LimitRule] = field(default_factory=dict)
    """By name, in the order of the policy."""
    without: str = ""
    """A sentence on the hosts that are gone, whose part of the hour under way is with them."""

    def of(self, hashes: Iterable[int], *, actor: int | None = None) -> list[Taker]:
        """Return what a caller took of each limit, by the hashes of its identities and of its actor."""
        wanted = set(hashes)
        return [
            each
            for callers in self.limits.values()
            for each in callers
            if (each.hash == actor if each.is_actor else each.hash in wanted)
        ]

    def of_actors(self, known: Knowledge) -> dict[int, dict[str, ActorTook]]:
        """Return what each actor took at least, by the names of limits.

        Of a limit that counts by the account it is what the accounts took that are the actor's now: each host
        adds up those that it remembers, beside the few that it lists one by one.
        """
        spec = known.compiled.correlation
        account = None if spec is None or len(spec.principal) != 1 else tuple(spec.principal)
        found: dict[int, dict[str, ActorTook]] = {}
        for hour in self.noted:
            for name in {*hour.limits, *hour.actors}:
                rule = self.rules.get(name)
                if rule is None:  # the policy has it no more
                    continue
                units: Mapping[int, int] = {}
                if rule.is_clustered and len(rule.per) == 1:
                    units = hour.limits.get(name, {})
                elif rule.per == account:
                    units = _by_actor(known, hour.limits.get(name, {}), hour.actors.get(name, {}))
                for actor, taken in units.items():
                    one = found.setdefault(actor, {}).setdefault(name, ActorTook(rule))
                    one.units += taken
                    one.first_ns = min(one.first_ns or hour.begin_ns, hour.begin_ns)
                    one.hosts.add(hour.host)
        return found


def _by_actor(known: Knowledge, callers: Mapping[int, int], told: Mapping[int, int]) -> dict[int, int]:
    """Return what actors took in an hour of a host: by its sums, or by its callers if these say more."""
    found: dict[int, int] = {}
    for account, units in callers.items():
        actor, _ = known.membership(account)
        if actor is not None:
            found[actor] = found.get(actor, 0) + units
    for actor, units in told.items():
        found[actor] = max(units, found.get(actor, 0))
    return found


def bounds_of(span: str, now_ns: int) -> tuple[int, int]:
    """Return when a chosen time begins and ends; both are full hours.

    Raises:
        InspectionFailure: it is none of `SPANS`.
    """
    end_ns = (now_ns // HOUR_NS + 1) * HOUR_NS
    today_ns = now_ns // DAY_NS * DAY_NS
    if span in ("today", "yesterday"):
        return (today_ns, end_ns) if span == "today" else (today_ns - DAY_NS, today_ns)
    hours = {"1h": 1, "1d": 24, "3d": 3 * 24, "7d": 7 * 24}.get(span)
    if hours is None:
        raise InspectionFailure(f"`{span}` is none of {', '.join(SPANS)}", "call")
    # The hour under way is there beside the whole ones: a minute of it alone would say little.
    return end_ns - (hours + 1) * HOUR_NS, end_ns


def hours_taken(journal: Journal, since_ns: int) -> list[HourTaken]:
    """Return what callers took in each hour since an instant, by the host; whole hours alone."""
    found: dict[tuple[int, str], HourTaken] = {}
    for record in read_records(journal.counts(takings_of, lambda server: server.takings)):
        begin_s = record.fields.get("begin")
        if record.kind != "takings" or not isinstance(begin_s, int) or begin_s * 10**9 < since_ns:
            continue
        # A host says it in several lines, if one is too short.
        one = found.setdefault((begin_s, record.host), HourTaken(begin_s * 10**9, record.host, {}))
        limits, actors = _units(record.fields.get("limits")), _units(record.fields.get("actors"))
        found[begin_s, record.host] = replace(
            one, limits={**one.limits, **limits}, actors={**one.actors, **actors}
        )
    return [*found.values()]


def _units(limits: object) -> dict[str, dict[int, int]]:
    """Return units by the names of limits and by hashes, as they were written."""
    found: dict[str, dict[int, int]] = {}
    for name, callers in limits.items() if isinstance(limits, Mapping) else ():
        units = found.setdefault(str(name), {})
        for who, taken in callers.items() if isinstance(callers, Mapping) else ():
            try:
                units[int(who, 16)] = int(taken)
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
    return takings_within(whole.compiled, *noted_and_now(policy, whole, begin_ns), begin_ns, end_ns)


def noted_and_now(policy: Policy, whole: Policy, since_ns: int) -> tuple[list[HourTaken], Moment]:
    """Return what hosts noted of whole hours since an instant, and what they say now."""
    with journal_of(policy) as journal:
        hours = hours_taken(journal, since_ns)
    try:
        with hosts_of(policy, whole) as hosts:
            return hours, hosts.look()
    except InspectionFailure:  # no worker runs: what was noted is all
        return hours, Moment(SystemClock().now_ns(), [], [])


@dataclass(frozen=True)
class Campaign:
    """One actor: what it took within the last hours, today, and since it was found."""

    actor: Overview
    ruled: str
    """What operators rule on it, by whom and how long ago; empty for nothing."""
    requests: int
    """The requests of its accounts on all hosts, since each was first seen,"""
    watched_ns: int
    """for how long they were counted,"""
    as_of_ns: int
    """as the correlator last saved them."""
    spans: Mapping[str, Mapping[str, ActorTook]]
    """By the span and the name of a limit."""
    uncounted: Sequence[str]
    """Units that are counted by the account, and by no limit for the actor as a whole."""
    is_held: bool
    """Whether a limit per actor is enforced on it."""

    @property
    def limits(self) -> list[ActorTook]:
        """The limits that it took of, with what it took in the longest span."""
        return [*self.spans[SINCE_FOUND].values()]

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "actor": cluster_name(self.actor.identity),
            "verdict": VERDICTS[self.actor.verdict],
            "held": self.is_held,
            "ruled": self.ruled or None,
            "accounts": len(self.actor.members),
            "found": formatting.iso(self.actor.first_s * 10**9),
            "asked": self.requests,
            "asked_a_day": formatting.rounded_a_day(self.requests, self.watched_ns),
            "watched_seconds": self.watched_ns // 10**9,
            "as_of": formatting.iso(self.as_of_ns),
            "limits": {
                each.rule.name: {
                    "unit": each.rule.unit,
                    "by_account": each.is_by_account,
                    "took_at_least": {
                        span: found[each.rule.name].units if each.rule.name in found else 0
                        for span, found in self.spans.items()
                    },
                    "since": formatting.iso(each.first_ns),
                    "hosts": sorted(each.hosts),
                }
                for each in self.limits
            },
        }


def campaign_of(
    known: Knowledge, actor: Overview, whole: Policy, noted: Sequence[HourTaken], now: Moment, span: str
) -> Campaign:
    """Return what an actor took.

    Args:
        known: what is known of callers; it has the evidence of the actor.
        actor: the actor.
        whole: the policy with the limits in the application's code.
        noted: what hosts noted since the actor was found, or longer,
        now: and what they say of the hour under way.
        span: one of `SPANS`, beside today and the time since it was found.
    """
    found_ns, end_ns = actor.first_s * 10**9 // HOUR_NS * HOUR_NS, bounds_of("1h", now.at_ns)[1]
    bounds = {each: bounds_of(each, now.at_ns) for each in dict.fromkeys((span, "today"))}
    bounds[SINCE_FOUND] = found_ns, end_ns
    spans = {}
    for name, (begin_ns, until_ns) in bounds.items():
        takings = takings_within(whole.compiled, noted, now, begin_ns, until_ns)
        took = takings.of_actors(known).get(actor.identity, {})
        spans[name] = {limit: took[limit] for limit in takings.rules if limit in took}
    rules = {rule.name: rule for rule in reversed(whole.compiled.rules)}.values()
    as_whole = {rule.unit for rule in rules if rule.is_clustered and len(rule.per) == 1}
    by_account = [each.rule.unit for each in spans[SINCE_FOUND].values() if each.is_by_account]
    ruled, requests, watched_ns, as_of_ns = "", 0, 0, now.at_ns
    if known.source is not None:
        ruled = known.source.ruled(actor)
        requests = known.source.takings.get(actor.identity, 0)
        watched_ns = known.source.watched_ns(actor.identity)
        as_of_ns = known.source.correlator.now_ns
    uncounted = [unit for unit in dict.fromkeys(by_account) if unit not in as_whole]
    is_held = formatting.holds(VERDICTS[actor.verdict], whole.compiled.rules)
    return Campaign(actor, ruled, requests, watched_ns, as_of_ns, spans, uncounted, is_held)


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
        within,
        {name: rules[name] for name in reversed(rules)},
        uncounted(now.gone) if begin_ns <= now.at_ns < end_ns else "",
    )


def _trouble(now: Moment) -> str:
    if now.is_away:
        return "The server does not answer: the hour under way is of this host alone."
    gone = {each.host for each in now.gone}
    missing = [host.host for host in now.hosts if not host.hour and host.host not in gone]
    return f"No answer from {', '.join(missing)}: the hour under way is without it." if missing else ""


def _under_way(now: Moment) -> list[HourTaken]:
    """Return what callers have taken on each host since the hour began."""
    return [
        HourTaken(host.hour * HOUR_NS, host.host, _units(host.took), _units(host.actors_took))
        for host in now.hosts
        if host.took
    ]


def time_words(found: Takings) -> str:
    """Return a time as people read it."""
    begin, end = (datetime.fromtimestamp(at / 1e9, UTC) for at in (found.begin_ns, found.end_ns))
    return f"{begin:%a %d %b %H:%M} to {end:%a %d %b %H:%M} UTC"
