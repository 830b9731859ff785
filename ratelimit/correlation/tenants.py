"""Seeds where nobody pays: networks that one client fills from many addresses, and no one else uses so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ratelimit.core.judge import Judge

TELLING = 0.5
"""Part of those with a client who have to be in such networks, for it to tell its users apart."""
AT_ONCE = 128
"""Pairs looked at in one slice."""
TABLES = 16
"""Pairs are counted in so many tables: one of all would hold the event loop each time that it grows."""
_CLIENT = 0xFFFFFFFF


def mark_tenants(core: Judge, ranges: Sequence[tuple[int, int]], least: int) -> Iterator[None]:
    """Mark the principals of each such client, for groups to be taken from; yield between slices.

    Args:
        core: evidence, and where principals are marked.
        ranges: of those awake, one a slice.
        least: principals with one client in one network, from many addresses.
    """
    tables: list[Counter[int]] = [Counter() for _ in range(TABLES)]
    for start, stop in ranges:
        pairs: list[list[int]] = [[] for _ in tables]
        for _, network, client in core.pairs(start, stop):
            pairs[network % TABLES].append(network << 32 | client)
        for table, some in zip(tables, pairs, strict=True):
            table.update(some)
        yield
    crowded: dict[int, int] = {}
    for table in tables:
        while table:
            # Taken apart bit by bit: to forget it all at once takes long, too.
            for _ in range(min(AT_ONCE, len(table))):
                pair, count = table.popitem()
                if count >= least:
                    crowded[pair] = count
            yield
    of_client: Counter[int] = Counter()
    for pair, count in crowded.items():
        of_client[pair & _CLIENT] += count
    # A client found everywhere says nothing of those who use it here.
    telling = {client for client, count in of_client.items() if count >= TELLING * core.degree(client)}
    yield
    roots = {client: client for client in telling}
    by_network: dict[int, int] = {}
    for number, pair in enumerate(crowded):
        client = pair & _CLIENT
        if client in telling:
            other = by_network.setdefault(pair >> 32, client)
            low, high = sorted((_root(roots, client), _root(roots, other)))
            roots[high] = low
        if number % AT_ONCE == 0:
            yield
    numbers = {client: 1 + number for number, client in enumerate(sorted(telling))}
    for start, stop in ranges:
        groups: dict[int, list[int]] = {}
        for at, network, client in core.pairs(start, stop):
            if client in telling and network << 32 | client in crowded:
                groups.setdefault(client, []).append(at)
        for client, positions in groups.items():
            core.mark_group(positions, numbers[_root(roots, client)])
        yield
    core.plant()


def _root(roots: dict[int, int], at: int) -> int:
    while roots[at] != at:
        at = roots[at]
    return at
