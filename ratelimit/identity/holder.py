"""The network and the address that what a request holds of its worker counts for."""

from __future__ import annotations

from ratelimit.core.memory.hashing import Hasher
from ratelimit.identity.address import Address, Name

_NETWORK, _SUBSCRIBER = (24, 48), (32, 64)
"""Prefixes of IPv4 and IPv6. A subscriber is given a /64 at least, a tenant of servers often a /48."""
UNKNOWN = (0, 0)
"""Of all clients without an address together."""


def holder_of(client: Address | Name | None, hasher: Hasher) -> tuple[int, int]:
    """Return hashes of a client's network and of its address."""
    if client is None:
        return UNKNOWN
    network, subscriber = (client.prefix(*lengths) for lengths in (_NETWORK, _SUBSCRIBER))
    return hasher.tuple(b"holder", network), hasher.tuple(b"holder", subscriber)
