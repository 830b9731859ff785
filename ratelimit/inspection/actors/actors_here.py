"""Actors as this host's workers know them while the server is away: by the table that they decide by.

It names accounts, their actors and verdicts. Evidence, rulings, requests and budgets lie with the server.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from ratelimit.clustering.declarations import PAYMENT_KIND
from ratelimit.core.clusters.cluster_index import cluster_of
from ratelimit.decision import VERDICTS
from ratelimit.errors import StoreError
from ratelimit.inspection import formatting
from ratelimit.inspection.access.attachment import attach, watch_of
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.hosts.refused import RefusedCaller, refused_callers
from ratelimit.inspection.journal.outage import Outage, outage_of
from ratelimit.policy import Policy
from ratelimit.telemetry.names import BoardNumber

_PAIR = struct.Struct("<QQ")
_KEY_BITS = 48
_NOBODY = (1 << 64) - 1
_MET = 3
"""Certain accounts that an actor has at least which has a payment method of its own."""


@dataclass(frozen=True, slots=True)
class ActorHere:
    """One actor of this host's table."""

    identity: int
    at_least: int
    """Its accounts: at least so many,"""
    at_most: int
    """and at most. The table does not tell them from payment methods that are an actor's own."""
    likely: int
    """Accounts of it that are only likely: no payment method is."""
    refused: Sequence[RefusedCaller]
    """Its refusals by this host's limits within the last hour."""

    @property
    def verdict(self) -> int:
        """The most that is said of any of its accounts, as a position in `VERDICTS`."""
        return VERDICTS.index("certain" if self.at_most > self.likely else "likely")

    @property
    def accounts(self) -> str:
        """How many accounts it has, in words."""
        said = formatting.count(self.at_most, "account")
        if self.at_least < self.at_most:
            said = f"{self.at_least:,} to {said}"
        return said if self.likely in (0, self.at_most) else f"{said}, {self.likely:,} of them likely"


@dataclass(frozen=True, slots=True)
class ActorsHere:
    """The actors of this host's table."""

    actors: Sequence[ActorHere]
    """The largest first."""
    heard_ns: int
    """When this host heard of actors last, since 1970; 0 if that is not known."""
    outage: Outage


def actors_here(policy: Policy) -> ActorsHere:
    """Return the actors that this host's workers decide by.

    Raises:
        InspectionFailure: no worker has run here, or nothing is correlated.
    """
    with closing(attach(policy)) as here, watch_of(policy.compiled, here) as watch:
        if watch is None:
            raise InspectionFailure(f"{policy.name}: no worker correlates on this host", "deployment")
        board = watch.assignments.board
        found: dict[int, list[int]] = {}
        for key, identity in _PAIR.iter_unpack(watch.assignments.export()):
            if identity != _NOBODY:
                found.setdefault(cluster_of(identity), []).append(key >> _KEY_BITS)
        refused: dict[int, list[RefusedCaller]] = {}
        for each in refused_callers(policy.compiled, here, {}):
            if each.is_actor and not each.in_shadow:
                refused.setdefault(cluster_of(each.hash), []).append(each)
        methods = _most_methods(policy, sum(map(len, found.values())), board.number(BoardNumber.MEMBERS))
        actors = [
            _actor(actor, verdicts, methods, refused.get(actor, ())) for actor, verdicts in found.items()
        ]
        heard_ns = board.number(BoardNumber.HEARD_NS) or board.number(BoardNumber.REBUILT_NS)
        actors.sort(key=lambda each: (-each.at_most, each.identity))
        return ActorsHere(actors, heard_ns, outage_of(policy, here))


def _most_methods(policy: Policy, entries: int, accounts: int) -> int:
    """Return how many entries of a table may be payment methods.

    Args:
        policy: the policy: without `payment` no entry is one.
        entries: all of the table.
        accounts: those of all actors at the last rebuild, after which accounts may have come; 0: not known.
    """
    spec = policy.compiled.correlation
    if spec is None or spec.kinds[PAYMENT_KIND] < 0:
        return 0
    return entries - accounts if 0 < accounts <= entries else entries


def _actor(
    identity: int, verdicts: Sequence[int], methods: int, refused: Sequence[RefusedCaller]
) -> ActorHere:
    likely = verdicts.count(VERDICTS.index("likely"))
    methods = min(methods, max(0, len(verdicts) - likely - _MET))
    return ActorHere(identity, len(verdicts) - methods, len(verdicts), likely, refused)


def is_unreachable(failure: BaseException | None) -> bool:
    """Return whether something failed since the server did not answer."""
    while failure is not None:
        if isinstance(failure, StoreError):
            return True
        failure = failure.__cause__
    return False
