"""The journal of a deployment, for people: what happened on all hosts, by time.

    with journal_of(policy) as journal:
        for entry in journal.entries(since_ns):
            print(entry.host, entry.kind, entry.subject, entry.text)

Entries come from the ring beside this host's table, from the server that hosts share, and from the policy's
file of events. A host that does not report is named in `missing`: what the server has of it may lack the end.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratelimit.clock import SystemClock
from ratelimit.errors import StoreError
from ratelimit.events import KINDS, Event
from ratelimit.inspection import formatting
from ratelimit.inspection.access.host_state import HostState, state_of
from ratelimit.inspection.acts.words import event_words
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.load.compile import DEFAULT_GROUP
from ratelimit.policy import Policy
from ratelimit.stores.embedded.folder import is_there
from ratelimit.stores.factory import wish_of
from ratelimit.stores.journal import (
    JournalRing,
    Record,
    events_of,
    minutes_of,
    quarters_of,
    read_records,
    tail_of,
)
from ratelimit.usage.pricing import MICRO

if TYPE_CHECKING:
    from ratelimit.stores.redis.acts import ServerActs
    from ratelimit.stores.redis.journal import ServerJournal

SAME_NS = 60 * 10**9
"""An act or a policy is in force on all hosts within so long."""
_OF_ACTS = frozenset(name for name, kind in KINDS.items() if kind.topic == "acts")
"""Of one act there is one of each, whenever a host that was cut off tells it."""
_SILENT = "host-silent"
_ENDED = "host-ended"
_EACH_HOST = frozenset(name for name, kind in KINDS.items() if kind.is_of_all_hosts)
HOUR_NS = 3600 * 10**9
QUARTER_NS = HOUR_NS // 4
MINUTE_NS = 60 * 10**9
LONGEST_NOTE = 500
SHORTEST_HASH, LONGEST_HASH = 8, 16
"""Digits of a hash, as screens show it, and of a whole one."""
_QUOTED = re.compile(r"`([^`]+)`")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the journal."""

    time_ns: int
    """When, since 1970; of what lasts or was counted, when that began."""
    host: str
    kind: str
    """The name of an event or of a note: see `ratelimit.events`."""
    subject: str
    """What it is about: an actor's id, an act's name, a caller's hash, a policy's digest; or empty."""
    text: str
    """It in words."""
    fields: Mapping[str, Any]
    """As docs/events.md has them."""
    is_warning: bool = False
    hosts: tuple[str, ...] = ()
    """The hosts that reported it, if not `host` alone; then `host` names all of them."""
    end_ns: int = 0
    """When it ended, of outages as `folded` has them, and of counts; 0 for what has no length."""

    def is_of(self, names: Collection[str]) -> bool:
        """Return whether it is about one of these: hashes of 8 to 16 digits, limits, hosts, acts, people."""
        return Wanted(names).has(self)

    def with_host(self, host: str) -> Entry:
        """Return it as reported by one more host."""
        hosts = self.hosts or (self.host,)
        if host in hosts:
            return self
        hosts = (*hosts, host)
        return replace(self, host=", ".join(hosts), hosts=hosts)

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        hosts = self.hosts or ((self.host,) if self.host else ())
        return {
            "time": formatting.iso(self.time_ns),
            "end": formatting.iso(self.end_ns) if self.end_ns else None,
            "host": hosts[0] if hosts else "",
            "hosts": list(hosts),
            "kind": self.kind,
            "subject": self.subject or None,
            "text": self.text,
            "fields": dict(self.fields),
        }


