"""One actor as a whole: its members, the identifiers that they share, and the accounts beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any

from ratelimit.clustering.budgets import places_of
from ratelimit.core.clusters import profile
from ratelimit.core.clusters.reasons import reasons
from ratelimit.correlation.overview import Overview
from ratelimit.inspection.actors.evidence import Source
from ratelimit.inspection.actors.saved import Member, Members, label_of, members_of
from ratelimit.inspection.callers.knowledge import Knowledge, Left
from ratelimit.inspection.callers.naming import DECLARED
from ratelimit.policy.compile.compiled import CompiledPolicy

_NETWORK, _BLOCK = 1, 7
_PAYMENT, _CLIENT = 2, 3
MOST_NEIGHBOURS = 100
GROWTH_STEPS = 24
_ORDER = (2, 4, 5, 6, 0, 1, 7, 3)
"""Kinds of identifiers: first those that cost most to have."""
_FAMILIES = {0: "address", 1: "network", 2: "payment", 3: "client", 7: "network"}


@dataclass(frozen=True, slots=True)
class SharedIdentifier:
    """Something that members of an actor were lately seen with."""

    identity: str
    """The policy's name for it."""
    kind: int
    hash: int
    members: int
    """Members seen with it."""
    accounts: int
    """All accounts seen with it, members and others."""
    is_most: bool
    """Whether `accounts` is the most that is counted."""
    is_actors: bool
    """Whether it is an exit or a payment method of the actor's."""
    at_home: int
    """Members that are at home there."""
    is_infrastructure: bool

    @property
    def others(self) -> int:
        """Accounts seen with it that are no members."""
        return self.accounts - self.members


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An account beside an actor: it was seen with identifiers of the actor's."""

    key: int
    payments: int
    """Payment methods and further identifiers of the actor's that it was seen with."""
    exits: int
    """Addresses of the actor's that it was seen at."""
    actor: int | None
    """The other actor that it is in."""
    requests: int


class Profile:
    """One actor as the correlator last saved it; each part is found when it is asked for.

    Args:
        source: what the correlator saved.
        actor: the actor.
    """

    def __init__(self, source: Source, actor: Overview) -> None:
        self.source, self.actor = source, actor
        self._label = label_of(source, actor)

    @cached_property
    def members(self) -> Members:
        """The accounts, the surest and busiest first."""
        return members_of(self.source, self.actor)

    @cached_property
    def keys(self) -> frozenset[int]:
        """The hashes of its accounts."""
        return frozenset(each[0] for each in self.members.found)

    @cached_property
    def _by_kind(self) -> Mapping[int, Sequence[tuple[Any, ...]]]:
        """What its accounts were seen with, by kind, those most shared first."""
        found: dict[int, list[tuple[Any, ...]]] = {kind: [] for kind in _ORDER}
        for one in profile.shared_by(self.source.correlator.core, self._label):
            found[one[0]].append(one)
        for many in found.values():
            many.sort(key=itemgetter(1))
            many.sort(key=itemgetter(2), reverse=True)
        return found

    @property
    def shared_count(self) -> int:
        """The number of identifiers that its accounts were seen with."""
        return sum(map(len, self._by_kind.values()))

    @cached_property
    def values(self) -> frozenset[int]:
        """The hashes of what its accounts were seen with, of addresses in both forms that a hash has."""
        return frozenset(
            value
            for many in self._by_kind.values()
            for one in many
            for value in {one[1], one[1] ^ (one[0] in DECLARED)}
        )

    def shared(self, most: int) -> list[SharedIdentifier]:
        """Return so many identifiers of each kind: payment methods, further families, addresses, clients.

        An actor has thousands, so those alone are made that are asked for: the ones that most share.
        """
        kinds = kinds_of(self.source.bound.compiled)
        return [
            SharedIdentifier(kinds.get(kind, _FAMILIES.get(kind, "extra")), *one)
            for kind, many in self._by_kind.items()
            for one in many[:most]
        ]

    @cached_property
    def neighbours(self) -> Sequence[Neighbour]:
        """The accounts beside it that have most in common with it; `MOST_NEIGHBOURS` at most."""
        identities = self.source.correlator.identities
        found = [
            Neighbour(key, payments, exits, identities.get(label), requests)
            for key, payments, exits, label, requests in profile.neighbours_of(
                self.source.correlator.core, self._label
            )
        ]
        self.neighbour_count = len(found)
        return sorted(found, key=lambda each: (-each.payments, -each.exits, -each.requests, each.key))[
            :MOST_NEIGHBOURS
        ]

    @cached_property
    def growth(self) -> Sequence[tuple[int, int]]:
        """How many of its members had been seen by each of some times, in seconds since the Unix epoch."""
        times = sorted(each[3] for each in self.members.found)
        if not times:
            return []
        first, last = times[0], max(times[-1], times[0] + 1)
        found, seen = [], 0
        for step in range(1, GROWTH_STEPS + 1):
            until = first + (last - first) * step // GROWTH_STEPS
            while seen < len(times) and times[seen] <= until:
                seen += 1
            found.append((until, seen))
        return found

    def links(self, accounts: int, identifiers: int) -> Links:
        """Return the part of it that a drawing has room for: the surest accounts, and what most share."""
        chosen = [each for each in self.shared(identifiers) if each.kind not in (_NETWORK, _CLIENT, _BLOCK)]
        chosen = sorted((each for each in chosen if each.members > 1), key=lambda each: -each.members)
        payments = [each for each in chosen if each.kind == _PAYMENT][: identifiers // 2]
        chosen = [*payments, *(each for each in chosen if each.kind != _PAYMENT)][:identifiers]
        place = {(each.kind, each.hash): number for number, each in enumerate(chosen)}
        core = self.source.correlator.core
        nodes: list[Member] = []
        edges: list[tuple[int, int]] = []
        for member in self.members[:accounts]:
            known = reasons(core, member.key)
            ties = {place.get((one["kind"], one["hash"])) for one in (known or {"shared": ()})["shared"]}
            edges += [(len(nodes), tie) for tie in ties if tie is not None]
            nodes.append(member)
        return Links(nodes, chosen, edges)


@dataclass(frozen=True, slots=True)
class Links:
    """Accounts and identifiers, and which account was seen with which."""

    accounts: Sequence[Member]
    identifiers: Sequence[SharedIdentifier]
    edges: Sequence[tuple[int, int]]
    """Positions of an account and of an identifier."""


def kinds_of(compiled: CompiledPolicy) -> dict[int, str]:
    """Return the policy's name for each kind of identifier."""
    spec = compiled.correlation
    assert spec is not None
    return {
        kind: compiled.identities[position].name for kind, position in enumerate(spec.kinds) if position >= 0
    }


def left_of_actor(known: Knowledge, actor: int) -> list[Left]:
    """Return what each limit per cluster has left for an actor.

    Raises:
        InspectionFailure: a server keeps the limits and does not answer.
    """
    compiled = known.compiled
    if compiled.correlation is None:
        return []
    row = known.row_of({})
    row[compiled.young : compiled.cluster + 1] = places_of(actor)
    return [each for each in known.left(row) if each.rule.is_clustered and not each.rule.is_twin]
