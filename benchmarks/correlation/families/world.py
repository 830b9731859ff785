"""One world: groups put side by side, their requests by time, and what is known of each account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.correlation.clients import Clients
from benchmarks.correlation.families import law
from benchmarks.correlation.families.exits import Exits, Legs
from benchmarks.correlation.families.group import Group
from benchmarks.correlation.families.members import Members, Placing
from benchmarks.correlation.families.population import ordinary
from benchmarks.correlation.numbers import HOUR_NS, START_NS, Ints, Words, generator, mix, unit
from benchmarks.correlation.trace import Events, Trace, Truth, collect


@dataclass(frozen=True, slots=True)
class Size:
    """How large a world is.

    Args:
        accounts: ordinary ones, about.
        days: from the first request to the last.
        lead_h: until campaigns and newcomers begin.
        scale: what the members of named families are multiplied by.
    """

    accounts: int = 3000
    days: float = 3.0
    lead_h: float = 24.0
    scale: float = 1.0


SMALL = Size(accounts=1500, days=2.5, lead_h=18.0, scale=0.5)
LARGE = Size(accounts=9000, days=3.5, lead_h=24.0)


@dataclass(frozen=True)
class World:
    """What happened, and which actor was behind it.

    Args:
        name, seed: what it was made from.
        trace: requests by time; its `created_ns` and `truth` have one row an account.
        card: of each account.
        ordinary: accounts of the population, in which the groups were put.
        new: accounts that were created while the trace lasts.
        groups: what was put there; a campaign's number is its place among the hostile ones.
    """

    name: str
    seed: int
    trace: Trace
    card: Ints
    ordinary: NDArray[np.bool_]
    new: NDArray[np.bool_]
    groups: tuple[Group, ...]

    @property
    def created_ns(self) -> Ints:
        """When each account was created."""
        assert self.trace.created_ns is not None  # `build` gives it
        return self.trace.created_ns

    @property
    def klass(self) -> NDArray[np.str_]:
        """The family of each account."""
        return np.array(self.trace.truth.klasses)[self.trace.truth.klass]


_BEFORE = law.Habits(6.0, 1.0, 0, "sessions", 0, "population", 300.0, 1.0)
"""What people did with accounts that they sold."""


def _before(
    members: Members, exits: Exits, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints, Words, Words]:
    """Return the requests of accounts before they were sold: from homes, as people make them."""
    sold = np.flatnonzero(members.sold_ns)
    count = len(sold)
    segment, sticky = exits.home(count)
    none = np.zeros(count, dtype=np.int64)
    homes = Legs(segment, mix(sold, 91), sticky, none, np.ones(count))
    volume = law.volumes(_BEFORE, count, rng)
    row, time_ns = law.times(_BEFORE, volume, none + START_NS, members.sold_ns[sold], rng)
    hi, lo = exits.addresses([homes], row, time_ns, row)
    return sold[row], time_ns, law.lengths(_BEFORE, row, rng), hi, lo


def build(name: str, groups: Sequence[Group], seed: int, size: Size) -> World:
    """Return the world in which these groups live beside ordinary accounts."""
    exits = Exits(seed, size.accounts)
    clients = Clients(generator(seed, "families", "clients"))
    end_ns = START_NS + int(size.days * 24) * HOUR_NS
    placing = Placing(exits, clients, seed, START_NS + int(size.lead_h * HOUR_NS), end_ns)
    for group in (*ordinary(size.accounts), *groups):
        placing.put(group, size.scale if group in groups else 1.0, people=group not in groups)
    members = Members.joined(placing.placed)
    parts = []
    begin = 0
    for part in placing.placed:
        rng = generator(seed, "families", "times", part.name, begin)
        row, time_ns = law.times(part.habits, part.volume, part.begin_ns, part.end_ns, rng)
        parts.append((begin + row, time_ns, law.lengths(part.habits, begin + row, rng)))
        begin += len(part)
    account, time_ns, length = (np.concatenate(column) for column in zip(*parts, strict=True))
    hi, lo = exits.addresses(members.legs, account, time_ns, np.arange(len(account)))
    placing.touch(members, account, time_ns, hi, lo)
    before = _before(members, exits, generator(seed, "families", "before"))
    account, time_ns, length, hi, lo = (
        np.concatenate(column) for column in zip((account, time_ns, length, hi, lo), before, strict=True)
    )
    moved = members.moves_ns[account] <= time_ns
    moved &= unit(mix(account, 61)) < 0.5
    client = np.where(moved, members.later[account], members.client[account])
    events = Events(
        time_ns,
        account.astype(np.uint32),
        hi,
        lo,
        client.astype(np.uint32),
        np.full(len(account), 800, dtype=np.uint32),
        length.astype(np.uint32),
    )
    truth = Truth(
        members.actor,
        members.klass.astype(np.int32),
        members.campaign.astype(np.int32),
        members.bound.astype(np.int32),
        members.victim,
        placing.klasses,
    )
    trace = collect(
        events,
        members.card.astype(np.uint32),
        clients.texts,
        truth,
        starts_ns=placing.starts_ns,
        end_ns=end_ns,
        created_ns=members.created_ns,
    )
    ordinary_ones = members.klass < placing.ordinary_klasses
    new = members.created_ns >= START_NS
    return World(name, seed, trace, members.card, ordinary_ones, new, tuple(groups))
