"""One actor behind many accounts: what it does, as numbers, and its traffic.

No report says how many accounts share a card, how many addresses an account uses or
how long it lives. Those are parameters here, with the middle value of the table in the
issue's scenarios as default. The sweeps of `frontier` go through the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from benchmarks.correlation.internet import Place
from benchmarks.correlation.numbers import (
    DAY_NS,
    HOUR_NS,
    SECOND_NS,
    START_NS,
    Floats,
    Ints,
    below,
    mix,
    positions,
    spread_counts,
    unit,
)
from benchmarks.correlation.trace import Events
from benchmarks.correlation.world import World

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Campaign:
    """What one actor does.

    Args:
        name: class of its accounts in results.
        accounts: alive at once.
        requests: an account and day, on average.
        cv: coefficient of variation of the members' volumes.
        timing: `round-robin` (flat), `random`, `diurnal` (each account has its own night),
            `own` (sessions like a person's), `synchronised` (rounds in which all take part).
        per_card: accounts a payment method.
        clients: `one`, `eight` (half of them among the builds that honest people use most),
            `diverse` (as the population), `fresh` (another one each request).
        exits: how many, for 2,500 accounts; in proportion for more or fewer.
        kinds: where they are, with shares: `data-centre`, `residential`, `mobile`, `function`.
        shared: share of residential and data-centre exits that honest customers use, too.
        sticky_s: how long an account keeps an exit; 0: another one each request.
        life_days: how long an account lasts until it is banned.
        replaced_s: how long until another takes its place.
        reuse: what the replacement has in common: `all`, `client and exits`, `nothing`.
        warm_up: new accounts begin slowly, over a day.
        mixed: share of unrelated customers among the accounts on the same exits.
        resold: share of an account's requests that the actor sells on to strangers.
        aged: share of the first wave that existed before: dormant, or with a small history.
        ramp_days: days over which ten accounts become all of them; 0: all at once.
        ramp: `exponential`, or `steady`: as many every day.
        surge, surge_after_days: factor on all requests, and when it begins.
        moves_after_days: when half of the traffic moves to a new model (and client) within a day.
        length, spread: median output tokens, and the sigma of their logarithm.
    """

    name: str
    accounts: int = 2500
    requests: float = 25.6
    cv: float = 0.25
    timing: str = "random"
    per_card: int = 10
    clients: str = "eight"
    exits: int = 10_000
    kinds: tuple[tuple[str, float], ...] = (("residential", 1.0),)
    shared: float = 0.3
    sticky_s: int = 600
    life_days: float = 7.0
    replaced_s: float = 300.0
    reuse: str = "client and exits"
    warm_up: bool = False
    mixed: float = 0.3
    resold: float = 0.0
    aged: float = 0.2
    ramp_days: float = 0.0
    ramp: str = "exponential"
    surge: float = 1.0
    surge_after_days: float = NEVER
    moves_after_days: float = NEVER
    length: float = 900.0
    spread: float = 0.45


@dataclass(slots=True)
class Troop:
    """A campaign's accounts: one row each, first wave and replacements."""

    spec: Campaign
    account: Ints
    slot: Ints
    bound: Ints
    rate: Floats
    client: Ints
    proxy: Ints
    begin_ns: Ints
    end_ns: Ints
    builds: Ints
    newer: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    detour: Ints | None = None
    """Other exits that some accounts use for a share of their requests; -1: this one does not."""
    detour_share: float = 0.0

    def day(self, world: World, day: int, rng: np.random.Generator) -> Events:
        """Return one day's requests."""
        spec = self.spec
        begin_ns = START_NS + day * DAY_NS
        start_ns = np.maximum(self.begin_ns, begin_ns)
        stop_ns = np.minimum(self.end_ns, begin_ns + DAY_NS)
        alive = np.flatnonzero(start_ns < stop_ns)
        surges = (begin_ns - self.begin_ns.min()) / DAY_NS >= spec.surge_after_days
        rate = self.rate * (spec.surge if surges else 1.0)
        if spec.timing == "synchronised":
            member, time_ns = self._rounds(alive, day, rng)
        else:
            member, time_ns = self._each(alive, rate, start_ns, stop_ns, rng)
        kept = (time_ns >= start_ns[member]) & (time_ns < stop_ns[member])
        if spec.warm_up:
            age = (time_ns - self.begin_ns[member]) / DAY_NS
            kept &= rng.random(len(member)) < np.clip(0.1 + 0.9 * age, 0, 1)
        member, time_ns = member[kept], time_ns[kept]
        return self._requests(world, member, time_ns, rng)

    def _each(
        self, alive: Ints, rate: Floats, start_ns: Ints, stop_ns: Ints, rng: np.random.Generator
    ) -> tuple[Ints, Ints]:
        """Return which account asks when, if each does so alone."""
        timing = self.spec.timing
        share = (stop_ns - start_ns)[alive] / DAY_NS
        if timing == "round-robin":
            row, which = positions(spread_counts(rate[alive] * share, rng))
            # Each turn comes at even distances; the order is shuffled by the hash.
            count = np.bincount(row, minlength=len(alive))[row]
            at = (
                which + unit(mix(self.account[alive[row]], 31)) + 0.05 * rng.standard_normal(len(row))
            ) / count
            member = alive[row]
            return member, (start_ns[member] + at * (stop_ns - start_ns)[member]).astype(np.int64)
        # An account with hours of its own is drawn for the whole day; what is outside its life is dropped.
        row, _ = positions(rng.poisson(rate[alive] * (share if timing == "random" else 1.0)))
        member = alive[row]
        if timing == "random":
            at = rng.random(len(row))
            return member, (start_ns[member] + at * (stop_ns - start_ns)[member]).astype(np.int64)
        peak = 24 * unit(mix(self.account[member], 32))
        if timing == "diurnal":
            hour = peak + 4.5 * rng.standard_normal(len(row))
        else:  # own: a few sessions a day
            session = below(rng.integers(1 << 63, size=len(row)).astype(np.uint64), 1 + rate[member] / 6)
            drawn = mix(self.account[member], session, start_ns[member])
            normal = np.sqrt(-2 * np.log1p(-unit(drawn))) * np.cos(2 * np.pi * unit(mix(drawn, 1)))
            hour = peak + 3.2 * normal + rng.exponential(0.12, size=len(row))
        begin_ns = (start_ns[member] - START_NS) // DAY_NS * DAY_NS + START_NS
        return member, begin_ns + ((hour % 24) * HOUR_NS).astype(np.int64)

    def _rounds(self, alive: Ints, day: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """Return which account asks when, if all are told at once."""
        rounds = max(1, round(self.spec.requests))
        row, which = positions(np.full(len(alive), rounds))
        joins = rng.random(len(row)) < np.minimum(1.0, self.rate[alive[row]] / rounds)
        row, which = row[joins], which[joins]
        shift = rng.uniform(0.0, 0.8, size=rounds)
        at = (which + shift[which]) * (DAY_NS / rounds) + rng.exponential(20, size=len(row)) * SECOND_NS
        return alive[row], (START_NS + day * DAY_NS + at).astype(np.int64)

    def _requests(self, world: World, member: Ints, time_ns: Ints, rng: np.random.Generator) -> Events:
        """Return requests of members at times, with all that belongs to them."""
        spec = self.spec
        account = self.account[member]
        count = len(member)
        client = self.client[member].copy()
        if spec.clients == "fresh":
            client = world.clients.add(rng, count)
        # A template is used by many accounts at once, for some hours.
        template = mix(self.account[0], time_ns // (6 * HOUR_NS), rng.integers(6, size=count)).astype(
            np.int64
        )
        sent, came = world.tokens.harvest(template, spec.length, spec.spread, rng)
        if spec.moves_after_days < NEVER and count:
            begun = (time_ns - self.begin_ns.min()) / DAY_NS - spec.moves_after_days
            moved = rng.random(count) < 0.5 * np.clip(begun, 0, 1)
            client[moved] = self.newer[below(mix(account[moved], 33), len(self.newer))]
            new_sent, new_came = world.tokens.harvest(template + 1, 2 * spec.length, spec.spread, rng)
            sent, came = np.where(moved, new_sent, sent), np.where(moved, new_came, came)
        if spec.resold:
            resold = rng.random(count) < spec.resold
            other_sent, other_came = world.tokens.draw(rng.integers(1 << 40, size=count), rng)
            sent, came = np.where(resold, other_sent, sent), np.where(resold, other_came, came)
        proxy = self.proxy[member]
        if self.detour is not None:
            detour = self.detour[member]
            proxy = np.where((detour >= 0) & (rng.random(count) < self.detour_share), detour, proxy)
        hi, lo = world.internet.addresses(
            np.full(count, Place.PROXY, dtype=np.int64),
            proxy,
            mix(account if spec.reuse == "nothing" else self.slot[member] + (int(self.account[0]) << 20), 34),
            time_ns,
            rng.integers(1 << 63, size=count).astype(np.uint64),
        )
        return Events(time_ns, account.astype(np.uint32), hi, lo, client.astype(np.uint32), sent, came)


def begin(world: World, spec: Campaign, number: int, begin_ns: int, end_ns: int, proxy: int) -> Troop:
    """Return the accounts that a campaign will have, on exits that exist already.

    Args:
        number: of the campaign in its trace.
        proxy: exits of the first wave; `reuse="nothing"` draws others from the same kind for later waves.
    """
    rng = world.rng("campaign", number, spec.name)
    actor = world.new_actors(1)[0]
    slots, bound, born_ns, dead_ns = _lives(spec, begin_ns, end_ns, rng)
    count = len(slots)
    builds = _builds(world, spec, rng)
    card = _cards(world, spec, slots, bound)
    account = world.enrol(spec.name, np.full(count, actor), card, number, bound)
    rate = np.full(count, spec.requests)
    if spec.cv > 0:
        rate *= rng.gamma(1 / spec.cv**2, spec.cv**2, size=count)
    fixed = below(mix(slots, number, 35), len(builds))
    fresh = rng.integers(len(builds), size=count)
    return Troop(
        spec=spec,
        account=account,
        slot=slots,
        bound=bound,
        rate=rate,
        client=builds[np.where((bound > 0) & (spec.reuse == "nothing"), fresh, fixed)],
        proxy=np.full(count, proxy),
        begin_ns=born_ns,
        end_ns=dead_ns,
        builds=builds,
        newer=world.clients.add(rng, 2) if spec.moves_after_days < NEVER else np.zeros(0, dtype=np.int64),
    )


def _lives(
    spec: Campaign, begin_ns: int, end_ns: int, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints, Ints]:
    """Return slot, generation, begin and end of every account."""
    slot = np.arange(spec.accounts)
    born = np.full(spec.accounts, begin_ns, dtype=np.int64)
    if spec.ramp_days and spec.accounts > 10:
        joined = np.log(np.maximum(slot + 1, 10) / 10) / np.log(spec.accounts / 10)
        if spec.ramp == "steady":
            joined = slot / spec.accounts
        born = born + (joined * spec.ramp_days * DAY_NS).astype(np.int64)
    bound, rows = 0, []
    while len(slot):
        if spec.life_days == NEVER:
            dead = np.full(len(slot), end_ns, dtype=np.int64)
        else:
            # Accounts that are there at the beginning are of any age; later ones live 0.6 to 1.4 of the mean.
            low = 0.1 if bound == 0 else 0.6
            dead = born + (rng.uniform(low, 1.4, size=len(slot)) * spec.life_days * DAY_NS).astype(np.int64)
        rows.append((slot, np.full(len(slot), bound), born, np.minimum(dead, end_ns)))
        born = dead + int((spec.replaced_s + 1) * SECOND_NS)
        again = born < end_ns
        slot, born, bound = slot[again], born[again], bound + 1
    return tuple(np.concatenate(column) for column in zip(*rows, strict=True))  # type: ignore[return-value]


def _builds(world: World, spec: Campaign, rng: np.random.Generator) -> Ints:
    """Return the client builds a campaign has."""
    if spec.clients in ("one", "fresh"):
        return world.clients.add(rng, 1)
    if spec.clients == "eight":
        common = rng.choice(12, size=4, replace=False)
        return np.concatenate([world.clients.add(rng, 4), common])
    return world.clients.draw(rng, spec.accounts)


def _cards(world: World, spec: Campaign, slot: Ints, bound: Ints) -> Ints:
    """Return a payment method for each account."""
    if spec.reuse == "all":
        cards = world.new_cards(-(-spec.accounts // spec.per_card))
        return cards[slot // spec.per_card]
    cards = world.new_cards(-(-len(slot) // spec.per_card))
    return cards[np.arange(len(slot)) // spec.per_card]
