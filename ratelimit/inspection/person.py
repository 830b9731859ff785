"""One caller as a whole: the limits that bind it with what they have left, its refusals, actor and acts.

Limits and refusals are those of now; refusals are asked of every host that shares the server. The addresses
and payment methods of an account are those that the correlator last saw it with.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from ratelimit.clustering.budgets import places_of
from ratelimit.correlation import Explanation
from ratelimit.correlation.overview import Overview
from ratelimit.errors import StoreError
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.hosts import Refused, answers_of, in_words, lines_of
from ratelimit.inspection.knowledge import Knowledge, Left
from ratelimit.inspection.naming import Caller
from ratelimit.load.compile import loads_of
from ratelimit.load.memory import SharedInFlight
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.stores.acts.act import Act
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.stores.shed import ShedLine
from ratelimit.worker.inquiries import Line, refusal_lines, shed_lines

MOST_HASHES = 64


@dataclass
class Person:
    """What is known of one caller."""

    callers: Sequence[Caller]
    identities: Sequence[tuple[str, int]]
    """What limits count it by, and the hash of each; the latest of its addresses and payment methods."""
    actor: int | None = None
    verdict: int = 0
    overview: Overview | None = None
    explanation: Explanation | None = None
    acts: Sequence[Act] = field(default_factory=list)
    limits: Sequence[Left] = field(default_factory=list)
    others: Sequence[LimitRule] = field(default_factory=list)
    """Limits that may bind it and cannot be looked at without a whole request."""
    refused: Sequence[Refused] = field(default_factory=list)
    shed: Sequence[tuple[str, ShedLine]] = field(default_factory=list)
    """What was shed of it for want of room, each with its host."""
    hosts: Sequence[str] = field(default_factory=list)
    """The hosts that answered."""
    missing: Sequence[str] = field(default_factory=list)
    """The hosts that did not."""
    no_answer: str = ""
    """Why limits cannot be looked at; empty if they can."""

    @property
    def is_known(self) -> bool:
        """Whether anything here has met it."""
        return any(each.is_known for each in self.callers) or bool(self.refused or self.shed)


def person_of(known: Knowledge, callers: Sequence[Caller]) -> Person:
    """Return what is known of a caller.

    Args:
        known: what is known here.
        callers: the same person by several names, such as an account and its address.
    """
    compiled = known.compiled
    positions = {spec.name: spec.index for spec in compiled.identities}
    hashes = _hashes(known, callers)
    person = Person(
        callers, [(compiled.identities[at].name, values[0]) for at, values in sorted(hashes.items())]
    )
    key = next((each.hash for each in callers if each.what == "account"), None)
    if key is not None:
        person.actor, person.verdict = known.membership(key)
        if known.source is not None:
            person.explanation = known.source.correlator.explain(key)
    for each in callers:
        if each.what == "actor":
            person.actor = each.hash
    person.overview = None if person.actor is None else known.actor(person.actor)
    person.acts = _acts(known, callers, person)
    row = _row(known, {at: values[0] for at, values in hashes.items()}, key, person.actor)
    try:
        person.limits = known.left(row)
    except InspectionFailure as failure:
        person.no_answer = str(failure)
    looked = {each.rule.index for each in person.limits}
    person.others = [
        rule
        for rule in compiled.rules
        if not rule.is_beside and rule.index not in looked and any(at in hashes for at in rule.per)
    ]
    wanted = {value for values in hashes.values() for value in values}
    wanted.update(known.keys_of([each.rule for each in person.limits], row))
    if person.actor is not None:
        wanted.add(person.actor)
    _ask_hosts(known, person, sorted(wanted)[:MOST_HASHES])
    account = positions.get(known.account or "")
    accounts = set(hashes.get(account, ())) if account is not None else set()
    person.shed = [each for each in person.shed if each[1].account in accounts]
    return person


def _hashes(known: Knowledge, callers: Sequence[Caller]) -> dict[int, list[int]]:
    """Return what limits count a person by: by position, the latest first."""
    compiled = known.compiled
    positions = {spec.name: spec.index for spec in compiled.identities}
    found: dict[int, list[int]] = {}
    for each in callers:
        if each.identity in positions and each.what != "actor":
            found.setdefault(positions[each.identity], []).extend(each.hashes)
    spec = compiled.correlation
    for each in callers:
        if each.what != "account" or known.source is None or spec is None:
            continue
        explanation = known.source.correlator.explain(each.hash)
        for one in sorted(() if explanation is None else explanation.shared, key=lambda one: -one.last_ns):
            at = spec.kinds[one.kind]
            if at >= 0 and one.hash not in found.setdefault(at, []):
                found[at].append(one.hash)
    return {at: values for at, values in found.items() if values}


def _row(known: Knowledge, hashes: dict[int, int], key: int | None, actor: int | None) -> list[int]:
    row = known.row_of(hashes)
    compiled = known.compiled
    if compiled.correlation is None:
        return row
    if known.watch is not None and key is not None and known.membership(key)[0] is not None:
        known.watch.fill(row)
    elif actor is not None:
        row[compiled.young : compiled.cluster + 1] = places_of(actor)
    return row


def _acts(known: Knowledge, callers: Sequence[Caller], person: Person) -> list[Act]:
    """Return the acts on a person, or on its actor."""
    members: set[int] = set()
    if person.overview is not None and any(act.kind in ("clear", "confirm") for act in known.acts):
        members = {key for key, _ in person.overview.members}
    found = []
    for act in known.acts:
        own = any(
            one in act.accounts and (not act.identity or act.identity == each.identity)
            for each in callers
            for one in each.hashes
        )
        is_actors = act.kind in ("clear", "confirm") and not members.isdisjoint(act.accounts)
        hashes = {value for _, value in person.identities}
        if own or is_actors or not hashes.isdisjoint(act.payments):
            found.append(act)
    return found


def _ask_hosts(known: Knowledge, person: Person, wanted: list[int]) -> None:
    """Find out what every host's limits refused."""
    server = known.deployment.server
    if server is None:
        if known.here is not None:
            person.hosts = [socket.gethostname()]
            now_ns = known.here.clock.now_ns()
            lines = refusal_lines(known.here.table, known.compiled.rules, wanted, now_ns)
            person.refused = _latest(known, [(person.hosts[0], line) for line in lines])
            person.shed = [(person.hosts[0], each) for each in _shed(known, known.here, set(wanted))]
        return
    # Its client library is not there for every policy.
    from ratelimit.stores.redis.inquiries import Inquiry

    try:
        answers, reports = answers_of(known.deployment, Inquiry(known.deployment.key, wanted))
    except StoreError:
        person.missing = ["other hosts: the server does not answer"]
        return
    person.hosts = sorted(each.host for each in answers.values())
    person.missing = sorted(each.host for at, each in reports.items() if at not in answers)
    person.refused = _latest(known, [line for answer in answers.values() for line in lines_of(answer)])
    shed = [(each.host, one) for each in answers.values() for one in each.shed]
    person.shed = sorted(shed, key=lambda each: -each[1].last_ns)


def _latest(known: Knowledge, lines: Sequence[tuple[str, Line]]) -> list[Refused]:
    return sorted(in_words(known.compiled, lines), key=lambda each: -each.last_ns)


def _shed(known: Knowledge, here: EmbeddedStore, accounts: set[int]) -> list[ShedLine]:
    """Return what this host shed of accounts for want of room."""
    with ExitStack() as stack:
        flights = []
        for spec in loads_of(known.compiled):
            flight = SharedInFlight.existing(here.place, here.hasher.key, spec.name)
            if flight is not None:
                stack.callback(flight.close)
                flights.append((spec, flight))
        return shed_lines(flights, here.table, accounts, here.clock.now_ns())
