"""What conduct leaves of the limits of one request's account, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ratelimit.adaptive.conduct import Strike, Struck, struck
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.conduct import WHOLE, Conduct, key_of
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.inspection import words
from ratelimit.policy import Policy
from ratelimit.stores.contract import Store
from ratelimit.stores.embedded.conduct import SharedConduct
from ratelimit.stores.factory import counting_table, wish_of

ENOUGH = (WHOLE - 1) / WHOLE
"""Above this, limits have all their numbers."""
_KINDS = {
    Strike.PERSISTS: "it kept calling through refusals",
    Strike.GROWS: "its actor got more accounts",
    Strike.SURER: "the verdict on it rose",
}

Making = Callable[[Callable[[RoutePlan, int, int], RoutePlan]], Conduct]
"""Makes what scales limits: see `BoundPolicy`."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is remembered of an account and its cluster on this host; None of what never struck."""

    account: Struck | None
    cluster: Struck | None

    @property
    def told(self) -> str:
        """Return it in one line."""
        said = [
            f"the {what} has {_strikes(one)}, {_since(one)}; {_until(one)}"
            for what, one in (("account", self.account), ("cluster", self.cluster))
            if one is not None
        ]
        return "; ".join(said) or "nothing struck"

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return {"account": _json(self.account), "cluster": _json(self.cluster)}


@contextmanager
def conduct_of(policy: Policy, store: Store) -> Iterator[Making | None]:
    """Look at what this host's workers remember; None where they remember nothing.

    Raises:
        StoreError: it cannot be read.
    """
    # A policy's server is asked from memory of our own; conduct is the host's all the same.
    place = store.place or wish_of(policy, needs_key=False).place
    shared = SharedConduct.existing(place, store.hasher.key)
    if shared is None:
        yield None
        return
    memory = shared.memory
    try:
        yield lambda scaled: Conduct(memory, counting_table(store), scaled)
    finally:
        shared.close()


def standing_of(bound: BoundPolicy, row: Sequence[int], now_ns: int) -> Standing:
    """Return what is remembered of a decided row."""
    if bound.conduct is None:
        return Standing(None, None)
    word = bound.conduct.memory.word
    account, cluster = bound.payer(row), key_of(row, bound.compiled.actor)
    return Standing(struck(word(account), now_ns, ENOUGH), struck(word(cluster), now_ns, ENOUGH))


def _strikes(one: Struck) -> str:
    strikes = round(one.strikes, 1)
    return "1 strike" if strikes == 1 else f"{strikes:g} strikes"


def _since(one: Struck) -> str:
    why = " and ".join(_KINDS[kind] for kind in one.kinds)
    return f"the last {words.wait(one.ago_s * 10**9)} ago" + (f" as {why}" if why else "")


def _until(one: Struck) -> str:
    return f"whole again in {words.wait(one.recovers_s * 10**9)}" if one.recovers_s else "whole again"


def _json(one: Struck | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "factor": one.factor,
        "strikes": one.strikes,
        "last": [kind.name.lower() for kind in one.kinds],
        "last_ago": one.ago_s,
        "whole_in": one.recovers_s,
    }