class Printed:
    """The entries that were printed, so that each is once, however many hosts report it.

    A host's report may come late, and may say an earlier time than the one that was printed.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, ...], list[int]] = {}

    def add(self, entry: Entry) -> bool:
        """Note an entry; return whether it is another than all that were noted."""
        told: tuple[str, ...] = entry.kind, entry.subject, entry.text
        if entry.kind not in _EACH_HOST:
            told = (*told, entry.host)
        times = self._seen.setdefault(told, [])
        near_ns = SAME_NS if entry.kind in (*_EACH_HOST, _SILENT, _ENDED) else 0
        if times and entry.kind in _OF_ACTS:
            return False
        if any(abs(entry.time_ns - each) <= near_ns for each in times):
            return False
        times.append(entry.time_ns)
        return True


class Wanted:
    """The names that entries are to be about.

    Args:
        names: hashes of 8 to 16 digits, names of limits, hosts and acts.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)
        hashes = [each for each in self._names if _is_hash(each)]
        self._shorter = tuple(each for each in hashes if len(each) < LONGEST_HASH)
        self._beginnings = frozenset(each[:SHORTEST_HASH] for each in hashes)

    def has(self, entry: Entry) -> bool:
        """Return whether an entry is about one of them."""
        own = {entry.host, *entry.hosts, entry.subject, *_names(entry.fields)}
        return not own.isdisjoint(self._names) or any(map(self._fits, own))

    def _fits(self, name: str) -> bool:
        """Return whether a hash is one of those wanted, where either may be written shorter."""
        if not _is_hash(name) or name[:SHORTEST_HASH] not in self._beginnings:
            return False
        if len(name) < LONGEST_HASH:
            return any(each.startswith(name) or name.startswith(each) for each in self._names)
        return name.startswith(self._shorter)


