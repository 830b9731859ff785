"""The accounts of a world, one row each: from what a group is to what its members do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.correlation.cards import group_sizes
from benchmarks.correlation.clients import Clients
from benchmarks.correlation.families import law
from benchmarks.correlation.families.exits import LEGS, Exits, Legs
from benchmarks.correlation.families.group import HOME, Decoy, Group, Leg
from benchmarks.correlation.numbers import (
    DAY_NS,
    HOUR_NS,
    SECOND_NS,
    START_NS,
    Floats,
    Ints,
    Words,
    generator,
    mix,
)

NEVER = int(np.iinfo(np.int64).max)


@dataclass(slots=True)
class Members:
    """Columns with a row an account; `legs` has a table for each leg."""

    created_ns: Ints
    begin_ns: Ints
    end_ns: Ints
    volume: Floats
    card: Ints
    klass: Ints
    actor: Ints
    campaign: Ints
    bound: Ints
    victim: NDArray[np.bool_]
    client: Ints
    later: Ints
    moves_ns: Ints
    sold_ns: Ints
    touches: Floats
    aim: Ints
    legs: list[Legs]

    def __len__(self) -> int:
        return len(self.card)

    @classmethod
    def joined(cls, parts: Sequence[Members]) -> Members:
        """Return several as one."""
        columns: dict[str, Any] = {
            one.name: np.concatenate([getattr(part, one.name) for part in parts])
            for one in fields(Members)
            if one.name != "legs"
        }
        legs = [
            Legs(
                *(np.concatenate([getattr(part.legs[n], one.name) for part in parts]) for one in fields(Legs))
            )
            for n in range(LEGS)
        ]
        return Members(**columns, legs=legs)


@dataclass(slots=True)
class Part(Members):
    """The accounts of one group, all of the same habits."""

    name: str
    habits: law.Habits


class Placing:
    """Puts groups into a world, one after another.

    Args:
        exits, clients: of the world.
        seed: of the world.
        lead_ns: when campaigns and newcomers begin.
        end_ns: when the world ends.
    """

    def __init__(self, exits: Exits, clients: Clients, seed: int, lead_ns: int, end_ns: int) -> None:
        self._exits, self._clients = exits, clients
        self._seed, self._lead_ns, self._end_ns = seed, lead_ns, end_ns
        self._networks: dict[str, tuple[Ints, Ints | None]] = {}
        self._klasses: dict[str, int] = {}
        self._cards = 0
        self._actors = 0
        self._aims: list[tuple[Ints, bool]] = []
        self.placed: list[Part] = []
        self.starts_ns: dict[int, int] = {}
        self.ordinary_klasses = 0

    @property
    def klasses(self) -> tuple[str, ...]:
        """Names of the families, by number."""
        return tuple(self._klasses)

    def put(self, group: Group, scale: float = 1.0, *, people: bool = False) -> None:
        """Add the accounts of a group; `people`: they are the ordinary population."""
        if group.others is not None and not group.legs[0].network:
            first = replace(group.legs[0], network=f"{group.name} {len(self.placed)}")
            group = replace(group, legs=(first, *group.legs[1:]))
        rng = generator(self._seed, "families", "group", len(self.placed), group.name)
        habits = replace(law.draw(rng), **group.free)  # type: ignore[arg-type]
        slots = max(2, round(group.accounts * scale))
        tenant = _tenants(group, slots, scale, rng)
        card = _cards(group, tenant, rng)
        begin_ns, created_ns = self._ages(group, slots, rng)
        slot, bound, begin_ns, end_ns = self._lives(group, begin_ns, rng)
        count = len(slot)
        created_ns = np.where(bound > 0, begin_ns - _soon(count, rng), created_ns[slot])
        tenant, card = tenant[slot], card[slot]
        if "card" in group.renews:
            card = np.unique(bound * (int(card.max()) + 1) + card, return_inverse=True)[1]
        own = np.arange(count) if "exits" in group.renews else slot
        owners = {
            "account": own,
            "card": card,
            "tenant": tenant,
            "part": card % group.parts,
            "group": np.zeros(count, dtype=np.int64),
        }
        klass = self._klasses.setdefault(group.name, len(self._klasses))
        if people:
            self.ordinary_klasses = len(self._klasses)
        campaign = len(self.starts_ns) if group.hostile else -1
        if group.hostile:
            self.starts_ns[campaign] = int(begin_ns.min())
        alike = (
            owners["group"] if group.hostile or group.cards == "group" else tenant if tenant.max() else card
        )
        aged = (created_ns < START_NS) & (begin_ns > START_NS) & (bound == 0)
        sold = aged & (rng.random(count) < group.history)
        later = law.programs(replace(habits, programs="few"), self._clients, count, rng)
        part = Part(
            created_ns=created_ns,
            begin_ns=begin_ns,
            end_ns=end_ns,
            volume=law.volumes(habits, slots, rng)[slot],
            card=card + self._cards + 1,
            klass=np.full(count, klass),
            actor=alike + self._actors,
            campaign=np.full(count, campaign),
            bound=bound,
            victim=np.zeros(count, dtype=bool),
            client=law.programs(habits, self._clients, count, rng),
            later=later,
            moves_ns=np.full(count, int(begin_ns.min()) + DAY_NS // 2 if group.moves else NEVER),
            sold_ns=np.where(sold, begin_ns, 0),
            touches=np.zeros(count),
            aim=np.full(count, -1),
            legs=self._legs(group, owners, scale, rng, people=people),
            name=group.name,
            habits=habits,
        )
        self._cards += int(card.max()) + 1
        self._actors += int(alike.max()) + 1
        if group.decoy is not None:
            self._aim(group.decoy, part, rng)
        self.placed.append(part)
        if group.others is not None:
            self.put(_others(group, (self._end_ns - START_NS) / DAY_NS), scale)

    def touch(self, members: Members, account: Ints, time_ns: Ints, hi: Words, lo: Words) -> None:
        """Put victims' addresses, or such in their networks, where a campaign's decoys say so."""
        rng = generator(self._seed, "families", "touches")
        at = np.flatnonzero(rng.random(len(account)) < members.touches[account])
        for number, (segments, beside) in enumerate(self._aims):
            mine = at[members.aim[account[at]] == number]
            theirs, word = self._exits.rows_of(rng.choice(segments, size=len(mine)))
            if beside:
                place = mix(account[mine], time_ns[mine] // HOUR_NS) % np.uint64(254) + np.uint64(1)
                word = word & ~np.uint64(255) | place
                theirs = np.where(theirs != 0, theirs & ~np.uint64(255) | place, np.uint64(0))
            hi[mine] = theirs
            lo[mine] = np.where(theirs != 0, mix(account[mine], 71), word)

    def _ages(self, group: Group, slots: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """Return when accounts come, and when they were created."""
        old = START_NS - (rng.uniform(20, 900, size=slots) * DAY_NS).astype(np.int64)
        if group.new or group.hostile:
            start = self._lead_ns + int(group.begin_h * HOUR_NS)
            chance = rng.random(slots)
            # From a handful to all of them, by equal ratios.
            chance = 1 + np.log(np.maximum(chance, 0.004)) / np.log(250) if group.ramp else chance
            begin = start + (chance * group.arrival_h * HOUR_NS).astype(np.int64)
            begin[rng.integers(slots)] = start
            bought = rng.random(slots) < group.aged
            return begin, np.where(bought, old, begin - _soon(slots, rng))
        begin = np.full(slots, START_NS)
        young = rng.random(slots) < group.young
        created = np.where(young, START_NS - (rng.uniform(0, 14, size=slots) * DAY_NS).astype(np.int64), old)
        span = self._end_ns - START_NS
        joins = rng.random(slots) < group.joining * span / DAY_NS
        begin = np.where(
            joins, START_NS + 3600 * SECOND_NS + (rng.random(slots) * span * 0.9).astype(np.int64), begin
        )
        return begin, np.where(joins, begin - _soon(slots, rng), created)

    def _lives(self, group: Group, begin_ns: Ints, rng: np.random.Generator) -> tuple[Ints, Ints, Ints, Ints]:
        """Return the slot and generation of each account, and from when to when it is used."""
        slots = len(begin_ns)
        every = np.arange(slots)
        if not group.life_h:
            return every, np.zeros(slots, dtype=np.int64), begin_ns, np.full(slots, self._end_ns)
        life, gap = int(group.life_h * HOUR_NS), int(group.gap_h * HOUR_NS)
        first = (life * rng.uniform(0.2, 1, size=slots)).astype(np.int64)
        most = int((self._end_ns - int(begin_ns.min())) // (life + gap)) + 2
        slot, bound = np.tile(every, most), np.repeat(np.arange(most), slots)
        begin = begin_ns[slot] + np.where(bound > 0, first[slot] + gap + (bound - 1) * (life + gap), 0)
        end = begin + np.where(bound > 0, life, first[slot])
        kept = begin < self._end_ns
        return slot[kept], bound[kept], begin[kept], np.minimum(end, self._end_ns)[kept]

    def _legs(
        self, group: Group, owners: dict[str, Ints], scale: float, rng: np.random.Generator, *, people: bool
    ) -> list[Legs]:
        count = len(owners["account"])
        salt = int(rng.integers(1 << 62))
        legs: list[Legs] = []
        without = np.ones(count, dtype=bool)
        for leg in group.legs:
            owner = owners[leg.of]
            segments, sticky = self._network(leg, int(owner.max()) + 1, scale, rng, people=people)
            segment = segments[owner % len(segments)]
            natural = leg.kind in ("home", "nat", "phone")
            kept = sticky[owner % len(sticky)] if sticky is not None else _kept(leg, count)
            breadth = 1 if leg.sticky_s == float("inf") else leg.breadth
            has = rng.random(count) < leg.some
            without &= ~has
            share = np.where(has, leg.share, 0.0)
            key = mix(owner if natural else owners[leg.by], salt, len(legs))
            legs.append(Legs(segment, key, kept, np.full(count, 0 if natural else breadth), share))
        legs[0].share[without] = 1.0
        while len(legs) < LEGS:
            legs.append(replace(legs[0], share=np.zeros(count)))
        return legs

    def _network(
        self, leg: Leg, count: int, scale: float, rng: np.random.Generator, *, people: bool
    ) -> tuple[Ints, Ints | None]:
        """Return a segment for each owner, and for how long an address is kept if the leg does not say."""
        if leg.network in self._networks:
            return self._networks[leg.network]
        exits = max(min(leg.exits, 20), round(leg.exits * scale))
        net = self._exits
        found: tuple[Ints, Ints | None]
        if leg.kind == "home":
            found = net.home(count, people=people)
        elif leg.kind == "phone":
            found = net.phone(count)
        elif leg.kind == "nat":
            found = net.nat(count)
        elif leg.kind == "mobile":
            found = net.phone(count)[0], None
        elif leg.kind == "office":
            found = np.array([net.global_leader(exits) for _ in range(count)]), None
        elif leg.kind == "hosted":
            found = np.array([net.hosted(exits, leg.blocks) for _ in range(count)]), None
        elif leg.kind == "residential":
            found = (
                np.array([net.residential(exits, leg.shared, int(leg.of != "group")) for _ in range(count)]),
                None,
            )
        else:
            found = np.array([net.prefix(exits, leg.length) for _ in range(count)]), None
        if leg.network:
            self._networks[leg.network] = found
        return found

    def _aim(self, decoy: Decoy, part: Part, rng: np.random.Generator) -> None:
        """Let a campaign's accounts do what concerns its victims."""
        names = decoy.victims.split("|")
        cards, segments, clients = [], [], []
        for crowd in self.placed:
            if crowd.name not in names:
                continue
            chosen = rng.permutation(len(crowd))[: decoy.among]
            segments.append(np.unique(crowd.legs[0].segment[chosen]))
            cards.append(np.unique(crowd.card[chosen]))
            clients.append(crowd.client[chosen])
            crowd.victim |= np.isin(crowd.card, cards[-1]) | np.isin(crowd.legs[0].segment, segments[-1])
        mine = rng.random(len(part)) < decoy.accounts
        part.touches[mine] = decoy.touches
        part.aim[mine] = len(self._aims)
        self._aims.append((np.concatenate(segments), decoy.beside))
        steals = rng.random(len(part)) < decoy.steals
        part.card[steals] = rng.choice(np.concatenate(cards), size=int(steals.sum()))
        if decoy.copies:
            part.client[mine] = rng.choice(np.concatenate(clients), size=int(mine.sum()))


