"""The honest population: accounts, their places, and their payers.

Shares of the kinds of accounts (`MIX`) are not public. They are chosen so that every
kind of network in the parameter table is common enough to do harm.
"""

from __future__ import annotations

import numpy as np

from benchmarks.correlation.cards import group_sizes
from benchmarks.correlation.internet import Place
from benchmarks.correlation.numbers import DAY_NS, START_NS, Ints, lognormal
from benchmarks.correlation.people import People
from benchmarks.correlation.world import World

MIX = {
    "home": 0.44,
    "mobile": 0.11,
    "carrier-nat": 0.13,
    "office": 0.1,
    "university": 0.07,
    "vpn": 0.03,
    "server": 0.06,
    "function": 0.03,
    "platform": 0.03,
}
"""Kinds of accounts that have a payment method to themselves."""
HOUSEHOLDS = (0.66, 0.22, 0.08, 0.04)
"""Homes with 1, 2, 3, 4 accounts."""
GROWTH = 0.01
"""New honest accounts a day, as a share of all."""


def honest(world: World, accounts: int, days: float, *, name: str = "honest") -> People:
    """Return a population: what is there when the trace begins, and what joins in `days` days."""
    rng = world.rng(name, "population")
    sizes = group_sizes(accounts, rng)
    payer = np.repeat(np.arange(len(sizes)), sizes)
    size = np.repeat(sizes, sizes)
    kinds = rng.choice(list(MIX), size=accounts, p=list(MIX.values()))
    kinds = _of_groups(kinds, sizes, rng)
    actors, cards = world.new_actors(len(sizes)), world.new_cards(len(sizes))
    account = world.enrol(kinds.tolist(), actors[payer], cards[payer])
    people = People.of(world, account, rng)
    _clients_of_groups(world, people, payer, size, rng)
    for kind, settle in _SETTLERS.items():
        at = np.flatnonzero(kinds == kind)
        if len(at):
            settle(world, people, at, payer, size, rng)
    joins = rng.random(accounts) < 1 - (1 - GROWTH) ** days
    people.since_ns[joins] = START_NS + (rng.random(int(joins.sum())) * days * DAY_NS).astype(np.int64)
    return people


