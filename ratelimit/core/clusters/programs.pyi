"""Programs in networks where no account pays: there a program stands for the payment method."""

from collections.abc import Collection

from ratelimit.core.clusters.pools import Pools

def pairs(pools: Pools, start: int, stop: int, /) -> list[int]:
    """Return where each principal of a range is with which program: place << 32 | program, each once.

    Places are of the kind that was looked at last (`Pools.begin_round`).
    """

def degree(pools: Pools, at: int, /) -> int:
    """Return how many principals an identifier has.

    Raises:
        IndexError: there was no such identifier at the beginning.
    """

def add_suspects(pools: Pools, positions: Collection[int], /) -> int:
    """Put identifiers in question beside those that `Pools.find_suspects` did; return how many."""
