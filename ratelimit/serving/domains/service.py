"""Calls decided by domains and their descriptors, as the reference service does, with a policy on top.

Each descriptor counts by itself, whatever another one says, and also beyond its limit. A call is over the
limit if a descriptor is, or if all its quotas are. Where there is a policy as well, it decides the calls
that the descriptors allow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ratelimit.http.fields import Pair
from ratelimit.serving.answer import write_statuses
from ratelimit.serving.deciding import Answered
from ratelimit.serving.descriptors import DescriptorError
from ratelimit.serving.domains.counting import MOST_HITS, Counted, Counting, Wanted
from ratelimit.serving.domains.model import PERIODS_S, Domains, Entry, MatchedLimit, overriding
from ratelimit.serving.domains.settings import Settings
from ratelimit.serving.domains.statistics import Statistics
from ratelimit.serving.wire import read_call

MOST_REMAINING = 2**32 - 1
_OK, _OVER = 1, 2
Status = tuple[int, tuple[int, int, str] | None, int, int]
"""Code; requests, unit and name of the limit; what remains; seconds until the window ends."""
_UNMATCHED: Status = (_OK, None, 0, 0)
_UNLIMITED: Status = (_OK, None, MOST_REMAINING, 0)


class Descriptor(NamedTuple):
    """One descriptor of a call."""

    entries: Sequence[Entry]
    limit: tuple[int, int] | None = None
    """Requests and unit of a limit that it brings."""
    hits: int | None = None


class Call(NamedTuple):
    """A call, whichever door it came by."""

    domain: str
    hits: int
    descriptors: Sequence[Descriptor]


class Reply(NamedTuple):
    """The answer to a call."""

    allowed: bool
    statuses: Sequence[Status]
    headers: Sequence[Pair]
    body: bytes
    metadata: Mapping[str, Any] | None

    def written(self) -> bytes:
        """Return it as a `RateLimitResponse`."""
        return write_statuses(self.allowed, self.statuses, self.headers, self.body, self.metadata)


class _Asked(NamedTuple):
    """A call, and what its descriptors fall under."""

    call: Call
    found: Sequence[MatchedLimit | None]
    hits: Sequence[int]
    wanted: Sequence[Wanted]
    """Each counter once, with all hits of the call."""
    places: Sequence[int]
    """The counter of each descriptor; -1 for none."""


class DomainService:
    """Decides calls by the domains in force.

    Args:
        domains: those in force; called for each call.
        counting: counts.
        settings: the service's.
        statistics: take what was counted.
    """

    def __init__(
        self,
        domains: Callable[[], Domains],
        counting: Counting,
        settings: Settings | None = None,
        statistics: Statistics | None = None,
    ) -> None:
        self._domains = domains
        self._counting = counting
        self._settings = Settings() if settings is None else settings
        self.statistics = Statistics(self._settings.near) if statistics is None else statistics

    def decide(self, call: Call) -> Reply:
        """Decide a call where the store answers at once.

        Raises:
            DescriptorError: it is a call that no proxy should make.
        """
        asked = self._asked(call)
        if self._settings.stops_counting and asked.wanted:
            asked = self._fewer(asked, *self._counting.count(asked.wanted, looks=True))
        return self._reply(asked, *self._counting.count(asked.wanted))

    async def adecide(self, call: Call) -> Reply:
        """Do the same with any store."""
        asked = self._asked(call)
        if self._settings.stops_counting and asked.wanted:
            asked = self._fewer(asked, *await self._counting.acount(asked.wanted, looks=True))
        return self._reply(asked, *await self._counting.acount(asked.wanted))

    def _asked(self, call: Call) -> _Asked:
        if not call.domain:
            self._mistake("the call has no domain")
        if not call.descriptors:
            self._mistake("the call has no descriptors")
        domains = self._domains()
        found: list[MatchedLimit | None]
        if call.domain not in domains:
            self.statistics.add("domain_not_found")
            found = [None] * len(call.descriptors)
        else:
            found = [self._found(domains, call.domain, each) for each in call.descriptors]
        replaced = {name for each in found if each is not None for name in each.limit.replaces}
        found = [
            None if each is not None and each.limit.name in replaced and not each.limit.is_unlimited else each
            for each in found
        ]
        hits = [max(1, call.hits) if each.hits is None else each.hits for each in call.descriptors]
        counters: dict[tuple[int, tuple[str, ...]], int] = {}
        sums: list[int] = []
        places = []
        for each, number in zip(found, hits, strict=True):
            if each is None or each.limit.is_unlimited:
                places.append(-1)
                continue
            at = counters.setdefault((each.limit.unit, tuple(each.partition)), len(counters))
            if at == len(sums):
                sums.append(0)
            sums[at] += number
            places.append(at)
        wanted = [Wanted(unit, partition, sums[at]) for (unit, partition), at in counters.items()]
        return _Asked(call, found, hits, wanted, places)

    def _found(self, domains: Domains, domain: str, descriptor: Descriptor) -> MatchedLimit | None:
        if descriptor.limit is None:
            return domains.find(domain, descriptor.entries)
        requests, unit = descriptor.limit
        if unit not in PERIODS_S:
            self._mistake("a descriptor brings a limit without a unit")
        return overriding(domain, descriptor.entries, requests, unit)

    def _mistake(self, what: str) -> None:
        self.statistics.add("service_error")
        raise DescriptorError(what)

    def _fewer(self, asked: _Asked, counted: Sequence[Counted], share: float) -> _Asked:
        """Return what is counted of a call where a counter that is over its limit stops the others."""
        would_be_over = {
            at
            for each, at in zip(asked.found, asked.places, strict=True)
            if each is not None and at >= 0
            if counted[at].units + asked.wanted[at].hits > _share_of(each.limit.requests, share)
        }
        if not would_be_over:
            return asked
        wanted = [
            each if at in would_be_over else each._replace(hits=0) for at, each in enumerate(asked.wanted)
        ]
        hits = [
            number if at < 0 or at in would_be_over else 0
            for number, at in zip(asked.hits, asked.places, strict=True)
        ]
        return asked._replace(wanted=wanted, hits=hits)

    def _reply(self, asked: _Asked, counted: Sequence[Counted], share: float) -> Reply:
        settings = self._settings
        # Where one counter is there for several descriptors, they count one after the other.
        before = [
            max(0, held.units - min(each.hits, MOST_HITS))
            for held, each in zip(counted, asked.wanted, strict=True)
        ]
        statuses: list[Status] = []
        metadata: dict[str, Any] = {}
        over = quotas = over_quotas = 0
        least, tightest = MOST_REMAINING, -1
        for each, number, at in zip(asked.found, asked.hits, asked.places, strict=True):
            if each is not None and each.limit.is_unlimited:
                self.statistics.hit(each.series, each.rolled_up, number)
                statuses.append(_UNLIMITED)
                continue
            status = _UNMATCHED
            if each is not None:
                status = self._status(each, before[at], number, counted[at].reset_s, share)
                before[at] += number
                remaining = status[2]
                if remaining < least:
                    least, tightest = remaining, len(statuses)
            is_quota = settings.is_quota or (each is not None and each.limit.is_quota)
            quotas += is_quota
            if status[0] == _OVER:
                over_quotas += is_quota
                over += not is_quota
                if not is_quota:
                    least, tightest = 0, len(statuses)
            elif each is not None and each.limit.metadata is not None:
                merge(metadata, each.limit.metadata)
            statuses.append(status)
        is_over = over > 0 or (quotas > 0 and quotas == over_quotas)
        if is_over and settings.is_shadow:
            self.statistics.add("global_shadow_mode")
            is_over = False
        headers = self._headers(statuses[tightest]) if settings.has_headers and tightest >= 0 else ()
        described = _described(asked.call, metadata) if settings.has_metadata else None
        return Reply(not is_over, statuses, headers, b"", described)

    def _status(self, found: MatchedLimit, before: int, hits: int, reset_s: int, share: float) -> Status:
        limit = found.limit
        most, after = _share_of(limit.requests, share), before + hits
        self.statistics.counted(found.series, found.rolled_up, most, before, hits, is_shadow=limit.is_shadow)
        code = _OVER if after > most and not limit.is_shadow else _OK
        return code, (limit.requests, limit.unit, limit.name), max(0, most - after), reset_s

    def _headers(self, status: Status) -> Sequence[Pair]:
        _, limit, remaining, reset_s = status
        assert limit is not None
        settings = self._settings
        numbers = {
            settings.limit_header: limit[0],
            settings.remaining_header: remaining,
            settings.reset_header: reset_s,
        }
        return [(name.encode(), b"%d" % number) for name, number in numbers.items()]


def _share_of(requests: int, share: float) -> int:
    """Return this host's part of a limit, in whole requests: at least one of a limit that has any."""
    return requests if share >= 1.0 else min(requests, -(-requests * round(share * 1_000_000) // 1_000_000))


def read(message: bytes) -> Call:
    """Return the call of a `RateLimitRequest`.

    Raises:
        DescriptorError: the bytes are no such message.
    """
    try:
        domain, hits, descriptors = read_call(message)
    except ValueError as error:
        raise DescriptorError(f"this is no RateLimitRequest: {error}") from error
    made = [
        Descriptor([(_text(key), _text(value)) for key, value in entries], limit, own)
        for entries, limit, own in descriptors
    ]
    return Call(_text(domain), hits, made)


def _text(raw: bytes) -> str:
    """Return a text that has the same bytes, whatever they are."""
    return raw.decode("utf-8", "surrogateescape")


def topped(reply: Reply, answered: Answered) -> Reply:
    """Return a reply with what a policy says of the same call."""
    return Reply(
        reply.allowed and answered.allowed,
        reply.statuses,
        [*reply.headers, *answered.headers],
        b"" if answered.allowed else answered.body,
        reply.metadata,
    )


def merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add members that are not there; those that are mappings in both are merged."""
    for name, value in more.items():
        if name not in into:
            into[name] = _copied(value)
        elif isinstance(into[name], dict) and isinstance(value, Mapping):
            merge(into[name], value)


def _copied(value: Any) -> Any:
    return {name: _copied(each) for name, each in value.items()} if isinstance(value, Mapping) else value


def _described(call: Call, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what later filters of the proxy are given of a call."""
    described: dict[str, Any] = {
        "domain": call.domain,
        "descriptors": [_described_one(each) for each in call.descriptors],
    }
    if call.hits:
        described["hitsAddend"] = call.hits
    if metadata:
        described["metadata"] = metadata
    return described


def _described_one(descriptor: Descriptor) -> dict[str, Any]:
    described: dict[str, Any] = {"entries": [f"{key}={value}" for key, value in descriptor.entries]}
    if descriptor.limit is not None:
        requests, unit = descriptor.limit
        described["limit"] = f"requests_per_unit:{requests} unit:{unit}"
    if descriptor.hits is not None:
        described["hitsAddend"] = descriptor.hits
    return described
