"""The absence of the server that hosts share, as this host knows it, and whom it refuses for that alone.

One sentence, the same on every screen: since when, what hosts do instead, and who is refused only for it.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field

from ratelimit.core.memory.host import hosts_in
from ratelimit.core.memory.refusals import MOST_CALLERS, refusals_in
from ratelimit.inspection import formatting
from ratelimit.inspection.access.attachment import attach
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.identities import short_hash
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.stores.factory import wish_of
from ratelimit.telemetry.cells import totals
from ratelimit.telemetry.remote import COUNTER_STOOD_IN, StoodInColumn
from ratelimit.worker.events.host import HostRecord
from ratelimit.worker.refusal_lines import stood_in_counter

MOST_LIMITS = 4
"""Limits that are named; those come first that refused most."""
MOST_NAMED = 3
"""Callers that are named; those come first that were refused most."""


@dataclass(frozen=True, slots=True)
class ByShare:
    """The requests that a host refused only since it has a share of each limit meanwhile."""

    requests: int = 0
    """Since the server went."""
    last_minute: int = 0
    callers: int = 0
    """Callers of the last hour."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Refusals of the last hour by limit, the most first: a request counts under each that refused it."""
    most: Mapping[str, int] = field(default_factory=dict)
    """The callers refused most, as screens name them, with how often one limit refused each."""
    is_exact: bool = True
    """Whether these are of this outage alone; otherwise refusals of one before it are among them."""

    @property
    def words(self) -> str:
        """They in words, behind `Only for that`."""
        if not self.requests:
            return "nobody was refused that the whole limits had room for"
        said = (
            f"{formatting.count(self.requests, 'request')} {'was' if self.requests == 1 else 'were'} refused"
        )
        said += f" since then, {self.last_minute:,} in the last minute"
        if self.callers:
            few = "" if self.callers < MOST_CALLERS else "at least "
            said += f", of {few}{formatting.count(self.callers, 'caller')}"
        names = [f"`{name}`{self._times(number)}" for name, number in self.limits.items()]
        if len(names) > MOST_LIMITS:
            names[MOST_LIMITS:] = [f"{len(names) - MOST_LIMITS} more limits"]
        said += f", by {', '.join(names)}" if names else ""
        by_several = self.is_exact and sum(self.limits.values()) > self.requests
        said += ", some by more than one" if by_several else ""
        most = ", ".join(f"{name}{self._times(number)}" for name, number in self.most.items())
        return f"{said}; most of all {most}" if most else said

    def _times(self, number: int) -> str:
        """Return how often, behind a name; empty where an outage before counts as well."""
        return f" ({number:,})" if self.is_exact else ""


@dataclass(frozen=True, slots=True)
class Outage:
    """The absence of the server, as one host knows it."""

    host: str
    since_ns: int
    """0 where this host's workers have not told of it."""
    share: float | None = None
    """The part of each limit that a host lets through meanwhile; None where no worker here does."""
    refused: ByShare | None = None
    """None likewise. Workers that ask the server decide by it: then only this command does not reach it."""
    unknown: tuple[str, ...] = ()
    """The other hosts."""

    @property
    def words(self) -> str:
        """All of it in sentences."""
        since = f" since {formatting.instant(self.since_ns)} UTC" if self.since_ns else ""
        said = f"The server does not answer{since}"
        others = ", ".join(self.unknown)
        if self.share is None or self.refused is None:
            said += f": this is what this host, {self.host}, knows."
            return f"{said} Not known: what {others} did since then." if others else said
        share = formatting.share(round(100 * self.share), 100)
        said += f": each host lets {share} of each limit through by itself. "
        said += f"Only for that, on this host, {self.host}, {self.refused.words}. Not known: "
        said += f"what {others} did since then, and " if others else ""
        return f"{said}what callers had used of the limits elsewhere."

    def as_json(self) -> dict[str, object]:
        """Return it for machines."""
        refused = self.refused
        return {
            "host": self.host,
            "since": formatting.iso(self.since_ns) if self.since_ns else None,
            "share": self.share,
            "refused_by_share": None
            if refused is None
            else {
                "requests": refused.requests,
                "last_minute": refused.last_minute,
                "callers": refused.callers,
                "limits": dict(refused.limits),
                "most": dict(refused.most),
                "is_exact": refused.is_exact,
            },
            "unknown": [*self.unknown],
        }


def outage_of(policy: Policy, here: EmbeddedStore | None = None) -> Outage:
    """Return what this host knows while the server does not answer.

    Args:
        policy: the policy.
        here: the store of this host's workers; opened here where it is not given.
    """
    if here is None:
        try:
            with closing(attach(policy)) as found:
                return outage_of(policy, found)
        except InspectionFailure:
            pass
    record = HostRecord(wish_of(policy, needs_key=False).place if here is None else here.place)
    own, since_ns = socket.gethostname(), record.away_since_ns
    others = tuple(each for each in record.read().hosts if each != own)
    if here is None or not (since_ns or here.table.stats(here.clock.now_ns())["away"]):
        return Outage(own, since_ns, unknown=others)
    # Its client library is not there for every policy.
    from ratelimit.stores.redis.fallback.fair_share import share_of

    before = record.before_away.get("refused_by_share")
    refused = _by_share(policy.compiled, here, since_ns, before)
    return Outage(own, since_ns, share_of(hosts_in(here.table)), refused, others)


def _by_share(compiled: CompiledPolicy, here: EmbeddedStore, since_ns: int, before: int | None) -> ByShare:
    """Return what was refused by the share alone; of the last minute where nothing says when it began."""
    table, now_ns = here.table, here.clock.now_ns()
    total = totals(table, COUNTER_STOOD_IN, len(StoodInColumn))[StoodInColumn.BY_SHARE]
    rules = {1 + table.counter(rule.counter_name): rule for rule in compiled.rules}
    counter = stood_in_counter(table)
    last_minute, callers, limits = 0, dict[str, int](), dict[str, int]()
    is_exact = True
    for noted, who, refused, uncertain, first_ns, last_ns, _, mark, now in refusals_in(table, now_ns):
        rule = rules.get(mark)
        if noted != counter or rule is None or last_ns + 10**9 <= since_ns:
            continue
        number = max(1, refused - uncertain)
        caller = f"{formatting.as_said(formatting.per(rule, compiled))} {short_hash(who)}"
        callers[caller] = max(number, callers.get(caller, 0))
        is_exact &= first_ns + 10**9 > since_ns
        last_minute += now
        limits[rule.name] = limits.get(rule.name, 0) + number
    requests = last_minute if before is None else max(0, total - before)
    return ByShare(
        requests,
        min(last_minute, requests),
        len(callers),
        _most_first(limits, requests),
        dict(list(_most_first(callers, requests).items())[:MOST_NAMED]),
        is_exact,
    )


def _most_first(numbers: Mapping[str, int], most: int) -> dict[str, int]:
    """Return the numbers in order, none of them above `most` if that is one or more."""
    by_number = sorted(numbers.items(), key=lambda each: (-each[1], each[0]))
    return {name: min(number, most or 1) for name, number in by_number}


def outage_words(policy: Policy, here: EmbeddedStore | None = None) -> str:
    """Return an outage in sentences: see `outage_of`."""
    return outage_of(policy, here).words
