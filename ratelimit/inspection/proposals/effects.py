"""The effects of an act on accounts and actors: who is freed, who is hit, and how much was refused of them.

Refusals are those of all hosts within the last hour: what an act that frees would let through.
"""

from __future__ import annotations

from collections.abc import Sequence

from ratelimit.core.clusters.profile import seen_with
from ratelimit.correlation.classification import Verdict
from ratelimit.correlation.overview import Overview
from ratelimit.inspection import formatting
from ratelimit.inspection.callers.answers import told_of
from ratelimit.inspection.callers.knowledge import Knowledge, Left
from ratelimit.inspection.callers.plans import noted_plans
from ratelimit.inspection.callers.profile import left_of_actor
from ratelimit.inspection.callers.refusals import refused_words
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.hosts.raising import passing_words
from ratelimit.inspection.identities import short_hash
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.policy.compile.identities import CLUSTER


def accounts_words(actor: Overview) -> str:
    """Return how many accounts an actor has, and how many are certain if that is not all or none."""
    certain = sum(verdict is Verdict.CERTAIN for _, verdict in actor.members)
    words = formatting.count(len(actor.members), "account")
    return words if certain in (0, len(actor.members)) else f"{words} ({certain:,} certain)"


def actor_words(known: Knowledge, identity: int | None, verdict: int) -> str:
    """Return an actor and how sure it is that an account is in it."""
    if identity is None:
        return "no actor"
    actor = known.actor(identity)
    sure = {1: ", likely", 2: ", certain"}.get(verdict, "")
    of = "" if actor is None else f" of {accounts_words(actor)}"
    return f"actor {short_hash(identity)}{of}{sure}"


def size_of(known: Knowledge, identity: int) -> int:
    """Return how many accounts an actor has; 1 where that is not known."""
    actor = known.actor(identity)
    return 1 if actor is None else len(actor.members)


def actors_refused_words(known: Knowledge, actors: Sequence[int]) -> list[str]:
    """Return what limits per actor refused of some actors; that they refused nothing of one is said, too."""
    if not actors:
        return []
    told, found = told_of(known, actors), []
    for actor in actors:
        name = f"actor {short_hash(actor)}"
        nothing = f"no limit per actor refused {name} within the last hour, {told.where}"
        found += refused_words(told, CLUSTER, [actor], name) or [nothing]
    return found


def bound_words(known: Knowledge, count: int, actor: int | None) -> list[str]:
    """Return what it means for accounts that limits per actor bind them from now on.

    Args:
        known: what is known here.
        count: how many accounts.
        actor: the actor that they come into; None for a new one.
    """
    if not count:
        return []
    words = (
        f"{formatting.count(count, 'account')} more {'is' if count == 1 else 'are'} bound by limits per actor"
    )
    left: Sequence[Left] = ()
    if actor is not None:
        try:
            left = [each for each in left_of_actor(known, actor) if not each.rule.shadow]
        except InspectionFailure:  # the server does not answer
            left = ()
    said = [
        f"`{each.rule.name}` "
        + ("refuses them now" if each.retry_ns else f"has {_amount(each.remaining, each)} left for all")
        for each in left
    ]
    return [f"{words}: {', '.join(said)}" if said else words]


def limits_words(known: Knowledge, identity: str, hashed: int) -> list[str]:
    """Return what the limits that count by one identity say to its next request."""
    position = next((spec.index for spec in known.compiled.identities if spec.name == identity), None)
    if position is None:
        return []
    try:
        found = [each for each in known.left(known.row_of({position: hashed})) if position in each.rule.per]
    except InspectionFailure:  # the server does not answer
        return []
    plans = noted_plans(known, [hashed])
    found = [each for each in found if plans.may_be(each.rule)]
    refusing = [each for each in found if each.retry_ns and not each.rule.shadow]
    rules = [each.rule for each in found]
    names = ", ".join(f"`{formatting.of_plan(each.rule, rules)}`" for each in refusing)
    return [f"{names} refuses it at once" if refusing else "none of them refuses it now"] if found else []


def refused_by_words(known: Knowledge, identity: str, hashed: int, name: str) -> str:
    """Return how often a limit refused a customer within the last hour."""
    told = told_of(known, [hashed])
    times, would = (
        each.get(name, 0) for each in (told.of(identity, [hashed]), told.would(identity, [hashed]))
    )
    said = f"refused {formatting.count(times, 'time')} by it"
    shadow = bool(would and not times)
    if shadow:
        said = f"in shadow, it would have been refused {formatting.count(would, 'time')} by it"
    lately = told.now(identity, [hashed], name, in_shadow=shadow)
    now = f", {lately:,} in the last minute" if times or would else ""
    return f"{said} within the last hour{now}, {told.where}"


def passing_of_caller(
    known: Knowledge, identity: str, hashed: int, rule: LimitRule, wider: LimitRule
) -> list[str]:
    """Return what of a customer's refusals would have passed at higher numbers of a limit; nothing for none.

    Refusals of a customer that had another number meanwhile are of several numbers: of them nothing is said.
    """
    if any(act.of.is_of_budget and hashed in act.accounts for act in known.log):
        return []
    told = told_of(known, [hashed])
    refused = [
        each
        for each in told.refused
        if each.limit == rule.name and each.per == identity and each.hash == hashed and not each.act
    ]
    words = passing_words(known.compiled, rule, wider, refused)
    return [words] if words else []


def accounts_seen_with(known: Knowledge, value: int) -> list[int]:
    """Return the accounts that were lately seen with an address, a network or a payment method."""
    return [] if known.source is None else [one[0] for one in seen_with(known.source.correlator.core, value)]


def payers_words(known: Knowledge, value: int) -> list[str]:
    """Return which actors a payment method ties, and what becomes of these without it."""
    by_actor: dict[int, int] = {}
    for key in accounts_seen_with(known, value):
        actor, _ = known.membership(key)
        if actor is not None:
            by_actor[actor] = by_actor.get(actor, 0) + 1
    found = []
    for actor, count in sorted(by_actor.items(), key=lambda each: -each[1]):
        of = size_of(known, actor)
        found.append(
            f"{count:,} of the {formatting.count(of, 'account')} of actor {short_hash(actor)} pay by it: "
            + ("its tie is gone, so limits per actor may free them" if count == of else "they may leave it")
        )
    found += actors_refused_words(known, [*by_actor])
    return found or ["none of its accounts is in an actor now, so nobody is freed"]


def _amount(units: int, left: Left) -> str:
    return formatting.amount(units, left.rule.unit)