@dataclass(frozen=True, slots=True)
class Hour:
    """The answers of all hosts in one hour."""

    begin_ns: int
    """When it began, since 1970."""
    allowed: int
    refused: int
    """With 429 or 403."""
    shed: int
    """With 503, by limits that follow the load."""
    by_limit: Mapping[str, int]
    """The refusals of limits, as far as they were among those of a host that refused most."""
    hosts: frozenset[str]
    until_ns: int = 0
    """Up to when it was counted, of the hour under way; 0 for one that has ended."""
    by_class: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Of each class of limits that follow the load, requests allowed and shed."""
    by_other: Mapping[str, int] = field(default_factory=dict)
    """What refused beside limits, like the deny list, and how much."""

    @property
    def asked(self) -> int:
        """All requests."""
        return self.allowed + self.refused + self.shed

    @property
    def foremost(self) -> Sequence[tuple[str, int]]:
        """What refused, limits and others, those first that refused most."""
        return sorted([*self.by_limit.items(), *self.by_other.items()], key=lambda one: (-one[1], one[0]))

    def as_entry(self) -> Entry:
        """Return it as an entry of the journal."""
        said = f"{self.allowed:,} allowed, {self.refused:,} refused"
        said += f", {self.shed:,} shed" if self.shed else ""
        said += f" ({formatting.share(self.refused + self.shed, self.asked)})" if self.asked else ""
        said += "".join(f"; {name} {number:,}" for name, number in self.foremost[:3])
        if self.until_ns:
            said += f"; so far, up to {formatting.instant(self.until_ns)[11:16]}"
        host = next(iter(self.hosts)) if len(self.hosts) == 1 else f"{len(self.hosts)} hosts"
        fields = {
            "requests": {"allowed": self.allowed, "refused": self.refused, "shed": self.shed},
            "limits": {name: number for name, number in self.foremost if name in self.by_limit},
            "others": {name: number for name, number in self.foremost if name in self.by_other},
            "classes": {
                name: {"allowed": allowed, "shed": shed} for name, (allowed, shed) in self.by_class.items()
            },
            "hosts": sorted(self.hosts),
        }
        end_ns = self.until_ns or self.begin_ns + HOUR_NS
        return Entry(self.begin_ns, host, "hour", "", said, fields, end_ns=end_ns)


@dataclass
class Journal:
    """The journal of a deployment.

    Args:
        place: the table of this host's workers; None where there can be none.
        file: the policy's file of events; None for none.
        server: what hosts share; None where they share nothing.
    """

    place: Path | None
    file: str | None
    server: ServerActs | None
    is_away: bool = False
    """Whether the server did not answer: entries are those that this host knows."""
    missing: dict[str, int] = field(default_factory=dict)
    """Hosts that do not report, and for how many seconds;"""
    gone: dict[str, int] = field(default_factory=dict)
    """and those that are taken for gone."""
    ended: dict[str, int] = field(default_factory=dict)
    """The hosts whose workers have all ended, and how long ago, in seconds."""
    hosts: Sequence[HostState] | None = None
    """The hosts that share the server; None where it did not say."""

    def entries(
        self, since_ns: int = 0, of: Collection[str] = (), *, with_minutes: bool = False
    ) -> Iterator[Entry]:
        """Yield the entries since an instant, by time; each once, with the hosts that reported it.

        A host that reports nothing since then has an entry at its last report, for as long as it is silent.

        Args:
            since_ns: from when on, since 1970.
            of: yield those about one of these alone, as `Entry.is_of` has it; empty for all.
            with_minutes: also counts by the minute and top callers.
        """
        lines = self._lines(with_minutes=with_minutes)
        found: list[Entry] = []
        seen: dict[tuple[str, str, str], int] = {}
        for record in read_records(lines):
            if record.time_ns < since_ns:
                continue
            entry = entry_of(record)
            if entry.kind in _EACH_HOST:
                # Each host reports it; people read it once, with all of these hosts.
                told = (entry.kind, entry.subject, entry.text)
                at = seen.get(told)
                is_near = at is not None and 0 <= entry.time_ns - found[at].time_ns <= SAME_NS
                if at is not None and (is_near or entry.kind in _OF_ACTS):
                    found[at] = found[at].with_host(entry.host)
                    continue
                seen[told] = len(found)
            found.append(entry)
        found += [each for each in self._silent() if each.time_ns >= since_ns]
        found.sort(key=lambda each: each.time_ns)
        wanted = Wanted(of)
        yield from (each for each in found if not of or wanted.has(each))

    def _silent(self) -> Iterator[Entry]:
        now_ns = SystemClock().now_ns()
        for host, silent_s in (*self.missing.items(), *self.gone.items()):
            words = "its last report: nothing is heard of it since"
            fields = {"silent_seconds": silent_s}
            yield Entry(now_ns - silent_s * 10**9, host, _SILENT, "", words, fields, is_warning=True)
        for host, ended_s in self.ended.items():
            words = "its last worker ended: what it counted is in no sum until it runs again"
            yield Entry(now_ns - ended_s * 10**9, host, _ENDED, "", words, {})

    def hours(self, since_ns: int = 0, *, now_ns: int = 0) -> list[Hour]:
        """Return the answers by the hour since an instant, the first hour whole; hours without are left out.

        A host counts by quarters of an hour, so the last one may lack up to a quarter.

        Args:
            since_ns: the instant, since 1970.
            now_ns: the time, to have the hour under way with the minutes since its last quarter.
        """
        found: dict[int, list[Mapping[str, Any]]] = {}
        hosts: dict[int, set[str]] = {}
        first, until_ns = since_ns // HOUR_NS, 0
        quarters: set[tuple[str, int]] = set()

        def add(begin_ns: int, record: Record) -> None:
            if begin_ns // HOUR_NS >= first:
                found.setdefault(begin_ns // HOUR_NS, []).append(record.fields)
                hosts.setdefault(begin_ns // HOUR_NS, set()).add(record.host)

        for record in read_records(self.counts(quarters_of, lambda server: server.quarters)):
            begin_s = record.fields.get("begin")
            if record.kind == "quarter" and isinstance(begin_s, int):
                quarters.add((record.host, begin_s * 10**9 // QUARTER_NS))
                add(begin_s * 10**9, record)
        for record in read_records(self.counts(minutes_of, lambda server: server.minutes)) if now_ns else ():
            if record.kind != "minute":
                continue
            begin_ns, end_ns = counted_in(record)
            if now_ns - HOUR_NS <= begin_ns and (record.host, begin_ns // QUARTER_NS) not in quarters:
                add(begin_ns, record)
                until_ns = max(until_ns, end_ns)
        hours = [_hour(hour * HOUR_NS, found[hour], hosts[hour]) for hour in sorted(found)]
        if hours and hours[-1].begin_ns // HOUR_NS == now_ns // HOUR_NS:
            quarter_ns = max((one for _, one in quarters), default=-1) * QUARTER_NS + QUARTER_NS
            hours[-1] = replace(hours[-1], until_ns=max(until_ns, quarter_ns))
        return hours

    def counts(
        self, ring: Callable[[Path], JournalRing], there: Callable[[ServerActs], ServerJournal]
    ) -> list[bytes]:
        """Return the lines of counts: this host's, and all hosts' where they share a server."""
        lines = [] if self.place is None else ring(self.place).read()
        if self.server is not None:
            try:
                lines += there(self.server).read()
                self.is_away = False
            except StoreError:
                self.is_away = True
        return lines

    def _lines(self, *, with_minutes: bool) -> list[bytes]:
        lines: list[bytes] = []
        if self.place is not None:
            lines += events_of(self.place).read()
            lines += minutes_of(self.place).read() if with_minutes else []
        if self.file is not None:
            lines += tail_of(Path(self.file))
        if self.server is not None:
            try:
                lines += self.server.events.read()
                lines += self.server.minutes.read() if with_minutes else []
                reports = self.server.hosts().values()
                self.hosts = [state_of(each) for each in reports]
                self.missing = {
                    each.host: each.silent_ms // 1000
                    for each in reports
                    if each.workers and each.is_silent and not each.is_gone
                }
                self.gone = {
                    each.host: each.silent_ms // 1000 for each in reports if each.workers and each.is_gone
                }
                self.ended = {each.host: each.silent_ms // 1000 for each in reports if not each.workers}
                self.is_away = False
            except StoreError:
                self.is_away = True
        return lines


@contextmanager
def journal_of(policy: Policy) -> Iterator[Journal]:
    """Open the journal of a policy's deployment; nothing of it has to run."""
    place = wish_of(policy, needs_key=False).place
    file = policy.file.events.file
    remote = policy.compiled.remote
    server: ServerActs | None = None
    if remote is not None:
        # Its client library is not there for every policy.
        from ratelimit.stores.redis.acts import ServerActs

        server = ServerActs(remote)
    try:
        yield Journal(place, None if file == "stderr" else file, server)
    finally:
        if server is not None:
            server.close()


