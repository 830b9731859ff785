"""The actors that acts took accounts out of: what refused an actor before that refused its accounts."""

from __future__ import annotations

from collections.abc import Iterable

from ratelimit.core.clusters.cluster_index import cluster_of
from ratelimit.inspection.callers.knowledge import Knowledge
from ratelimit.inspection.callers.naming import Caller
from ratelimit.stores.acts.act import MOST_SAID, Act

_TAKING_OUT = frozenset({"exempt", "clear"})
"""Effects of acts after which limits do not bind an account as one of its actor."""
_DIGITS = 16


def actors_said(actors: Iterable[int]) -> str:
    """Return the actors that an act takes accounts out of, as the act has them; as many as fit."""
    return " ".join(f"{each:016x}" for each in list(actors)[: MOST_SAID // (_DIGITS + 1)])


def actors_of_act(act: Act) -> list[int]:
    """Return the actors that an act took accounts out of."""
    if act.of.effect not in _TAKING_OUT:
        return []
    words = act.says.split()
    return [int(each, 16) for each in words if len(each) == _DIGITS and set(each) <= set("0123456789abcdef")]


def left_actors(known: Knowledge, callers: Iterable[Caller], actor: int | None) -> dict[int, Act]:
    """Return the actors that somebody was in until an act, by the latest act each.

    Args:
        known: what is known here.
        callers: the person.
        actor: the actor that the person is in now.
    """
    accounts = {one for each in callers if each.what == "account" for one in each.hashes}
    ours = {each.hash for each in callers if each.what == "actor"}
    ours |= set() if actor is None else {actor}
    # Whoever clears an actor may name other accounts of it.
    if known.source is not None:
        core = known.source.correlator.core
        identities = [core.cluster_identity(account) for account in accounts]
        ours |= {cluster_of(each) for each in identities if each is not None}
    found: dict[int, Act] = {}
    in_force = {act.identity_in_log for act in known.acts}
    for act in known.log:
        is_named = not accounts.isdisjoint(act.accounts)
        # The members of a cleared actor are still together, and no limit binds them for it.
        is_clear = act.of.effect == "clear"
        is_cleared = is_clear and act.identity_in_log in in_force
        for each in actors_of_act(act):
            if (each != actor or is_cleared) and (is_named or (is_clear and each in ours)):
                found[each] = act
    return found
