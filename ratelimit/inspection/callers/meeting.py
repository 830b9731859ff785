"""The payment methods beside one: their accounts were lately at the same addresses.

Two methods are fewer than make an actor, so nothing finds such a campaign. This shows it to the analyst.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ratelimit.core.clusters.profile import payers_beside
from ratelimit.core.clusters.reasons import reasons
from ratelimit.correlation.classification import Verdict
from ratelimit.inspection.callers.knowledge import Knowledge
from ratelimit.inspection.callers.person import Account
from ratelimit.stores.acts.act import MOST_ACCOUNTS

MOST_SHOWN = 8
MOST_BESIDE = 10_000
"""Accounts of all methods that are looked at: a page comes in a fifth of a second."""
_PAYMENT = 2


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two payment methods whose accounts were at the same addresses."""

    payment: int
    other: int
    accounts: Sequence[int]
    """Accounts of both that were at these addresses, new ones first."""
    new: int
    """How many of them are new."""
    exits: int
    """Addresses at which accounts of both were."""
    is_settled: bool
    """Whether the new ones are certain members of one actor, or an act rules on them or on both methods."""
    enough: int
    """The accounts that an actor needs at least."""
    is_part: bool = False
    """Whether there may be more accounts than were looked at."""

    @property
    def is_suspect(self) -> bool:
        """Whether so many new accounts meet that a third method would make them an actor."""
        return not self.is_settled and self.new >= self.enough

    @property
    def ruled(self) -> Sequence[int]:
        """The accounts that one act can name."""
        return self.accounts[:MOST_ACCOUNTS]


def payments_of(known: Knowledge, accounts: Sequence[int]) -> list[int]:
    """Return the payment methods that accounts were lately seen with."""
    found = [one["hash"] for key in accounts for one in _seen(known, key) if one["kind"] == _PAYMENT]
    return [*dict.fromkeys(found)]


def is_infrastructure(known: Knowledge, hashes: Sequence[int], accounts: Sequence[Account]) -> bool:
    """Return whether a network or an address is declared as one that unrelated people share."""
    for each in accounts:
        for one in _seen(known, each.key):
            if one["hash"] in hashes or one["hash"] ^ 1 in hashes:
                return bool(one["infrastructure"])
    return False


def _seen(known: Knowledge, key: int) -> Sequence[Mapping[str, Any]]:
    found = None if known.source is None else reasons(known.source.correlator.core, key)
    return () if found is None else found["shared"]


def meetings_of(known: Knowledge, payment: int) -> list[Meeting]:
    """Return the payment methods that meet one, those first that most new accounts share with it."""
    spec = known.compiled.correlation
    if known.source is None or spec is None:
        return []
    core = known.source.correlator.core
    at: dict[int, set[int]] = defaultdict(set)
    of: dict[int, dict[int, Sequence[int]]] = defaultdict(dict)
    fresh: dict[int, bool] = {}
    beside = payers_beside(core, payment, MOST_BESIDE)
    for method, key, exits, is_new in beside:
        at[method].update(exits)
        of[method][key] = exits
        fresh[key] = is_new
    own, own_exits = of.pop(payment, {}), at.pop(payment, set())
    found = []
    for other in sorted(of, key=lambda each: -len(of[each])):
        met = at[other] & own_exits
        both = {key for key, exits in (*own.items(), *of[other].items()) if not met.isdisjoint(exits)}
        if not both & own.keys() or not both & of[other].keys() or len(both) < 2:
            continue
        new = [key for key in both if fresh[key]]
        within = {known.membership(key) for key in new}
        is_found = len(within) == 1 and all(sure == Verdict.CERTAIN.value for _, sure in within)
        is_ruled = any(
            {payment, other} <= {*act.payments}
            or (act.of.is_of_accounts and len(both.intersection(act.accounts)) > 1)
            for act in known.acts
        )
        accounts = sorted(both, key=lambda key: (not fresh[key], key))
        settled, enough = is_found or is_ruled, spec.settings.accounts
        is_part = len(beside) >= MOST_BESIDE
        found.append(Meeting(payment, other, accounts, len(new), len(met), settled, enough, is_part))
    found.sort(key=lambda each: (-each.new, -each.exits, each.other))
    return found[:MOST_SHOWN]