def write_note(journal: Journal, text: str, of: Sequence[str], by: str) -> None:
    """Write a person's note into the journal of this host and of all hosts.

    Args:
        journal: where to.
        text: the note; what is beyond `LONGEST_NOTE` characters is left out.
        of: what it is about, as `Entry.is_of` has it.
        by: who writes it.

    Raises:
        InspectionFailure: there is no journal here that can be written.
    """
    fields = {"text": text[:LONGEST_NOTE], "by": by, "of": list(of)}
    event = Event("note", SystemClock().now_ns(), socket.gethostname(), os.getpid(), fields)
    line, trouble = event.json().encode(), "no worker of this user has run the policy here"
    is_written = False
    if journal.place is not None and is_there(journal.place):
        try:
            events_of(journal.place).append([line])
            is_written = True
        except OSError as error:
            trouble = f"the journal cannot be written: {error.strerror or error}"
    elif journal.server is not None:
        try:
            from ratelimit.stores.redis.journal import Position

            journal.server.events.exchange(Position(), b"", [line], reads=False)
            is_written = True
        except StoreError as error:
            trouble = str(error)
    if not is_written:
        raise InspectionFailure(trouble, "deployment")


def _hour(begin_ns: int, quarters: Sequence[Mapping[str, Any]], hosts: Collection[str]) -> Hour:
    sums = {"allowed": 0, "refused": 0, "shed": 0}
    by_limit: dict[str, int] = {}
    by_other: dict[str, int] = {}
    by_class: dict[str, tuple[int, int]] = {}
    for each in quarters:
        for word in sums:
            sums[word] += _number(each.get("requests"), word)
        limits = each.get("limits")
        for name, counts in limits.items() if isinstance(limits, dict) else ():
            if refused := _number(counts, "refused"):
                by_limit[name] = by_limit.get(name, 0) + refused
        others = each.get("others")
        for name, counts in others.items() if isinstance(others, dict) else ():
            by_other[name] = by_other.get(name, 0) + _number(counts, "refused")
        classes = each.get("classes")
        for name, counts in classes.items() if isinstance(classes, dict) else ():
            allowed, shed = by_class.get(name, (0, 0))
            by_class[name] = allowed + _number(counts, "allowed"), shed + _number(counts, "shed")
    return Hour(
        begin_ns,
        sums["allowed"],
        sums["refused"],
        sums["shed"],
        by_limit,
        frozenset(hosts),
        by_class=by_class,
        by_other=by_other,
    )


def _number(counts: object, word: str) -> int:
    found = counts.get(word) if isinstance(counts, dict) else None
    return found if isinstance(found, int) else 0


def counted_in(record: Record) -> tuple[int, int]:
    """Return the time in which counts were counted, from when to when; that of the record, and 0, of others.

    A minute is noted when the next one has begun, and so is an hour with its callers.
    """
    minutes = record.fields.get("minutes", 1)
    if record.kind == "minute" and isinstance(minutes, int):
        end_ns = record.time_ns // MINUTE_NS * MINUTE_NS
        return end_ns - minutes * MINUTE_NS, end_ns
    if record.kind == "top-callers":
        end_ns = record.time_ns // MINUTE_NS * MINUTE_NS
        return end_ns - HOUR_NS, end_ns
    return record.time_ns, 0


