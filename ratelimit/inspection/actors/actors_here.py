"""Actors as this host's workers know them while the server is away: by the table that they decide by.

It names accounts, their actors and verdicts. Evidence, rulings, requests and budgets lie with the server.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from ratelimit.core.clusters.cluster_index import cluster_of
from ratelimit.decision import VERDICTS
from ratelimit.errors import StoreError
from ratelimit.inspection.access.attachment import attach, watch_of
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.hosts.refused import RefusedCaller, refused_callers
from ratelimit.inspection.journal.outage import Outage, outage_of
from ratelimit.policy import Policy
from ratelimit.telemetry.names import BoardNumber

_PAIR = struct.Struct("<QQ")
_KEY_BITS = 48
_NOBODY = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class ActorHere:
    """One actor of this host's table."""

    identity: int
    members: int
    """Accounts, and payment methods that are its own: the table does not tell them apart."""
    certain: int
    refused: Sequence[RefusedCaller]
    """Its refusals by this host's limits within the last hour."""

    @property
    def verdict(self) -> int:
        """The most that is said of any of its accounts, as a position in `VERDICTS`."""
        return VERDICTS.index("certain" if self.certain else "likely")


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
        certain = VERDICTS.index("certain")
        actors = [
            ActorHere(actor, len(verdicts), verdicts.count(certain), refused.get(actor, ()))
            for actor, verdicts in found.items()
        ]
        heard_ns = board.number(BoardNumber.HEARD_NS) or board.number(BoardNumber.REBUILT_NS)
        actors.sort(key=lambda each: (-each.members, each.identity))
        return ActorsHere(actors, heard_ns, outage_of(policy, here))


def is_unreachable(failure: BaseException | None) -> bool:
    """Return whether something failed since the server did not answer."""
    while failure is not None:
        if isinstance(failure, StoreError):
            return True
        failure = failure.__cause__
    return False
