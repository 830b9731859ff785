"""Addresses of accounts over time: homes, carriers, offices, clouds, and the effect of proxies on them.

A place is a kind and a number; together with an account and a time, it gives an
address. Honest people and campaigns look their addresses up in the same place. So
a proxy exit in a customer's home *is* that home, renumbering and all. A mobile
exit takes its addresses from the same pool, in the same way, as all phones.

Not public, so assumptions:

- how densely a service's customers fill a provider's networks: a handful in a /24 at home;
- how many subscribers share a NAT address: a few to some hundred, strongly unequal;
- how long a phone keeps an address: 3 minutes to 8 hours, median 40 minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.correlation.addresses import Pool, Space
from benchmarks.correlation.numbers import DAY_NS, SECOND_NS, Floats, Ints, Words, below, generator, mix, unit

MOBILE_V6 = 0.65
HOME_V6 = 0.66
SITE_V6 = 0.25
"""Shares with IPv6; NAT, VPN and clouds have none here. Together about 40 % of what people send."""
RENUMBERING = 1 / 3
_MINUTE_NS = 60 * SECOND_NS


class Place(IntEnum):
    """Kinds of places."""

    HOME = 0
    NAT = 1
    MOBILE = 2
    SITE = 3
    VPN = 4
    FUNCTION = 5
    PROXY = 6
    FRESH = 7


class Rows:
    """Columns that grow."""

    def __init__(self, *dtypes: type) -> None:
        self._columns: list[NDArray[Any]] = [np.zeros(0, dtype=dtype) for dtype in dtypes]

    def __len__(self) -> int:
        return len(self._columns[0])

    def __getitem__(self, column: int) -> NDArray[Any]:
        return self._columns[column]

    def add(self, *values: NDArray[np.generic]) -> Ints:
        """Append rows; return their numbers."""
        begin = len(self)
        self._columns = [
            np.concatenate([column, np.asarray(value, dtype=column.dtype)])
            for column, value in zip(self._columns, values, strict=True)
        ]
        return np.arange(begin, len(self), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Proxy:
    """Exits, each a place of its own, and how long a session keeps to one.

    Args:
        place, number: of each exit.
        sticky_ns: 0 for another exit each request.
    """

    place: Ints
    number: Ints
    sticky_ns: int


class Internet:
    """The networks of one world.

    Args:
        seed: all of it follows from this.
        accounts: about how many honest accounts it is for; pools grow with them.
    """

    def __init__(self, seed: int, accounts: int) -> None:
        rng = generator(seed, "internet")
        self.space = Space(rng)
        self._salt = int(rng.integers(1 << 62))
        # Access providers, by market share; about three customers of the service in a /24.
        self.isp_share = np.array([0.34, 0.22, 0.16, 0.1, 0.08, 0.06, 0.04])
        self.isps = [self._pool(max(12, int(accounts * share / 3))) for share in self.isp_share]
        # A part of each provider's range is for lines with another address every day.
        self._fixed = [int(pool.size * (1 - RENUMBERING)) for pool in self.isps]
        self.homes = Rows(np.int16, np.int64, np.bool_, np.bool_, np.int64)
        # Carriers that put many subscribers behind one address.
        self.nats = [self._pool(max(1, accounts // 20_000 + 1), dense=True) for _ in range(3)]
        self._nat_weights = [
            np.cumsum(weights / weights.sum())
            for weights in (rng.pareto(1.2, size=max(4, accounts // 1200)) + 0.2 for _ in self.nats)
        ]
        # Phones: every carrier hands out what is free.
        self.mobile_share = np.array([0.4, 0.3, 0.2, 0.1])
        self.mobiles = [
            self._pool(max(4, int(accounts * share / 1500) + 2), dense=True) for share in self.mobile_share
        ]
        self._mobile_size = [max(200, int(accounts * share / 12)) for share in self.mobile_share]
        self._mobile_size = [
            min(size, pool.size) for size, pool in zip(self._mobile_size, self.mobiles, strict=True)
        ]
        # Sites have egress addresses of their own: offices, universities, servers, platforms.
        self.business = self._pool(max(40, accounts // 12))
        self.hosters = [self._pool(max(6, accounts // 1500), dense=True) for _ in range(4)]
        self._used: dict[int, int] = {}
        self.sites = Rows(np.int64, np.int64, np.bool_)  # first egress, how many, a new one each request
        self.egress = Rows(np.uint64, np.uint64)
        self.vpns = [self._vpn(rng) for _ in range(3)]
        self.clouds = [self._pool(12 + accounts // 8000, dense=True) for _ in range(2)]
        self.proxies: list[Proxy] = []

    def _pool(self, blocks: int, *, dense: bool = False) -> Pool:
        return Pool(self.space.blocks(blocks, 0.6 if dense else 0.2), self.space.prefix(), dense)

    def _vpn(self, rng: np.random.Generator) -> int:
        """Return the site of one VPN provider: some dozen exits in a few /24s of a hoster."""
        pool = self._pool(3, dense=True)
        chosen = rng.choice(pool.size, size=int(rng.integers(40, 120)), replace=False)
        return self.site(pool.v4(np.sort(chosen)))

    def add_homes(self, count: int, rng: np.random.Generator, *, v6: float = HOME_V6) -> Ints:
        """Return the numbers of new homes."""
        isp = rng.choice(len(self.isps), size=count, p=self.isp_share)
        renumbers = rng.random(count) < RENUMBERING
        sizes = np.array([pool.size for pool in self.isps])[isp]
        fixed = np.array(self._fixed)[isp]
        line = np.where(renumbers, below(mix(rng.integers(1 << 62, size=count)), sizes - fixed), 0)
        line = np.where(renumbers, line, (rng.random(count) * fixed).astype(np.int64))
        subscriber = rng.integers(1 << 22, size=count)
        return self.homes.add(isp, line, renumbers, rng.random(count) < v6, subscriber)

    def site(self, lo: Words, hi: Words | None = None, *, hops: bool = False) -> int:
        """Return the number of a new site with these egress addresses."""
        rows = self.egress.add(np.zeros(len(lo), dtype=np.uint64) if hi is None else hi, lo)
        return int(self.sites.add(np.array([rows[0]]), np.array([len(lo)]), np.array([hops]))[0])

    def place_for(self, pool: Pool, count: int, rng: np.random.Generator, *, together: bool = True) -> int:
        """Return a new site with addresses of a pool; one in four speaks IPv6, from one /64."""
        lo = self.fixed(pool, count, together=together)
        if rng.random() >= SITE_V6:
            return self.site(lo)
        hi = np.full(count, pool.v6(rng.integers(1 << 22, size=1))[0])
        return self.site(lo & np.uint64(0xFFFF), hi)

    def fixed(self, pool: Pool, count: int, *, together: bool = True) -> Words:
        """Return addresses of a pool that no others have: neighbours, or one in each next /24."""
        key = id(pool)
        begin = self._used.get(key, 0)
        self._used[key] = begin + count
        order = begin + np.arange(count)
        if not together or not pool.dense:
            order = order * 37 + 11
        return pool.v4(order % pool.size)

    def add_proxy(self, place: Ints, number: Ints, sticky_ns: int) -> int:
        """Return the number of new exits."""
        self.proxies.append(Proxy(np.asarray(place), np.asarray(number), sticky_ns))
        return len(self.proxies) - 1

    def addresses(
        self, place: Ints, number: Ints, who: Words, time_ns: Ints, chance: Words
    ) -> tuple[Words, Words]:
        """Return the addresses (upper and lower words) of people at places and times.

        Args:
            who: what tells people (or proxy devices) apart.
            chance: random bits, for places where every request may have another address.
        """
        hi = np.zeros(len(place), dtype=np.uint64)
        lo = np.zeros(len(place), dtype=np.uint64)
        for kind in np.unique(place).tolist():
            at = np.flatnonzero(place == kind)
            found = self._LOOKUPS[kind](self, number[at], who[at], time_ns[at], chance[at])
            hi[at], lo[at] = found
        return hi, lo

    def _home(self, number: Ints, who: Words, time_ns: Ints, chance: Words) -> tuple[Words, Words]:
        isp, line, renumbers, v6, subscriber = (self.homes[column][number] for column in range(5))
        # At different hours of the night, as lines are resynchronised.
        day = (time_ns + below(mix(number, 5), 6 * 3600) * SECOND_NS) // DAY_NS
        hi = np.zeros(len(number), dtype=np.uint64)
        lo = np.zeros(len(number), dtype=np.uint64)
        for which, pool in enumerate(self.isps):
            at = isp == which
            fixed, moving = self._fixed[which], pool.size - self._fixed[which]
            index = np.where(renumbers[at], fixed + (line[at] + day[at] * 7919) % moving, line[at])
            lo[at] = pool.v4(index)
            hi[at] = np.where(v6[at], pool.v6(subscriber[at]), np.uint64(0))
        return hi, np.where(hi != 0, mix(who, day, self._salt), lo)

    def _nat(self, number: Ints, who: Words, time_ns: Ints, chance: Words) -> tuple[Words, Words]:
        lo = np.zeros(len(number), dtype=np.uint64)
        # An address is kept until the line reconnects: one to several days.
        period = 1 + below(mix(who, 3), 4)
        slot = (time_ns + below(mix(who, 4), DAY_NS)) // (period * DAY_NS)
        draw = unit(mix(who, slot, self._salt))
        for which, pool in enumerate(self.nats):
            at = number == which
            lo[at] = pool.v4(np.searchsorted(self._nat_weights[which], draw[at]).astype(np.int64))
        return np.zeros_like(lo), lo

    def _mobile(self, number: Ints, who: Words, time_ns: Ints, chance: Words) -> tuple[Words, Words]:
        normal = np.sqrt(-2 * np.log1p(-unit(mix(who, 6)))) * np.cos(2 * np.pi * unit(mix(who, 7)))
        period = (np.clip(40 * np.exp(1.1 * normal), 3, 480) * _MINUTE_NS).astype(np.int64)
        slot = (time_ns + below(mix(who, 8), DAY_NS)) // period
        drawn = mix(who, slot, self._salt)
        v6 = unit(mix(who, 9)) < MOBILE_V6
        hi = np.zeros(len(number), dtype=np.uint64)
        lo = np.zeros(len(number), dtype=np.uint64)
        for which, pool in enumerate(self.mobiles):
            at = number == which
            lo[at] = pool.v4(below(drawn[at], self._mobile_size[which]))
            # A new /64 with every attachment, out of some /48s of the region.
            prefix = np.uint64(pool.prefix << 32) | (drawn[at] & np.uint64(0x3FFFFF))
            hi[at] = np.where(v6[at], prefix, np.uint64(0))
        return hi, np.where(v6, mix(drawn, who), lo)

    def _site(self, number: Ints, who: Words, time_ns: Ints, chance: Words) -> tuple[Words, Words]:
        first, count, hops = (self.sites[column][number] for column in range(3))
        # Egress gateways keep a client on one address for some hours.
        kept = mix(who, (time_ns + below(mix(who, 2), DAY_NS)) // (DAY_NS // 4), number)
        row = first + below(np.where(hops, chance, kept), count)
        return self.egress[0][row], self.egress[1][row]

    def _exit_of_vpn(self, number: Ints, who: Words, time_ns: Ints, chance: Words) -> tuple[Words, Words]:
        site = np.array(self.vpns)[number]
        first, count = self.sites[0][site], self.sites[1][site]
        # Three favourite locations; a session of some hours keeps its exit.
        favourite = below(mix(who, time_ns // (DAY_NS // 8), 1), 3)
        row = first + below(mix(who, favourite, number), count)
        return self.egress[0][row], self.egress[1][row]

    def _function(self, number: Ints, who: Words, time_ns: Ints, chance: Words) -> tuple[Words, Words]:
        lo = np.zeros(len(number), dtype=np.uint64)
        # A customer has some containers at a time, each living a quarter of an hour or so.
        container = mix(who, below(chance, 3), time_ns // (15 * _MINUTE_NS))
        for which, pool in enumerate(self.clouds):
            at = number == which
            lo[at] = pool.v4(below(container[at], pool.size))
        return np.zeros_like(lo), lo

    def _fresh(self, number: Ints, who: Words, time_ns: Ints, chance: Words) -> tuple[Words, Words]:
        # A hoster's whole /32, and a /64 of it that was never used before.
        prefix = np.uint64(self.hosters[0].prefix << 32)
        return prefix | (mix(chance, who) & np.uint64(0xFFFFFFFF)), mix(chance, 14)

    def _proxied(self, number: Ints, who: Words, time_ns: Ints, chance: Words) -> tuple[Words, Words]:
        place = np.zeros(len(number), dtype=np.int64)
        where = np.zeros(len(number), dtype=np.int64)
        device = np.zeros(len(number), dtype=np.uint64)
        for which in np.unique(number).tolist():
            at = number == which
            proxy = self.proxies[which]
            if proxy.sticky_ns:
                session = (time_ns[at] + below(mix(who[at], 11), proxy.sticky_ns)) // proxy.sticky_ns
                drawn = mix(who[at], session, which)
            else:
                drawn = chance[at]
            chosen = below(drawn, len(proxy.place))
            place[at], where[at] = proxy.place[chosen], proxy.number[chosen]
            device[at] = mix(chosen, which, 13)
        return self.addresses(place, where, device, time_ns, mix(chance, 12))

    _LOOKUPS = (_home, _nat, _mobile, _site, _exit_of_vpn, _function, _proxied, _fresh)


def shares(*columns: Floats) -> Floats:
    """Return cumulative shares by row, so that a random number picks a column."""
    table = np.stack(columns, axis=1)
    found: Floats = np.cumsum(table, axis=1) / table.sum(axis=1, keepdims=True)
    return found
