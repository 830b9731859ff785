"""The preview of an act: what it would change now, in sentences, and why it would change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ratelimit.correlation.classification import Verdict
from ratelimit.correlation.overview import Overview
from ratelimit.inspection import formatting
from ratelimit.inspection.actors.saved import members_of
from ratelimit.inspection.acts.words import act_words
from ratelimit.inspection.callers.answers import told_of
from ratelimit.inspection.callers.knowledge import Knowledge
from ratelimit.inspection.callers.naming import Caller
from ratelimit.inspection.callers.person import hashes_about
from ratelimit.inspection.callers.refusals import refused_words
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.identities import short_hash
from ratelimit.inspection.proposals.effects import (
    accounts_seen_with,
    accounts_words,
    actor_words,
    actors_refused_words,
    bound_words,
    limits_words,
    payers_words,
    size_of,
)
from ratelimit.stores.acts.act import MOST_ACCOUNTS, Act
from ratelimit.stores.acts.kinds import BY_KIND, Effect

MOST_SAID_APART = 8
"""Accounts of an act of which each is said what becomes of it."""


@dataclass
class Preview:
    """What an act would do."""

    does: list[str] = field(default_factory=list)
    """Its effects, each in one phrase."""
    doubts: list[str] = field(default_factory=list)
    """Why a person is asked first: it would change nothing, or whom it means is not known."""
    hint: str = ""
    """What may be meant instead."""


def doubts_of(known: Knowledge, callers: Sequence[Caller]) -> list[str]:
    """Return a doubt for each caller that nothing here has met, as far as that can be said."""
    unknown = [each.label for each in callers if not each.is_known]
    if known.is_away:
        words = "the server does not answer, so whether {} is known cannot be said"
    else:
        words = "{} is not known here: no limit has counted it, and no actor has it"
    return [words.format(label) for label in unknown]


def accounts_of(known: Knowledge, kind: str, callers: Sequence[Caller]) -> list[int]:
    """Return the accounts that an act names: of an actor its surest and busiest.

    Raises:
        InspectionFailure: it is no account or actor, or not one that this act can name.
    """
    if known.compiled.correlation is None:
        raise InspectionFailure("the policy has no correlation, so there are no actors", "call")
    found: list[int] = []
    is_stop = BY_KIND[kind].effect == "denied"
    for each in callers:
        if each.what == "account":
            found += each.hashes
        elif each.what == "actor" and (is_stop or BY_KIND[kind].is_of_actor) and known.source is not None:
            actor = known.actor(each.hash)
            if actor is None:
                raise InspectionFailure(f"actor {short_hash(each.hash)} is gone", "input")
            if is_stop and len(actor.members) > MOST_ACCOUNTS:
                hint = "`ratelimit act confirm` has limits per actor bind all of them; or lower these limits."
                words = f"actor {short_hash(each.hash)} has {len(actor.members):,} accounts"
                raise InspectionFailure(f"{words}; one act has {MOST_ACCOUNTS} at most", "call", hint=hint)
            found += [one.key for one in members_of(known.source, actor)[:MOST_ACCOUNTS]]
        elif each.what == "actor":
            hint = f"`ratelimit act clear` frees all; `ratelimit show accounts` lists them for `{kind}`."
            raise InspectionFailure(
                f"`{each.written}` is an actor; `{kind}` takes accounts", "call", hint=hint
            )
        else:
            hint = "`ratelimit act exempt --from limits` exempts it from the limits that count by it."
            raise InspectionFailure(
                f"`{each.written}` is of `{each.identity}`; `{kind}` takes accounts", "call", hint=hint
            )
    return list(dict.fromkeys(found))


def of_exempt_limits(known: Knowledge, caller: Caller) -> Preview:
    """Return what an exemption from all limits would do."""
    preview = Preview(doubts=doubts_of(known, [caller]))
    if (act := listed_by(known, caller, "allowed")) is not None:
        preview.doubts.append(f"act {act.label} exempts {caller.label} from all limits already")
        return preview
    preview.does.append(f"no limit applies to requests of {caller.label}")
    preview.does += _refused_words(known, caller)
    return preview


def of_stop(known: Knowledge, caller: Caller, hashes: Sequence[int]) -> Preview:
    """Return what a stop would do.

    Args:
        known: what is known here.
        caller: an identity, or an actor.
        hashes: the identities that it stops.
    """
    preview = Preview(doubts=doubts_of(known, [caller]))
    if (act := listed_by(known, caller, "denied")) is not None:
        preview.doubts.append(f"act {act.label} stops {caller.label} already")
        return preview
    stopped = {one for act in known.acts if act.of.effect == "denied" for one in act.accounts}
    if caller.what == "actor" and stopped.issuperset(hashes):
        preview.doubts.append(f"all accounts of {caller.label} are stopped already")
        return preview
    if (act := listed_by(known, caller, "allowed")) is not None:
        preview.doubts.append(f"act {act.label} exempts {caller.label} from all limits, which goes first")
    if caller.what == "actor":
        words = formatting.count(len(hashes), "account")
        preview.does.append(f"refuses every request of {words} of {caller.label}; not of those that join it")
    else:
        preview.does.append(f"refuses every request of {caller.label}")
        preview.does += _refused_words(known, caller)
        if caller.what == "identity" and (count := known.accounts_with(caller.hash)) > 1:
            preview.does.append(f"about {count:,} accounts use it")
    return preview


def of_exempt(known: Knowledge, caller: Caller) -> Preview:
    """Return what an exemption from limits per actor would do."""
    preview = Preview(doubts=doubts_of(known, [caller]))
    actor, verdict = known.membership(caller.hash)
    act = next((act for act in known.acts if act.of.effect == "exempt" and caller.hash in act.accounts), None)
    if act is not None:
        preview.doubts.append(f"act {act.label} exempts {caller.label} from limits per actor already")
        return preview
    if actor is None:
        _in_no_actor(known, caller, preview)
        return preview
    preview.does.append(f"{caller.label} leaves {actor_words(known, actor, verdict)}; its other limits hold")
    preview.does += actors_refused_words(known, [actor])
    return preview


def of_clear(known: Knowledge, callers: Sequence[Caller]) -> Preview:
    """Return what it would do to clear the actors of accounts."""
    preview = Preview(doubts=doubts_of(known, callers))
    actors = _actors(known, callers, preview)
    for identity in actors:
        actor = known.actor(identity)
        if actor is None:
            preview.does.append(f"frees actor {short_hash(identity)}")
        elif actor.override == "clear":
            preview.doubts.append(f"actor {short_hash(identity)} is cleared already")
        else:
            preview.does.append(f"frees {accounts_words(actor)} of actor {short_hash(identity)}")
            preview.does.append("each of them counts by itself; limits per actor do not bind them")
            preview.does += _overruled(known, actor, "confirm", "confirms")
    preview.does += actors_refused_words(known, actors)
    return preview


def of_confirm(known: Knowledge, callers: Sequence[Caller]) -> Preview:
    """Return what it would do to confirm the actors of accounts."""
    preview = Preview(doubts=doubts_of(known, callers))
    for identity in _actors(known, callers, preview):
        actor = known.actor(identity)
        if actor is None:
            preview.does.append(f"actor {short_hash(identity)} is certain")
            continue
        likely = sum(verdict is not Verdict.CERTAIN for _, verdict in actor.members)
        if actor.override == "confirm":
            preview.doubts.append(f"actor {short_hash(identity)} is confirmed already")
        elif likely:
            words = formatting.count(likely, "account")
            preview.does.append(f"{words} of actor {short_hash(identity)} count as certain from now on")
            preview.does += bound_words(known, likely, identity)
            preview.does += _overruled(known, actor, "clear", "clears")
        else:
            preview.doubts.append(
                f"all {accounts_words(actor)} of actor {short_hash(identity)} are certain already"
            )
    return preview


def _overruled(known: Knowledge, actor: Overview, effect: Effect, words: str) -> list[str]:
    """Return the acts of the opposite effect that a ruling goes before, as it is the later one."""
    acts = [act for act in known.acts if act.of.effect == effect]
    if not acts or known.source is None:
        return []
    members = {one.key for one in members_of(known.source, actor)}
    return [
        f"act {act.label} {words} it; this act goes before that one while it holds"
        for act in acts
        if not members.isdisjoint(act.accounts)
    ]


def of_merge(known: Knowledge, callers: Sequence[Caller]) -> Preview:
    """Return what it would do to rule accounts one actor."""
    preview = Preview(doubts=doubts_of(known, callers))
    within = {each.hash: known.membership(each.hash) for each in callers}
    actors = {actor for actor, _ in within.values()}
    if len(actors) == 1 and None not in actors:
        preview.doubts.append("these accounts are one actor already")
    joined = [actor for actor in actors if actor is not None]
    alone = sum(actor is None for actor, _ in within.values())
    of = sum(size_of(known, actor) for actor in joined) + alone
    preview.does.append(
        f"{formatting.count(len(within), 'account')}, with all of their actors, are one actor of {of:,}"
    )
    preview.does += [f"{each.label} is in {actor_words(known, *within[each.hash])}" for each in callers]
    largest = max(joined, key=lambda actor: size_of(known, actor), default=None)
    # What is used of the largest is used of the whole: the others come to it.
    preview.does += bound_words(known, alone, largest)
    preview.does += actors_refused_words(known, joined)
    return preview


def of_split(known: Knowledge, callers: Sequence[Caller]) -> Preview:
    """Return what it would do to rule accounts different actors."""
    preview = Preview(doubts=doubts_of(known, callers))
    within = [known.membership(each.hash) for each in callers]
    actors = [actor for actor, _ in within if actor is not None]
    if len(set(actors)) == len(actors):
        preview.doubts.append("no two of these accounts are one actor now")
    preview.does += [
        f"{each.label} is in {actor_words(known, *one)}" for each, one in zip(callers, within, strict=True)
    ]
    leaving: dict[int, int] = {}
    for actor in actors:
        leaving[actor] = leaving.get(actor, -1) + 1
    preview.does.append("of those in one actor the later leave it")
    for actor, count in leaving.items():
        if count:
            words = formatting.count(count, "account")
            left = size_of(known, actor) - count
            preview.does.append(
                f"{words} of actor {short_hash(actor)} {'is' if count == 1 else 'are'} freed "
                f"from limits per actor; {formatting.count(left, 'account')} stay"
            )
    preview.does += actors_refused_words(known, [actor for actor, count in leaving.items() if count])
    return preview


def of_organisation(
    known: Knowledge,
    name: str,
    payments: Sequence[Caller],
    members: Sequence[Caller],
    networks: Sequence[Caller] = (),
) -> Preview:
    """Return what it would do to declare an organisation."""
    preview = Preview(doubts=doubts_of(known, [*payments, *members, *networks]))
    for each in payments:
        count = formatting.count(known.accounts_with(each.hash), "account")
        preview.does.append(f"{each.label}, of {count}, is no evidence between members of {name}")
        preview.does += payers_words(known, each.hash)
    for each in networks:
        count = formatting.count(known.accounts_with(each.hash), "account")
        words = f"requests from {each.label}, of {count}, are no evidence between members of {name}"
        preview.does += [words, *_actors_at_words(known, each.hash)]
    if members:
        words = formatting.count(len(members), "account")
        preview.does.append(f"its members are {words}; others with the same methods or networks are none")
    elif not payments:
        preview.does.append("all accounts that come from there are its members")
    return preview


def _actors_at_words(known: Knowledge, hashed: int) -> list[str]:
    """Return which actors have accounts at a network, and what limits per actor refused of them."""
    found: dict[int, int] = {}
    for key in accounts_seen_with(known, hashed):
        actor, _ = known.membership(key)
        if actor is not None:
            found[actor] = found.get(actor, 0) + 1
    said = []
    for actor, count in sorted(found.items(), key=lambda each: -each[1]):
        of = formatting.count(size_of(known, actor), "account")
        said.append(
            f"{count:,} of the {of} of actor {short_hash(actor)} come from there: they leave it if nothing "
            "but that ties them, as older evidence ages"
        )
    said += actors_refused_words(known, [*found])
    return said or ["none of its accounts is in an actor now"]


def of_undo(known: Knowledge, act: Act) -> Preview:
    """Return what it would do to take an act back."""
    preview = Preview([f"ends act {act.label}, {act_words(act)}, by {act.by}"])
    actors: dict[int, int] = {}
    for key in act.accounts if act.of.is_of_accounts else ():
        actor, _ = known.membership(key)
        if actor is None and act.of.effect == "clear":
            actor = _cleared_actor(known, key)
        if actor is not None:
            actors[actor] = actors.get(actor, 0) + 1
    for actor, count in actors.items():
        preview.does += _undone_words(known, act, actor, count)
    if act.of.effect == "organisations":
        for payment in act.payments:
            words = (
                f"payment method {short_hash(payment)} is evidence again between all accounts that pay by it"
            )
            preview.does.append(words)
        preview.does += [
            f"requests from {short_hash(network)} are evidence again between all accounts"
            for network in act.networks
        ]
    if act.of.effect == "organisations":
        preview.does.append(f"limits per actor may bind accounts of {act.name} after the next rebuild")
    # Of accounts in one actor it is said of all of them together.
    rest = [
        key for key in act.accounts if not act.of.is_of_accounts or known.membership(key)[0] not in actors
    ]
    for key in rest[:MOST_SAID_APART]:
        if act.of.effect == "denied":
            told = told_of(known, rest[:MOST_SAID_APART])
            times = sum(each.refused for each in told.refused if each.hash == key and each.act == act.label)
            after = f", after {formatting.count(times, 'refusal')} within the last hour, {told.where}"
            said = after if times else ""
            whom, other = f"{act.identity} {short_hash(key)}", _other_stop(known, act, key)
            if other is None:
                preview.does.append(f"{whom} is no longer refused by act {act.label}{said}")
                continue
            until = "" if other.until_ns is None else f" until {formatting.instant(other.until_ns)} UTC"
            preview.does.append(f"{whom} is still refused by act {other.label}{until}{said}")
            continue
        if act.of.is_done:
            preview.does.append(f"{act.identity} {short_hash(key)} is charged again: {act.says}")
            continue
        if act.of.is_of_budget:
            preview.does.append(
                f"{act.identity} {short_hash(key)} has its own numbers again, in place of {act.says}"
            )
            continue
        if act.of.effect == "allowed":
            preview.does.append(f"limits apply to {act.identity} {short_hash(key)} again")
            preview.does += limits_words(known, act.identity, key)
            continue
        if act.of.effect == "clear":
            continue
        actor, verdict = known.membership(key)
        preview.does.append(f"account {short_hash(key)} is in {actor_words(known, actor, verdict)} now")
        if act.of.effect == "exempt":
            preview.does.append(
                f"limits per actor bind account {short_hash(key)} again where the evidence says so"
            )
    # Of accounts whose actor is not remembered, what becomes of them is said of all of them.
    apart = len(act.accounts) - sum(actors.values()) if act.of.effect == "clear" else 0
    if apart:
        words = formatting.count(apart, "account")
        preview.does.append(f"limits per actor bind {words} again where the evidence says so")
    elif act.of.effect != "clear" and len(rest) > MOST_SAID_APART:
        preview.does.append(f"the same holds for {len(rest) - MOST_SAID_APART:,} more")
    return preview


def _cleared_actor(known: Knowledge, key: int) -> int | None:
    """Return the actor that an account is of by the evidence, though cleared; None where none is known."""
    if known.source is None or key in known.source.correlator.exempt:
        return None
    correlator = known.source.correlator
    identity = correlator.identities.get(correlator.core.label_of(key))
    return None if identity is None or known.actor(identity) is None else identity


def _other_stop(known: Knowledge, act: Act, key: int) -> Act | None:
    """Return the act that still stops whom an act names once that is taken back: the one that ends last."""
    others = [
        each
        for each in known.acts
        if each.of.effect == "denied"
        and each.identity_in_log != act.identity_in_log
        and each.identity == act.identity
        and key in each.accounts
    ]
    return max(others, key=lambda each: (each.until_ns is None, each.until_ns or 0), default=None)


def _undone_words(known: Knowledge, act: Act, actor: int, count: int) -> list[str]:
    """Return what becomes of an actor when an act on it ends; `count` of the accounts named are in it."""
    found = known.actor(actor)
    name, size = f"actor {short_hash(actor)}", size_of(known, actor)
    words = formatting.count(size if found is None else len(found.members), "account")
    if act.of.effect == "clear":
        return [f"{words} of {name} are bound by limits per actor again"]
    if act.of.effect == "confirm":
        return [f"{words} of {name} have their own verdicts again; those that are likely are freed"]
    if act.of.effect == "together":
        return [
            f"{count:,} of its accounts are in {name} of {words} now; "
            "evidence alone says what stays together",
            *actors_refused_words(known, [actor]),
        ]
    return [
        f"{count:,} of its accounts are in {name} of {words} now; those that left may come back to it",
        *bound_words(known, max(0, len(act.accounts) - count), actor),
    ]


def listed_by(known: Knowledge, caller: Caller, effect: Effect) -> Act | None:
    """Return the act that exempts a caller from all limits, or stops it."""
    return next(
        (
            act
            for act in known.acts
            if act.of.effect == effect and act.identity == caller.identity and caller.hash in act.accounts
        ),
        None,
    )


def _refused_words(known: Knowledge, caller: Caller) -> list[str]:
    return refused_words(told_of(known, caller.hashes), caller.identity, caller.hashes)


def _actors(known: Knowledge, callers: Sequence[Caller], preview: Preview) -> list[int]:
    """Return the actors that are named, by themselves or by accounts; doubt where there is none."""
    found = []
    for each in callers:
        if each.what == "actor":
            found.append(each.hash)
            continue
        actor, _ = known.membership(each.hash)
        if actor is None:
            _in_no_actor(known, each, preview)
        else:
            found.append(actor)
    return list(dict.fromkeys(found))


def _in_no_actor(known: Knowledge, caller: Caller, preview: Preview) -> None:
    told = told_of(known, [*dict.fromkeys([*caller.hashes, *hashes_about(known, caller)])])
    refusers = [(name, caller.identity) for name in told.of(caller.identity, caller.hashes)]
    refusers += told.beside(caller.identity, caller.hashes)
    said = f"{caller.label} is in no actor, so no limit per actor binds it"
    if refusers:
        names = ", ".join(f"`{name}`, as {per}" for name, per in refusers)
        said += f"; it is refused by {names}"
        preview.hint = "`ratelimit act exempt --from limits` exempts it from these."
    preview.doubts.append(said)
