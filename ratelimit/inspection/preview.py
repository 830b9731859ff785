"""The preview of an act: what it would change now, in sentences, and why it would change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ratelimit.correlation.classification import Verdict
from ratelimit.correlation.overview import Overview
from ratelimit.inspection import formatting
from ratelimit.inspection.actors import members_of
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.identities import short_hash
from ratelimit.inspection.knowledge import Knowledge
from ratelimit.inspection.naming import Caller
from ratelimit.inspection.refused import RefusedCaller
from ratelimit.policy.compile.identities import CLUSTER
from ratelimit.stores.acts.act import MOST_ACCOUNTS, Act, Kind


@dataclass
class Preview:
    """What an act would do."""

    does: list[str] = field(default_factory=list)
    """Its effects, each in one phrase."""
    doubts: list[str] = field(default_factory=list)
    """Why a person is asked first: it would change nothing, or whom it means is not known."""
    hint: str = ""
    """What may be meant instead."""


def doubts_of(callers: Sequence[Caller]) -> list[str]:
    """Return a doubt for each caller that nothing here has met."""
    return [
        f"{each.label} is not known here: no limit has counted it, and no actor has it"
        for each in callers
        if not each.is_known
    ]


def accounts_of(known: Knowledge, kind: Kind, callers: Sequence[Caller]) -> list[int]:
    """Return the accounts that an act names: of an actor its surest and busiest.

    Raises:
        InspectionFailure: it is no account or actor, or not one that this act can name.
    """
    if known.compiled.correlation is None:
        raise InspectionFailure("the policy has no correlation, so there are no clusters", "call")
    found: list[int] = []
    for each in callers:
        if each.what == "account":
            found += each.hashes
        elif each.what == "actor" and kind in ("clear", "confirm", "stop") and known.source is not None:
            actor = known.actor(each.hash)
            if actor is None:
                raise InspectionFailure(f"actor {short_hash(each.hash)} is gone", "input")
            if kind == "stop" and len(actor.members) > MOST_ACCOUNTS:
                hint = (
                    "`ratelimit act confirm` has limits per cluster bind all of them; or lower these limits."
                )
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
    preview = Preview(doubts=doubts_of([caller]))
    if (act := listed_by(known, caller, "exempt-limits")) is not None:
        preview.doubts.append(f"act {act.label} exempts {caller.label} from all limits already")
        return preview
    preview.does.append(f"no limit applies to requests of {caller.label}")
    preview.does += refused_words(_refusals(known, caller))
    return preview


def of_stop(known: Knowledge, caller: Caller, accounts: int) -> Preview:
    """Return what a stop would do.

    Args:
        known: what is known here.
        caller: an identity, or an actor.
        accounts: how many identities it stops.
    """
    preview = Preview(doubts=doubts_of([caller]))
    if (act := listed_by(known, caller, "stop")) is not None:
        preview.doubts.append(f"act {act.label} stops {caller.label} already")
        return preview
    if (act := listed_by(known, caller, "exempt-limits")) is not None:
        preview.doubts.append(f"act {act.label} exempts {caller.label} from all limits, which goes first")
    if caller.what == "actor":
        words = formatting.count(accounts, "account")
        preview.does.append(f"refuses every request of {words} of {caller.label}; not of those that join it")
    else:
        preview.does.append(f"refuses every request of {caller.label}")
        preview.does += refused_words(_refusals(known, caller))
        if caller.what == "identity" and (count := known.accounts_with(caller.hash)) > 1:
            preview.does.append(f"about {count:,} accounts use it")
    return preview


def of_exempt(known: Knowledge, caller: Caller) -> Preview:
    """Return what an exemption from limits per cluster would do."""
    preview = Preview(doubts=doubts_of([caller]))
    actor, verdict = known.membership(caller.hash)
    act = next((act for act in known.acts if act.kind == "exempt" and caller.hash in act.accounts), None)
    if act is not None:
        preview.doubts.append(f"act {act.label} exempts {caller.label} from limits per {CLUSTER} already")
        return preview
    if actor is None:
        _in_no_actor(known, caller, preview)
        return preview
    preview.does.append(f"{caller.label} leaves {_actor_words(known, actor, verdict)}; its other limits hold")
    preview.does += refused_words(known.refusals_of_actor(actor))
    return preview


def of_clear(known: Knowledge, callers: Sequence[Caller]) -> Preview:
    """Return what it would do to clear the actors of accounts."""
    preview = Preview(doubts=doubts_of(callers))
    for identity in _actors(known, callers, preview):
        actor = known.actor(identity)
        if actor is None:
            preview.does.append(f"frees actor {short_hash(identity)}")
        elif actor.override == "clear":
            preview.doubts.append(f"actor {short_hash(identity)} is cleared already")
        else:
            preview.does.append(f"frees {_accounts(actor)} of actor {short_hash(identity)}")
        preview.does += refused_words(known.refusals_of_actor(identity))
    return preview


def of_confirm(known: Knowledge, callers: Sequence[Caller]) -> Preview:
    """Return what it would do to confirm the actors of accounts."""
    preview = Preview(doubts=doubts_of(callers))
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
        else:
            preview.doubts.append(
                f"all {_accounts(actor)} of actor {short_hash(identity)} are certain already"
            )
    return preview


def of_merge(known: Knowledge, callers: Sequence[Caller]) -> Preview:
    """Return what it would do to rule accounts one actor."""
    preview = Preview(doubts=doubts_of(callers))
    within = {each.hash: known.membership(each.hash) for each in callers}
    actors = {actor for actor, _ in within.values()}
    if len(actors) == 1 and None not in actors:
        preview.doubts.append("these accounts are one actor already")
    preview.does.append(f"{formatting.count(len(within), 'account')} are one actor")
    preview.does += [f"{each.label} is in {_actor_words(known, *within[each.hash])}" for each in callers]
    return preview


def of_split(known: Knowledge, callers: Sequence[Caller]) -> Preview:
    """Return what it would do to rule accounts different actors."""
    preview = Preview(doubts=doubts_of(callers))
    within = [known.membership(each.hash) for each in callers]
    actors = [actor for actor, _ in within if actor is not None]
    if len(set(actors)) == len(actors):
        preview.doubts.append("no two of these accounts are one actor now")
    preview.does += [
        f"{each.label} is in {_actor_words(known, *one)}" for each, one in zip(callers, within, strict=True)
    ]
    preview.does.append("of those in one actor the later leave it")
    return preview


def of_organisation(
    known: Knowledge, name: str, payments: Sequence[Caller], members: Sequence[Caller]
) -> Preview:
    """Return what it would do to declare an organisation."""
    preview = Preview(doubts=doubts_of([*payments, *members]))
    for each in payments:
        count = formatting.count(known.accounts_with(each.hash), "account")
        preview.does.append(f"{each.label}, of {count}, is no evidence between members of {name}")
    return preview


def of_undo(known: Knowledge, act: Act) -> Preview:
    """Return what it would do to take an act back."""
    preview = Preview()
    for key in act.accounts[:8]:
        if act.kind == "stop":
            times = sum(each.refused for each in known.denied if each.hash == key and each.act == act.label)
            said = f", after {formatting.count(times, 'refusal')} within the last hour, here" if times else ""
            preview.does.append(f"{act.identity} {short_hash(key)} is not refused any more{said}")
            continue
        if act.kind == "budget-back":
            preview.does.append(f"{act.identity} {short_hash(key)} is charged again: {act.says}")
            continue
        if act.kind in ("budget", "budget-more"):
            preview.does.append(f"{act.identity} {short_hash(key)} has its own numbers again: no {act.says}")
            continue
        if act.kind == "exempt-limits":
            preview.does.append(f"limits apply to {act.identity} {short_hash(key)} again")
            continue
        actor, verdict = known.membership(key)
        preview.does.append(f"account {short_hash(key)} is in {_actor_words(known, actor, verdict)} now")
    if len(act.accounts) > 8:
        preview.does.append(f"and {len(act.accounts) - 8} more")
    return preview


def listed_by(known: Knowledge, caller: Caller, kind: Kind) -> Act | None:
    """Return the act that exempts a caller from all limits, or stops it."""
    return next(
        (
            act
            for act in known.acts
            if act.kind == kind and act.identity == caller.identity and caller.hash in act.accounts
        ),
        None,
    )


def refused_words(found: Sequence[RefusedCaller]) -> list[str]:
    """Return a phrase for each limit that refused somebody within the last hour, on this host."""
    return [
        f"`{each.rule.name}` refused it {formatting.count(each.refused, 'time')} within the last hour, here"
        for each in found
    ]


def _refusals(known: Knowledge, caller: Caller) -> list[RefusedCaller]:
    positions = {spec.name: spec.index for spec in known.compiled.identities}
    if caller.what == "actor":
        return known.refusals_of_actor(caller.hash)
    if caller.identity not in positions:
        return []
    return [each for one in caller.hashes for each in known.refusals_of(positions[caller.identity], one)]


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
    refusals = _refusals(known, caller)
    said = f"{caller.label} is in no actor, so no limit per {CLUSTER} binds it"
    if refusals:
        names = ", ".join(f"`{each.rule.name}`" for each in refusals)
        said += f"; it is refused by {names}, as {caller.identity}"
        preview.hint = "`ratelimit act exempt --from limits` exempts it from these."
    preview.doubts.append(said)


def _accounts(actor: Overview) -> str:
    certain = sum(verdict is Verdict.CERTAIN for _, verdict in actor.members)
    words = formatting.count(len(actor.members), "account")
    return words if certain in (0, len(actor.members)) else f"{words} ({certain:,} certain)"


def _actor_words(known: Knowledge, identity: int | None, verdict: int) -> str:
    if identity is None:
        return "no actor"
    actor = known.actor(identity)
    sure = {1: ", likely", 2: ", certain"}.get(verdict, "")
    of = "" if actor is None else f" of {_accounts(actor)}"
    return f"actor {short_hash(identity)}{of}{sure}"
