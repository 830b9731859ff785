"""Tenants without a paying account: programs that fill networks and rarely appear elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator

from ratelimit.core.clusters.pools import Pools
from ratelimit.core.clusters.programs import degree, pairs

TENANTS = 6
"""Accounts of one program in one network that fill it."""
TELLING = 0.5
"""Part of a program's accounts in such networks: one found everywhere says nothing of an account."""
AT_ONCE = 128
"""Pairs looked at in one slice."""
SLICE = 256
"""Principals in one slice: it makes objects of them."""
TABLES = 64
"""Pairs are counted in so many tables: one of all would hold the event loop each time that it grows."""


def telling_programs(
    pools: Pools, ranges: Callable[[int, int], Iterator[tuple[int, int]]]
) -> Generator[None, None, list[int]]:
    """Return the positions of such programs; yield between slices."""
    tables: list[Counter[int]] = [Counter() for _ in range(TABLES)]
    for start, stop in ranges(pools.evidence.awake_count, SLICE):
        some: list[list[int]] = [[] for _ in tables]
        for pair in pairs(pools, start, stop):
            some[(pair >> 32) % TABLES].append(pair)
        for table, found in zip(tables, some, strict=True):
            table.update(found)
        yield
    crowded: Counter[int] = Counter()
    while tables:
        table = tables.pop()
        while table:
            # Taken apart bit by bit: to forget it all at once takes long, too.
            for _ in range(min(AT_ONCE, len(table))):
                pair, count = table.popitem()
                if count >= TENANTS:
                    crowded[pair & 0xFFFFFFFF] += count
            yield
    telling = []
    while crowded:
        for _ in range(min(AT_ONCE, len(crowded))):
            at, count = crowded.popitem()
            if count >= TELLING * degree(pools, at):
                telling.append(at)
        yield
    return sorted(telling)