def _of_groups(kinds: Ints, sizes: Ints, rng: np.random.Generator) -> Ints:
    """Let those that share a payment method be something together."""
    kinds = kinds.copy()
    first = np.cumsum(sizes) - sizes
    for begin, size in zip(first[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
        part = slice(begin, begin + size)
        if size <= 3:  # a family, or one person's laptop and server
            kinds[part] = "home"
            if rng.random() < 0.5:
                kinds[begin + 1 : begin + size] = rng.choice(["server", "function", "home"])
        else:  # a company in an office, a remote team, or a customer's many keys
            kinds[part] = rng.choice(["office", "remote", "server", "function"], p=[0.55, 0.2, 0.15, 0.1])
            if size > 20 and kinds[begin] == "remote":
                kinds[part] = "office"
    return kinds


def _clients_of_groups(
    world: World, people: People, payer: Ints, size: Ints, rng: np.random.Generator
) -> None:
    """Give companies managed clients: two builds for most of a group."""
    managed = (size >= 4) & (rng.random(len(size)) < 0.75)
    groups = payer.max(initial=0) + 1
    most, some = world.clients.draw(rng, groups), world.clients.draw(rng, groups)
    second = rng.random(len(size)) < 0.25
    people.client[managed] = np.where(second, some[payer], most[payer])[managed]
    people.other[managed & (rng.random(len(size)) < 0.8)] = 0.0


def _at_home(
    world: World, people: People, at: Ints, share: float, payer: Ints, rng: np.random.Generator
) -> None:
    """Put accounts into homes: families by payment method, others as households happen to be."""
    _, family = np.unique(payer[at], return_inverse=True)
    families = int(family.max(initial=-1)) + 1
    members = rng.choice(len(HOUSEHOLDS), size=families, p=HOUSEHOLDS) + 1
    # Families one after another move in, until a household has as many as it should.
    household = np.repeat(np.arange(families), members)[:families]
    homes = world.internet.add_homes(families, rng)
    people.put(0, Place.HOME, homes[household[rng.permutation(families)][family]], share, at)


def _home(world: World, people: People, at: Ints, payer: Ints, size: Ints, rng: np.random.Generator) -> None:
    _at_home(world, people, at, 0.72, payer, rng)
    people.weight[at, 1] = np.where(rng.random(len(at)) < 0.6, rng.uniform(0.05, 0.5, len(at)), 0.0)
    # One in seven has an office, too, alone or among other customers.
    working = at[rng.random(len(at)) < 0.15]
    people.put(2, Place.SITE, _offices(world, len(working), rng), 0.4, working)
    # And one in thirty a VPN, now and then.
    hidden = at[rng.random(len(at)) < 0.035]
    people.put(2, Place.VPN, rng.integers(len(world.internet.vpns), size=len(hidden)), 0.3, hidden)


def _remote(
    world: World, people: People, at: Ints, payer: Ints, size: Ints, rng: np.random.Generator
) -> None:
    homes = world.internet.add_homes(len(at), rng)
    people.put(0, Place.HOME, homes, 0.8, at)
    people.weight[at, 1] = 0.2


def _mobile(
    world: World, people: People, at: Ints, payer: Ints, size: Ints, rng: np.random.Generator
) -> None:
    alone = rng.random(len(at)) < 0.5
    people.weight[at, 0] = 0.8  # slot 0 is a phone already
    homes = world.internet.add_homes(int((~alone).sum()), rng)
    people.put(1, Place.HOME, homes, 0.3, at[~alone])


def _nat(world: World, people: People, at: Ints, payer: Ints, size: Ints, rng: np.random.Generator) -> None:
    people.put(0, Place.NAT, rng.integers(len(world.internet.nats), size=len(at)), 0.75, at)
    people.weight[at, 1] = np.where(rng.random(len(at)) < 0.6, 0.25, 0.0)


def _offices(world: World, members: int, rng: np.random.Generator, median: float = 6.0) -> Ints:
    """Return an office for each of some people; sizes are strongly unequal."""
    sites: list[int] = []
    while len(sites) < members:
        size = int(np.clip(lognormal(rng, median, 1.1, 1)[0], 2, 400))
        sites += [global_leader(world, size, rng)] * size
    return rng.permutation(np.array(sites[:members], dtype=np.int64))


def global_leader(world: World, size: int, rng: np.random.Generator) -> int:
    """Return a new office: one egress address, two for a larger one."""
    return world.internet.place_for(world.internet.business, 1 + (size > 60), rng)


def _global_leader(
    world: World, people: People, at: Ints, payer: Ints, size: Ints, rng: np.random.Generator
) -> None:
    shared = size[at] >= 4
    alone, company = at[~shared], at[shared]
    people.put(0, Place.SITE, _offices(world, len(alone), rng), 0.65, alone)
    for group in np.unique(payer[company]).tolist():
        members = company[payer[company] == group]
        # Larger companies have several offices, and people that change between them.
        sites = [global_leader(world, len(members), rng) for _ in range(1 + len(members) // 80)]
        people.put(0, Place.SITE, rng.choice(sites, size=len(members)), 0.7, members)
    people.put(2, Place.HOME, world.internet.add_homes(len(at), rng), rng.uniform(0.05, 0.5, len(at)), at)
    people.weight[at, 1] = np.where(rng.random(len(at)) < 0.4, 0.1, 0.0)
    people.weekend[at] *= 0.4


def _university(
    world: World, people: People, at: Ints, payer: Ints, size: Ints, rng: np.random.Generator
) -> None:
    left = at
    while len(left):
        members, left = np.split(left, [int(np.clip(lognormal(rng, 120, 0.8, 1)[0], 20, 2000))])
        people.put(0, Place.SITE, university(world, rng), rng.uniform(0.2, 0.8, len(members)), members)
        people.put(2, Place.HOME, world.internet.add_homes(len(members), rng), 0.4, members)
        people.weight[members, 1] = 0.15


def university(world: World, rng: np.random.Generator) -> int:
    """Return a new university: a /24 of its own, some addresses of which are gateways."""
    block = world.internet.space.blocks(1)[0]
    gateways = 1 + np.sort(rng.choice(250, size=int(rng.integers(2, 9)), replace=False))
    return world.internet.site(((block << 8) + gateways).astype(np.uint64))


def _vpn(world: World, people: People, at: Ints, payer: Ints, size: Ints, rng: np.random.Generator) -> None:
    people.put(0, Place.VPN, rng.integers(len(world.internet.vpns), size=len(at)), 0.9, at)
    people.weight[at, 1] = 0.1


def _server(
    world: World, people: People, at: Ints, payer: Ints, size: Ints, rng: np.random.Generator
) -> None:
    internet = world.internet
    people.machines(rng, at)
    for group in np.unique(payer[at]).tolist():
        members = at[payer[at] == group]
        pool = internet.hosters[int(rng.integers(len(internet.hosters)))]
        # Some keys run on one machine each, others on all machines of their owner.
        machines = int(min(40, 1 + rng.poisson(0.5 * len(members))))
        site = internet.place_for(pool, machines, rng, together=bool(rng.random() < 0.5))
        people.put(0, Place.SITE, site, 1.0, members)


def _function(
    world: World, people: People, at: Ints, payer: Ints, size: Ints, rng: np.random.Generator
) -> None:
    people.machines(rng, at, median=80)
    _, group = np.unique(payer[at], return_inverse=True)
    cloud = rng.integers(len(world.internet.clouds), size=int(group.max()) + 1)[group]
    people.put(0, Place.FUNCTION, cloud, 1.0, at)


def _platform(
    world: World, people: People, at: Ints, payer: Ints, size: Ints, rng: np.random.Generator
) -> None:
    left = at
    while len(left):
        members, left = np.split(left, [int(np.clip(lognormal(rng, 80, 1.0, 1)[0], 10, 1000))])
        people.put(0, Place.SITE, platform(world, rng), 1.0, members)
        people.client[members] = world.clients.draw(rng, 1)[0]
        people.other[members] = 0.0


def platform(world: World, rng: np.random.Generator) -> int:
    """Return a hosted platform's egress: some addresses, another one for each request."""
    internet = world.internet
    pool = internet.hosters[int(rng.integers(len(internet.hosters)))]
    return internet.site(internet.fixed(pool, int(rng.integers(3, 17))), hops=True)


_SETTLERS = {
    "home": _home,
    "remote": _remote,
    "mobile": _mobile,
    "carrier-nat": _nat,
    "office": _global_leader,
    "university": _university,
    "vpn": _vpn,
    "server": _server,
    "function": _function,
    "platform": _platform,
}
