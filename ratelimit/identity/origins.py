"""The declared network of a client: infrastructure, a public list, an organisation, or none.

Looked up by the whole address, before any prefix is cut, so a range may be wider or
narrower than what counts as one identity. The answer stands in a row like an identity; the
correlator alone reads it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network

from ratelimit.identity.address import Address, Name, forms
from ratelimit.identity.fact import ABSENT
from ratelimit.identity.proxies import AddressRanges

Network = IPv4Network | IPv6Network


class Origins:
    """The declared networks of one policy.

    Args:
        infrastructure: what unrelated people share.
        organisations: the networks of each organisation; those of two do not overlap.
        public: the ranges of each public list; where several have an address, the first does.
    """

    __slots__ = ("_firsts", "_infrastructure", "_public", "_spans")

    def __init__(
        self,
        infrastructure: Iterable[Network],
        organisations: Sequence[Iterable[Network]],
        public: Sequence[Iterable[Network]] = (),
    ) -> None:
        self._public = [AddressRanges(networks) for networks in public]
        self._infrastructure = AddressRanges(infrastructure)
        spans: dict[int, list[tuple[int, int, int]]] = {32: [], 128: []}
        for number, networks in enumerate(organisations, 1):
            # Merged first: ranges of one organisation may lie in each other, and then the outer one counts.
            for width, first, last in AddressRanges(networks).spans():
                spans[width].append((first, last, number))
        self._spans = {width: sorted(listed) for width, listed in spans.items()}
        self._firsts = {width: [span[0] for span in listed] for width, listed in self._spans.items()}

    def of_address(self, address: Address | Name | None) -> int:
        """Return 1 for infrastructure, plus twice the public list's number and 16 times the organisation's.

        ABSENT for none of these.
        """
        if address is None or isinstance(address, Name):
            return ABSENT
        found = int(address in self._infrastructure)
        found += 2 * next((number for number, listed in enumerate(self._public, 1) if address in listed), 0)
        for width, bits in forms(address):
            at = bisect_right(self._firsts[width], bits) - 1
            if at >= 0 and bits <= self._spans[width][at][1]:
                return found + 16 * self._spans[width][at][2]
        return found or ABSENT
