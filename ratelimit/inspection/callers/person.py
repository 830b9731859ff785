"""One caller as a whole: the limits that bind it with what they have left, its refusals, actor and acts.

Limits and refusals are those of now; refusals are asked of every host that shares the server. The addresses,
networks and payment methods of an account are those that the correlator last saw it with, and so are the
accounts of an address.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from ratelimit.clustering.budgets import places_of
from ratelimit.core.clusters.cluster_index import cluster_of
from ratelimit.core.clusters.profile import around, most_seen_with
from ratelimit.core.clusters.reasons import reasons
from ratelimit.correlation import Explanation
from ratelimit.correlation.overview import Overview
from ratelimit.identity.address import parse_address
from ratelimit.inspection.acts.rulings import ruled_words
from ratelimit.inspection.callers.answers import MOST_HASHES, told_of
from ratelimit.inspection.callers.knowledge import Knowledge, Left
from ratelimit.inspection.callers.left_actors import left_actors
from ratelimit.inspection.callers.naming import DECLARED, Caller, forms_of
from ratelimit.inspection.callers.plans import Plans, plans_of
from ratelimit.inspection.callers.stand_in import StandIn, stand_in
from ratelimit.inspection.callers.together import left_together, parts_of
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.hosts.moment import Refused
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.policy.compile.identities import CLUSTER, INTERNAL
from ratelimit.stores.acts.act import Act
from ratelimit.stores.shed import ShedLine

NS = 10**9
MOST_USERS = 16
"""The acts that decide about an account whatever limits have left."""
MOST_ELSEWHERE = 9
"""Addresses, networks and payment methods of a caller that are looked at, of each."""
MOST_ACCOUNTS = 100
"""Of an address or a payment method."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account that was seen with an address or a payment method."""

    key: int
    verdict: int
    actor: int | None
    requests: int
    last_s: int


