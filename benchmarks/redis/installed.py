"""The installed peers, and whether they count right: timing a wrong one would mean nothing."""

from __future__ import annotations

from benchmarks.hosted import Hosted
from benchmarks.redis.asking import FEW, Exact
from benchmarks.redis.contenders import BARE, PEERS
from tests.support.redis.server import Server


def installed(server: Server, modes: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return the peers that can be imported, and the names of those that cannot.

    Raises:
        AssertionError: some contender, or a mode of this library, does not admit exactly its quota.
    """
    found: list[str] = []
    absent: list[str] = []
    for name in (*modes, BARE, *PEERS):
        for limits in (1, 3):
            server.client.flushall()
            try:
                with Hosted(Exact, name, server.url, limits) as host:
                    admitted = host.ask("admitted")
            except ImportError:
                absent.append(name)
                break
            if admitted != FEW:
                raise AssertionError(f"{name} admits {admitted} of {FEW} with {limits} limits")
        else:
            found.append(name)
    server.client.flushall()
    return [name for name in found if name in PEERS], absent