def entry_of(record: Record) -> Entry:
    """Return a record for people."""
    fields = record.fields
    begin_ns, end_ns = counted_in(record)
    subject = next(
        (str(fields[name]) for name in ("actor", "act", "caller", "digest", "code") if fields.get(name)), ""
    )
    return Entry(
        begin_ns,
        record.host,
        record.kind,
        subject,
        _text(record),
        fields,
        record.is_warning,
        end_ns=end_ns,
    )


def _text(record: Record) -> str:
    fields = record.fields
    words = _WORDS.get(record.kind)
    try:
        said = words(fields) if words is not None else None
    except (KeyError, TypeError, ValueError, AttributeError):  # of another release
        said = None
    if said is None:
        rest = ", ".join(
            f"{name} {_instant(value) if name in _INSTANTS else value}"
            for name, value in fields.items()
            if value not in (None, "", 0)
        )
        said = f"{record.says} {rest}".strip()
    return said


_INSTANTS = ("since", "until")
"""Fields of events with seconds since 1970."""


def _instant(seconds: int) -> str:
    return f"{formatting.instant(seconds * 10**9)} UTC"


def _group(fields: Mapping[str, Any]) -> str:
    said = f"{fields['limit']} refused {formatting.as_said(fields['per'])} {fields['caller']}"
    said += f" {formatting.count(fields['refused'], 'time')} since {_instant(fields['since'])}"
    said += f", which about {formatting.count(fields['accounts'], 'account')} use: perhaps an organisation"
    return f"{said}. If you know it, {fields['opens']}"


def _back(fields: Mapping[str, Any]) -> str:
    said = f"the server is used again after {fields['away_seconds']:g} s"
    return said + sums_words(fields)


SUMS = (
    "requests_allowed",
    "requests_refused",
    "refused_by_share",
    "requests_charged_back",
    "tokens_charged_back",
    "micro_dollars_charged_back",
    "others_charged_back",
    "counters_forgotten",
    "corrections_lost",
)
"""Fields of the end of an outage that can be added up."""


def _by_share(fields: Mapping[str, Any]) -> str:
    """Return how many of the refused requests the whole limits had room for; empty where none is known."""
    number = fields.get("refused_by_share", 0)
    return f", {number:,} of them only as each host has a share of the limits then" if number else ""


def sums_words(fields: Mapping[str, Any]) -> str:
    """Return what happened during outages, each part behind a semicolon; unlike units are not added up."""
    dollars = fields.get("micro_dollars_charged_back", 0) / MICRO
    charged = [
        *_counted(fields, "requests_charged_back", "request"),
        *_counted(fields, "tokens_charged_back", "token"),
        *([f"${dollars:,.2f}" if dollars >= 0.01 else "less than a cent"] if dollars else []),
        *(f"{each} of other kinds" for each in _counted(fields, "others_charged_back", "unit")),
    ]
    parts = [
        *(f"{each} allowed without it" for each in _counted(fields, "requests_allowed", "request")),
        *(
            f"{each} refused without it{_by_share(fields)}"
            for each in _counted(fields, "requests_refused", "request")
        ),
        *(
            [
                f"once it was back, limits counted {', '.join(charged)} of what was allowed, "
                "summed over all limits",
                "the rest fell in windows already over, or in buckets that had refilled",
            ]
            if charged
            else []
        ),
        *(f"{each} forgotten" for each in _counted(fields, "counters_forgotten", "counter")),
        *(f"{each} lost" for each in _counted(fields, "corrections_lost", "correction")),
    ]
    return "".join(f"; {each}" for each in parts)


def _counted(fields: Mapping[str, Any], name: str, noun: str) -> list[str]:
    number = int(fields.get(name, 0))
    return [formatting.count(number, noun)] if number else []


def _emptied(fields: Mapping[str, Any]) -> str:
    said = "the server came back without what it had: limits count anew"
    if fields.get("requests"):
        said += f", and may let up to {fields['requests']:,} requests through again"
        said += f" ({', '.join(f'{name} {number:,}' for name, number in [*fields['limits'].items()][:3])})"
    return said