@dataclass
class Person:
    """What is known of one caller."""

    callers: Sequence[Caller]
    identities: Sequence[tuple[str, int]]
    """What limits count it by, and the hash of each; the latest of its addresses and payment methods."""
    parts: Sequence[tuple[str, int]] = field(default_factory=list)
    """Of several that a limit counts together: each identity and its hash, where that is known."""
    actor: int | None = None
    verdict: int = 0
    overview: Overview | None = None
    explanation: Explanation | None = None
    acts: Sequence[Act] = field(default_factory=list)
    ended: Sequence[Act] = field(default_factory=list)
    """Acts that refused it within the last hour, and are not in force any more."""
    left: dict[int, Act] = field(default_factory=dict)
    """Actors that it was in, and the act that took it out of each: what refused one before refused it."""
    of_users: Sequence[tuple[int, Act]] = field(default_factory=list)
    """Acts in force on accounts that use its address or payment method, each with the account."""
    limits: Sequence[Left] = field(default_factory=list)
    plans: Plans = field(default_factory=Plans)
    """Which plans' rates it goes by, as far as that is known."""
    elsewhere: Sequence[tuple[str, int, Left]] = field(default_factory=list)
    """Limits by its other addresses, networks and payment methods: of each the identity and its hash."""
    accounts: Sequence[Account] = field(default_factory=list)
    """Of an address or a payment method, the accounts that were seen with it, the busiest first."""
    account_count: int = 0
    """How many there are,"""
    account_actors: dict[int, int] = field(default_factory=dict)
    """and how many of them are in which actor."""
    others: Sequence[LimitRule] = field(default_factory=list)
    """Limits that may bind it and cannot be looked at without a whole request."""
    refused: Sequence[Refused] = field(default_factory=list)
    shed: Sequence[tuple[str, ShedLine]] = field(default_factory=list)
    """What was shed of it for want of room, each with its host."""
    hosts: Sequence[str] = field(default_factory=list)
    """The hosts that answered."""
    missing: Sequence[str] = field(default_factory=list)
    """The hosts that did not."""
    gone: Sequence[str] = field(default_factory=list)
    """The hosts that ended or are taken for gone, with since when."""
    users: Sequence[int] = field(default_factory=list)
    """The accounts that use its address or payment method and are refused, if it is no account itself."""
    policies: str = ""
    """A sentence if hosts go by different policies."""
    no_answer: str = ""
    """Why the server's limits cannot be looked at; empty if they can."""
    stand_in: StandIn | None = None
    """What this host lets through meanwhile, which `limits` then has; None if the server answers."""

    def left_by(self, refused: Refused) -> Act | None:
        """Return the act that took it out of the actor that a limit refused; None where it is not so."""
        return self.left.get(cluster_of(refused.hash)) if refused.per == CLUSTER else None

    @property
    def is_known(self) -> bool:
        """Whether anything here has met it."""
        return any(each.is_known for each in self.callers) or bool(
            self.refused or self.shed or self.acts or self.account_count
        )


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
    person.acts = _acts(known, callers, person, hashes)
    row = _row(known, {at: values[0] for at, values in hashes.items()}, key, person.actor)
    try:
        person.limits = known.left(row)
    except InspectionFailure as failure:
        person.no_answer = str(failure)
        person.stand_in = stand_in(known, row)
    if person.stand_in is not None:
        person.limits = person.stand_in.limits
    together = [each for each in callers if each.what == "together"]
    person.parts = [part for each in together for part in parts_of(known, each)]
    if together and not person.no_answer:
        try:
            found = [left for each in together for left in left_together(known, each)]
        except InspectionFailure as failure:
            person.no_answer = str(failure)
        else:
            looked_at = {left.rule.index for left in found}
            person.limits = [*found, *(each for each in person.limits if each.rule.index not in looked_at)]
    if not person.no_answer:
        person.elsewhere = list(_elsewhere(known, hashes))
    for each in callers:
        if each.what == "identity":
            _add_accounts(known, person, each.hash)
    looked = {each.rule.index for each in person.limits}
    person.others = [
        rule
        for rule in compiled.rules
        if not rule.is_beside and rule.index not in looked and any(at in hashes for at in rule.per)
    ]
    # In the order of what they tell: there is room for some in a question.
    wanted = dict.fromkeys(value for each in callers for value in each.hashes)
    wanted.update(dict.fromkeys([] if person.actor is None else [person.actor]))
    person.left = left_actors(known, callers, person.actor)
    wanted.update(dict.fromkeys(person.left))
    wanted.update(dict.fromkeys(known.keys_of([each.rule for each in person.limits], row)))
    wanted.update(dict.fromkeys(values[0] for values in hashes.values()))
    users: dict[int, None] = {}
    if key is None:
        own = {value for values in hashes.values() for value in values}
        users = dict.fromkeys([*accounts_using(known, own), *(each.key for each in person.accounts)])
        wanted.update(dict.fromkeys([*users][: MOST_HASHES // 2]))
    wanted.update(dict.fromkeys(value for values in hashes.values() for value in values))
    told = told_of(known, [*wanted][:MOST_HASHES])
    person.hosts, person.missing, person.policies = told.hosts, told.missing, told.policies
    person.gone = told.gone
    # A refusal that began after the act is of the other accounts of the actor.
    person.refused = [
        each
        for each in told.refused
        if (act := person.left_by(each)) is None or each.since_ns <= act.at_ns + NS
    ]
    person.shed = told.shed
    own = {value for each in callers for value in each.hashes}
    person.plans = plans_of(compiled, person.refused, own, _named_plans(known, callers))
    person.limits = [left for left in person.limits if person.plans.may_be(left.rule)]
    if person.overview is not None and person.overview.override == "clear":
        # No limit per actor holds for it, whatever is left of that.
        person.limits = [left for left in person.limits if left.rule.verdict is None]
    held, by = {act.label for act in person.acts}, {each.act for each in person.refused if each.act}
    in_force = {act.label for act in known.acts}
    person.ended = [act for act in known.log if act.label in by - in_force]
    refused = {each.hash for each in person.refused}
    person.users = [each for each in users if each in refused][:MOST_USERS]
    person.of_users = [
        (account, act)
        for act in known.acts
        if act.label not in held and act.of.is_list
        for account in act.accounts
        if account in users
    ]
    account = positions.get(known.account or "")
    accounts = set(hashes.get(account, ())) if account is not None else set()
    person.shed = [each for each in person.shed if each[1].account in accounts]
    return person


def ruled_of(known: Knowledge, person: Person) -> str:
    """Return what operators rule on a caller and its actor, by whom and how long ago; empty for nothing."""
    own = {value for each in person.callers for value in each.hashes}
    named = [act for act in person.acts if not own.isdisjoint(act.accounts)]
    now_ns = known.bound.store.clock.now_ns()
    found = [
        ruled_words(effect, named, own, now_ns)
        for effect in ("allowed", "denied")  # which is the order in which they go
        if any(act.of.effect == effect for act in named)
    ]
    account = next((each.hash for each in person.callers if each.what == "account"), None)
    if known.source is not None:
        if person.overview is not None and person.overview.override is not None:
            found.append(known.source.ruled(person.overview))
        elif account is not None:
            found.append(known.source.ruled_account(account))
    return "; ".join(filter(None, found))


def _named_plans(known: Knowledge, callers: Sequence[Caller]) -> dict[int, str]:
    """Return the plans that are named beside a caller, by the position of the identity that says each."""
    names = {spec.name: spec.index for spec in known.compiled.identities}
    return {
        names[each.identity]: each.written.removeprefix(f"{each.identity}=")
        for each in callers
        if each.identity in names and f"{each.identity}=hash:" not in each.written
    }


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
            _add(known, found, spec.kinds[one.kind], one.hash)
    if known.source is not None and spec is not None:
        for each in callers:
            for kind, hashed in (
                around(known.source.correlator.core, each.hash)
                if each.what not in ("actor", "together")
                else ()
            ):
                _add(known, found, spec.kinds[kind], hashed)
    for each in callers:
        _add_networks(known, each, found)
    return {at: values for at, values in found.items() if values}


def _add(known: Knowledge, found: dict[int, list[int]], at: int, hashed: int) -> None:
    if at >= 0 and not {hashed, hashed ^ 1}.intersection(found.setdefault(at, [])):
        found[at].append(forms_of(known, known.compiled.identities[at].name, hashed)[0])


def _elsewhere(known: Knowledge, hashes: dict[int, list[int]]) -> Iterator[tuple[str, int, Left]]:
    """Yield the limits that count by one of a caller's other identifiers, and what these have used."""
    for at, values in sorted(hashes.items()):
        for hashed in values[1:MOST_ELSEWHERE]:
            for left in known.left(known.row_of({at: hashed})):
                if left.rule.per == (at,) and not left.is_full:
                    yield known.compiled.identities[at].name, hashed, left


def _add_accounts(known: Knowledge, person: Person, hashed: int) -> None:
    if known.source is None:
        return
    seen, by_label, busiest = most_seen_with(known.source.correlator.core, hashed, MOST_ACCOUNTS)
    found = [
        Account(key, verdict, known.membership(key)[0] if label else None, requests, last_s)
        for key, verdict, label, requests, last_s in busiest
    ]
    person.accounts = [*person.accounts, *found]
    person.account_count += seen
    identities = known.source.correlator.identities
    for label, count in by_label.items():
        if label in identities:
            person.account_actors[identities[label]] = count


def _add_networks(known: Knowledge, caller: Caller, found: dict[int, list[int]]) -> None:
    """Add the networks of an address that a person wrote: limits and acts may go by these."""
    _, _, value = caller.written.rpartition("=")
    specs = {spec.name: spec for spec in known.compiled.identities}
    if caller.identity not in specs or not specs[caller.identity].is_address:
        return
    if parse_address(value) is None:
        return
    own = specs[caller.identity]
    for spec in specs.values():
        is_wider = spec.v4_prefix < own.v4_prefix or spec.v6_prefix < own.v6_prefix
        if spec.name in INTERNAL or not spec.is_address or not is_wider:
            continue
        hashes = [one for one in known.bound.extractor.value_hashes(spec.name, value) if one >= 0]
        there = found.setdefault(spec.index, [])
        there += [one for one in hashes if one not in there]


def accounts_using(known: Knowledge, values: Collection[int]) -> list[int]:
    """Return the accounts that this host refused, and that were seen with an address or a payment method.

    "My card is refused": the limit may count by the account that pays with it.
    """
    if known.source is None or known.account is None:
        return []
    core = known.source.correlator.core
    of_limits = [each.hash for each in known.refused if each.per == known.account]
    of_acts = [each.hash for each in known.denied if each.per == known.account]
    accounts = dict.fromkeys([*of_limits, *of_acts])
    found = [
        account
        for account in accounts
        if any(
            one["hash"] in values or (one["kind"] in DECLARED and one["hash"] ^ 1 in values)
            for one in (reasons(core, account) or {"shared": ()})["shared"]
        )
    ]
    return found[:MOST_USERS]


def row_about(known: Knowledge, caller: Caller) -> list[int]:
    """Return the identities of a request of a caller's, as far as they are known."""
    hashes = {at: values[0] for at, values in _hashes(known, [caller]).items()}
    key = caller.hash if caller.what == "account" else None
    return _row(known, hashes, key, caller.hash if caller.what == "actor" else None)


def hashes_about(known: Knowledge, caller: Caller) -> set[int]:
    """Return all hashes that a caller may be named by: identities, keys of several, actor, members."""
    hashes = _hashes(known, [caller])
    found = {value for values in hashes.values() for value in values} | set(caller.hashes)
    key = caller.hash if caller.what == "account" else None
    actor = caller.hash if caller.what == "actor" else None if key is None else known.membership(key)[0]
    row = _row(known, {at: values[0] for at, values in hashes.items()}, key, actor)
    rules = [
        rule
        for rule in known.compiled.rules
        if not rule.is_beside and len(rule.per) > 1 and all(row[position] >= 0 for position in rule.per)
    ]
    found.update(known.keys_of(rules, row))
    if actor is not None:
        found.add(actor)
        overview = known.actor(actor) if caller.what == "actor" else None
        found.update(() if overview is None else (member for member, _ in overview.members))
    return found


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


def _acts(
    known: Knowledge, callers: Sequence[Caller], person: Person, by_position: dict[int, list[int]]
) -> list[Act]:
    """Return the acts on a person, on its actor, and on the addresses and payment methods that it uses."""
    members: set[int] = set()
    if person.overview is not None and any(act.of.is_of_actor for act in known.acts):
        members = {key for key, _ in person.overview.members}
    found = []
    hashes = {known.compiled.identities[at].name: values for at, values in by_position.items()}
    for act in known.acts:
        own = any(
            one in act.accounts and (not act.identity or act.identity == each.identity)
            for each in callers
            for one in each.hashes
        )
        is_actors = act.of.is_of_actor and not members.isdisjoint(act.accounts)
        is_beside = any(one in hashes.get(act.identity, ()) for one in act.accounts)
        shared = {*act.payments, *act.networks}
        is_declared = any(one in shared for values in hashes.values() for one in values)
        if own or is_actors or is_beside or is_declared:
            found.append(act)
    return found
