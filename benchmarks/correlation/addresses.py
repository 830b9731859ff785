"""Addresses: blocks that providers own, and the tables in which traces keep them.

An address is two 64-bit words. IPv4 has zero in the upper one, so the pair says
which it is, and the keys by prefix of the two versions never meet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.correlation.numbers import Ints, Words, mix

# First octets that no registry keeps for anything special.
_OCTETS = [*range(20, 100), *range(101, 127), *range(128, 169), *range(173, 192), *range(199, 223)]


class Space:
    """Hands out address blocks; no two providers get the same one."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._wide = rng.permutation([octet << 8 | second for octet in _OCTETS for second in range(256)])
        self._taken = 0
        self._v6 = rng.permutation(1 << 16)
        self._v6_taken = 0

    def blocks(self, count: int, density: float = 0.25) -> Ints:
        """Return `count` /24s of one provider, in as few /16s as this density allows."""
        wide = max(1, int(np.ceil(count / (256 * density))))
        bases = self._wide[self._taken : self._taken + wide].astype(np.int64)
        self._taken += wide
        every = (bases[:, None] * 256 + np.arange(256)).ravel()
        return np.sort(self._rng.choice(every, size=count, replace=False))

    def prefix(self) -> int:
        """Return the first 32 bits of one provider's IPv6 range."""
        self._v6_taken += 1
        return 0x2A000000 | int(self._v6[self._v6_taken - 1])


@dataclass(frozen=True, slots=True)
class Pool:
    """The /24s of a provider and its IPv6 /32.

    Args:
        blocks: the /24s, as the address shifted by eight.
        prefix: the first 32 bits of its IPv6 addresses.
        dense: neighbours in number are neighbours in address; otherwise they are strewn.
    """

    blocks: Ints
    prefix: int
    dense: bool = False

    @property
    def size(self) -> int:
        """How many IPv4 addresses it has for customers."""
        return 254 * len(self.blocks)

    def v4(self, index: Ints) -> Words:
        """Return the lower words of the addresses of this number."""
        count = len(self.blocks)
        block, host = (
            (index // 254 % count, index % 254) if self.dense else (index % count, index // count % 254)
        )
        return ((self.blocks[block] << 8) + 1 + host).astype(np.uint64)

    def v6(self, subscriber: Ints) -> Words:
        """Return the upper words (the /64) of these subscribers: each has a /56, 256 share a /48."""
        return ((np.int64(self.prefix) << 32) | (subscriber << 8)).astype(np.uint64)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Distinct addresses: what the index column of a trace points into."""

    hi: Words
    lo: Words

    def __len__(self) -> int:
        return len(self.lo)

    @property
    def is_v6(self) -> NDArray[np.bool_]:
        """Which of them are IPv6."""
        return np.not_equal(self.hi, 0)

    @property
    def ip64(self) -> Words:
        """A key each: the whole IPv4 address, the /64 of an IPv6 one."""
        return np.where(self.hi != 0, self.hi, self.lo)

    @property
    def network(self) -> Words:
        """A key each: the /24 of an IPv4 address, the /48 of an IPv6 one."""
        return np.where(self.hi != 0, self.hi >> np.uint64(16), self.lo >> np.uint64(8))

    def texts(self) -> list[str]:
        """Return them as people write them (zeros of IPv6 are not shortened)."""
        return [
            f"{lo >> 24}.{lo >> 16 & 255}.{lo >> 8 & 255}.{lo & 255}"
            if not hi
            else ":".join(f"{word >> shift & 0xFFFF:x}" for word in (hi, lo) for shift in (48, 32, 16, 0))
            for hi, lo in zip(self.hi.tolist(), self.lo.tolist(), strict=True)
        ]


def tabulate(hi: Words, lo: Words) -> tuple[Addresses, NDArray[np.uint32]]:
    """Return the distinct addresses of two columns, and where each row's is among them."""
    _, first, index = np.unique(mix(hi, lo), return_index=True, return_inverse=True)
    return Addresses(hi[first], lo[first]), index.astype(np.uint32)
