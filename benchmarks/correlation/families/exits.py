"""Exits of a world: one table of addresses, in segments; legs say which account is on which of them when.

Theory of operation. A home, an office, a carrier's pool and a proxy network differ in three
numbers only: their addresses, how long one is kept, and how many of them one customer ever
sees. So there is one law. The exit of a request is a hash of the key (the account, its card,
its tenant) and of the time slot, within a segment of the table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.correlation.addresses import Pool, Space
from benchmarks.correlation.numbers import DAY_NS, HOUR_NS, Floats, Ints, Words, below, generator, mix, unit

LEGS = 4
"""An account has at most so many: at home, on the way, at work, elsewhere."""
EACH_REQUEST = 0
RENUMBERING = 1 / 3
HOME_V6, MOBILE_V6, EXIT_V6 = 0.5, 0.5, 0.2
"""Shares that speak IPv6: of homes, of phones' addresses, of exits in homes without an ordinary account."""
_ISPS = np.array([0.34, 0.22, 0.16, 0.1, 0.08, 0.06, 0.04])
_CARRIERS = np.array([0.4, 0.3, 0.2, 0.1])


@dataclass(frozen=True, slots=True)
class Legs:
    """Where some accounts are, one row an account.

    Args:
        segment, key: what the exit is hashed from.
        sticky_ns: how long it is kept; 0: another one each request.
        breadth: how many exits one key ever sees; 0: all of the segment.
        share: the part of the time.
    """

    segment: Ints
    key: Words
    sticky_ns: Ints
    breadth: Ints
    share: Floats