def _policy(fields: Mapping[str, Any]) -> str:
    said = f"policy {fields['digest']} is in force"
    if fields.get("by"):
        said += f", its file is of {fields['by']}"
    return f"{said}: {fields['changes']}" if fields.get("changes") else said


def _act(word: str) -> Any:
    def words(fields: Mapping[str, Any]) -> str:
        return act_line(str(fields["act"]), word, event_words(fields), fields.get("by"), fields.get("reason"))

    return words


def act_line(label: str, word: str, what: str, by: str | None, reason: str | None) -> str:
    """Return what became of an act, by whom and why, and then what the act says.

    Args:
        label: the act's name.
        word: "made", "undone" or "lapsed".
        what: whom it names, what it does, and until when.
        by: who made it, or undid it; None where that is not known.
        reason: why this person did.
    """
    said = f"act {label} {word}"
    if by:
        said += f", made by {by}" if word == "lapsed" else f" by {by}"
    said += f" ({reason})" if reason else ""
    return f"{said}: {what}"


def _actor(word: str) -> Any:
    def words(fields: Mapping[str, Any]) -> str:
        return f"actor {word}: {fields['verdict']}, {formatting.count(fields['accounts'], 'account')}"

    return words


def _minute(fields: Mapping[str, Any]) -> str | None:
    parts = []
    classes = {f"class {name}": counts for name, counts in fields.get("classes", {}).items()}
    others = fields.get("others", {})
    for name, counts in [*fields.get("limits", {}).items(), *classes.items(), *others.items()]:
        said = ", ".join(f"{number:,} {word.replace('_', ' ')}" for word, number in counts.items() if number)
        parts.append(f"{name} {said}")
    said = "; ".join(parts)
    if said and fields.get("minutes"):
        said += f" (of {fields['minutes']:,} minutes: no worker looked meanwhile)"
    return said or None


def _target(fields: Mapping[str, Any]) -> str:
    on = ", ".join(fields["routes"]) or "all requests"
    said = f"learned first byte {_seconds(fields['first_byte_seconds'])} on {on}"
    if fields.get("before_seconds"):
        said += f", before {_seconds(fields['before_seconds'])}"
    if fields["group"] != DEFAULT_GROUP:
        said += f" ({fields['group']})"
    return said


def _seconds(number: float) -> str:
    return f"{number:.2g} s"


def _callers(fields: Mapping[str, Any]) -> str:
    def by(one: Mapping[str, Any]) -> str:
        return f"{one['limit']}, act {one['act']}" if one.get("act") else str(one["limit"])

    return "; ".join(f"{one['caller'][:8]} {one['refused']:,} by {by(one)}" for one in fields["callers"])


_WORDS: Mapping[str, Any] = {
    "store-back": _back,
    "store-emptied": _emptied,
    "policy-reloaded": _policy,
    "actor-found": _actor("found"),
    "actor-grew": _actor("grew"),
    "group-refused": _group,
    "target-learned": _target,
    "act-made": _act("made"),
    "act-undone": _act("undone"),
    "act-lapsed": _act("lapsed"),
    "minute": _minute,
    "top-callers": _callers,
    **{name: kind.brief.format_map for name, kind in KINDS.items() if kind.brief},
}


def _names(fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield what fields name: hashes, limits, groups of limits that follow the load."""
    for name in ("actor", "caller", "limit", "act", "code", "digest", "group"):
        if isinstance(fields.get(name), str):
            yield fields[name]
    if isinstance(fields.get("act"), str):  # `8-580f` is the eighth, as `8` is
        yield fields["act"].partition("-")[0]
    if isinstance(fields.get("by"), str):  # `Ann, as ann@web-1`
        person, _, account = fields["by"].rpartition(", as ")
        yield from (person or account, account, account.partition("@")[0])
    for name in ("accounts", "payments", "of", "limits", "classes", "others"):
        many = fields.get(name)
        if isinstance(many, list | dict):
            yield from (str(each) for each in many)
    for name in ("words", "error", "changes"):  # which write names so
        if isinstance(fields.get(name), str):
            yield from _QUOTED.findall(fields[name])
    callers = fields.get("callers")
    if isinstance(callers, list):
        for one in callers:
            if isinstance(one, dict):
                yield from _names(one)


def _is_hash(text: str) -> bool:
    return SHORTEST_HASH <= len(text) <= LONGEST_HASH and all(each in "0123456789abcdef" for each in text)