def _soon(count: int, rng: np.random.Generator) -> Ints:
    """Return from signing up to a first request: a minute to an hour."""
    seconds: Floats = np.exp(rng.uniform(np.log(60), np.log(3600), size=count))
    return (seconds * SECOND_NS).astype(np.int64)


def _tenants(group: Group, slots: int, scale: float, rng: np.random.Generator) -> Ints:
    tenants = min(slots, max(min(group.tenants, 6), round(group.tenants * scale)))
    weights = np.exp(group.evenly * rng.standard_normal(tenants))
    bounds = np.cumsum(weights / weights.sum())
    return np.unique(
        np.minimum(np.searchsorted(bounds, (np.arange(slots) + 0.5) / slots), tenants - 1),
        return_inverse=True,
    )[1]


def _cards(group: Group, tenant: Ints, rng: np.random.Generator) -> Ints:
    slots = len(tenant)
    if group.cards == "group":
        return np.zeros(slots, dtype=np.int64)
    if group.cards == "tenant":
        return tenant
    if group.cards == "population":
        sizes = rng.permutation(group_sizes(slots, rng))
    else:
        low, high = group.cards
        sizes = np.floor(np.exp(rng.uniform(np.log(low), np.log(high + 1), size=slots))).astype(np.int64)
        sizes = np.clip(sizes, low, high)
    card = np.searchsorted(np.cumsum(sizes), np.arange(slots), side="right")
    own: Ints = np.unique(tenant * slots + card, return_inverse=True)[1].astype(np.int64)
    return own


def _kept(leg: Leg, count: int) -> Ints:
    seconds = 0.0 if leg.sticky_s == float("inf") else leg.sticky_s
    return np.full(count, int(seconds * SECOND_NS))


def _others(group: Group, days: float) -> Group:
    others = group.others
    assert others is not None  # the caller looked
    there = replace(group.legs[0], share=others.share, of="account", by="account")
    return Group(
        f"{group.name}: others there",
        (there, replace(HOME, share=1 - others.share)),
        accounts=others.accounts,
        joining=others.new / days,
    )