class Exits:
    """The networks of one world.

    Args:
        seed: all follows from it.
        accounts: about how many ordinary accounts they are for.
    """

    def __init__(self, seed: int, accounts: int) -> None:
        self._rng = generator(seed, "families", "exits")
        self._salt = int(self._rng.integers(1 << 62))
        self._space = Space(self._rng)
        self._hi: list[Words] = []
        self._lo: list[Words] = []
        self._rows = 0
        self._first: list[int] = []
        self._count: list[int] = []
        self._isps = [self._pool(max(12, int(accounts * share / 3))) for share in _ISPS]
        self._moving = [
            self._lines(pool, max(60, int(accounts * share / 3)))
            for pool, share in zip(self._isps, _ISPS, strict=True)
        ]
        self._business = self._pool(max(40, accounts // 12))
        self._carriers = [self._phones(max(120, int(accounts * share / 10))) for share in _CARRIERS]
        self._nats = [self._dense(max(4, accounts // 1000)) for _ in range(3)]
        self.homes = np.zeros(0, dtype=np.int64)
        """Rows of the table that are ordinary people's homes: what proxies in homes use as well."""

    def _pool(self, blocks: int, *, dense: bool = False) -> Pool:
        return Pool(self._space.blocks(blocks, 0.6 if dense else 0.2), self._space.prefix(), dense)

    def add(self, hi: Words, lo: Words) -> Ints:
        """Return the rows of some new addresses."""
        self._hi.append(np.asarray(hi, dtype=np.uint64))
        self._lo.append(np.asarray(lo, dtype=np.uint64))
        self._rows += len(lo)
        return np.arange(self._rows - len(lo), self._rows, dtype=np.int64)

    def segment(self, hi: Words, lo: Words) -> int:
        """Return a new segment of these addresses."""
        return int(self._segments(self.add(hi, lo)[:1], np.array([len(lo)]))[0])

    def _segments(self, first: Ints, count: Ints) -> Ints:
        begin = len(self._first)
        self._first += first.tolist()
        self._count += count.tolist()
        return np.arange(begin, len(self._first), dtype=np.int64)

    def _lines(self, pool: Pool, count: int) -> int:
        index = self._rng.integers(pool.size, size=count)
        return self.segment(np.zeros(count, dtype=np.uint64), pool.v4(index))

    def _phones(self, count: int) -> int:
        pool = self._pool(max(4, count // 200), dense=True)
        v6 = self._rng.random(count) < MOBILE_V6
        prefix = np.uint64(pool.prefix << 32) | self._rng.integers(1 << 22, size=count).astype(np.uint64)
        lo = pool.v4(self._rng.permutation(pool.size)[:count] if count <= pool.size else np.arange(count))
        return self.segment(np.where(v6, prefix, np.uint64(0)), lo)

    def _dense(self, count: int) -> int:
        pool = self._pool(max(1, -(-count // 200)), dense=True)
        chosen = np.sort(self._rng.choice(pool.size, size=count, replace=False))
        return self.segment(np.zeros(count, dtype=np.uint64), pool.v4(chosen))

    # What a leg may be: each returns one segment for each row asked for.

    def home(self, count: int, *, people: bool = False) -> tuple[Ints, Ints]:
        """Return a home each, as (segment, sticky): an address kept for good, or another every day."""
        isp = self._rng.choice(len(_ISPS), size=count, p=_ISPS)
        hi = np.zeros(count, dtype=np.uint64)
        lo = np.zeros(count, dtype=np.uint64)
        v6 = self._rng.random(count) < HOME_V6
        for which, pool in enumerate(self._isps):
            at = isp == which
            lo[at] = pool.v4(self._rng.integers(pool.size, size=int(at.sum())))
            hi[at] = pool.v6(self._rng.integers(1 << 22, size=int(at.sum())))
        rows = self.add(np.where(v6, hi, np.uint64(0)), lo)
        if people:
            self.homes = np.concatenate([self.homes, rows])
        own = self._segments(rows, np.ones(count, dtype=np.int64))
        moves = ~v6 & (self._rng.random(count) < RENUMBERING)
        return np.where(moves, np.array(self._moving)[isp], own), np.where(moves, DAY_NS, HOUR_NS)

    def phone(self, count: int) -> tuple[Ints, Ints]:
        """Return a carrier each, and how long a phone keeps an address."""
        carrier = self._rng.choice(len(_CARRIERS), size=count, p=_CARRIERS)
        kept = np.clip(40 * np.exp(1.1 * self._rng.standard_normal(count)), 3, 480) * 60e9
        return np.array(self._carriers)[carrier], kept.astype(np.int64)

    def nat(self, count: int) -> tuple[Ints, Ints]:
        """Return an address each that a carrier's many subscribers have, for one to four days."""
        which = self._rng.integers(len(self._nats), size=count)
        return np.array(self._nats)[which], self._rng.integers(1, 5, size=count) * DAY_NS

    def global_leader(self, exits: int) -> int:
        """Return a segment of fixed addresses, in a business provider's range."""
        begin = self._rng.integers(self._business.size)
        index = (begin + np.arange(exits) * len(self._business.blocks)) % self._business.size
        hi = np.zeros(exits, dtype=np.uint64)
        if self._rng.random() < 0.25:
            hi[:] = self._business.v6(self._rng.integers(1 << 22, size=1))[0]
        return self.segment(hi, self._business.v4(index))

    def hosted(self, exits: int, blocks: int = 0) -> int:
        """Return a segment of addresses of a hoster of its own, in so many /24s (0: as few as go)."""
        pool = self._pool(max(blocks, -(-exits // 180)), dense=not blocks)
        chosen = np.sort(self._rng.choice(pool.size, size=exits, replace=False))
        return self.segment(np.zeros(exits, dtype=np.uint64), pool.v4(chosen))

    def residential(self, exits: int, shared: float, isps: int = 0) -> int:
        """Return a segment of other people's homes.

        Args:
            shared: the part of them in which ordinary accounts live as well; of these
                accounts' homes at most one in twelve is an exit, however small the world.
            isps: over so many of the providers (0: all).
        """
        ours = self._rng.random(exits) < min(shared, len(self.homes) / 12 / exits)
        hi, lo = self._table()
        row = self._rng.choice(self.homes, size=exits) if len(self.homes) else np.zeros(exits, dtype=np.int64)
        used = np.arange(len(_ISPS)) if not isps else self._rng.choice(len(_ISPS), size=isps, replace=False)
        isp = self._rng.choice(used, size=exits, p=_ISPS[used] / _ISPS[used].sum())
        fresh, prefix = np.zeros(exits, dtype=np.uint64), np.zeros(exits, dtype=np.uint64)
        for which in used.tolist():
            at = isp == which
            pool = self._isps[which]
            fresh[at] = pool.v4(self._rng.integers(pool.size, size=int(at.sum())))
            prefix[at] = pool.v6(self._rng.integers(1 << 22, size=int(at.sum())))
        prefix[self._rng.random(exits) >= EXIT_V6] = 0
        return self.segment(np.where(ours, hi[row], prefix), np.where(ours, lo[row], fresh))

    def prefix(self, exits: int, length: int) -> int:
        """Return a segment of IPv6 /64s, all in one prefix of this length (32 to 48)."""
        base = np.uint64(self._space.prefix() << 32)
        fixed = self._rng.integers(1 << 32) >> (64 - length) << (64 - length)
        inside = self._rng.integers(1 << (64 - length), size=exits)
        return self.segment(
            base | (np.uint64(fixed) | inside.astype(np.uint64)),
            self._rng.integers(1 << 62, size=exits).astype(np.uint64),
        )

    def rows_of(self, segment: Ints) -> tuple[Words, Words]:
        """Return the first address of some segments: what a decoy touches."""
        hi, lo = self._table()
        row = np.array(self._first)[segment]
        return hi[row], lo[row]

    def carriers(self) -> Ints:
        """Return the segments of all carriers' pools."""
        return np.array(self._carriers)

    def addresses(self, legs: list[Legs], account: Ints, time_ns: Ints, nth: Ints) -> tuple[Words, Words]:
        """Return the address of each request.

        Args:
            legs: of all accounts, their first ones, second ones, ... in this order.
            account, time_ns: of each request.
            nth: a number that tells requests apart.
        """
        share = np.cumsum(np.stack([leg.share for leg in legs], axis=1), axis=1)
        # An account's place changes every few hours, and not with every request.
        spell = (time_ns + below(mix(account, 51), 3 * HOUR_NS)) // (3 * HOUR_NS)
        drawn = unit(mix(account, spell, self._salt)) * share[account, -1]
        leg = np.minimum((drawn[:, None] >= share[account]).sum(axis=1), len(legs) - 1)
        segment, key, sticky, breadth = (
            np.stack([getattr(one, name) for one in legs], axis=1)[account, leg]
            for name in ("segment", "key", "sticky_ns", "breadth")
        )
        kept = np.maximum(sticky, 1)
        slot = np.where(sticky > 0, (time_ns + below(mix(key, 52), kept)) // kept, nth)
        slot = np.where(breadth > 0, below(mix(key, slot, 53), np.maximum(breadth, 1)), slot)
        count = np.array(self._count)[segment]
        row = np.array(self._first)[segment] + below(mix(key, slot, segment, self._salt), count)
        hi, lo = self._table()
        found, rest = hi[row], lo[row]
        # A device has another interface identifier every day.
        own = mix(account, time_ns // DAY_NS, self._salt)
        return found, np.where(found != 0, own, rest)

    def _table(self) -> tuple[Words, Words]:
        self._hi, self._lo = [np.concatenate(self._hi)], [np.concatenate(self._lo)]
        return self._hi[0], self._lo[0]
