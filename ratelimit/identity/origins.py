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
        self._public = _resolved([AddressRanges(networks).spans() for networks in public])
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
        for width, bits in forms(address):
            begins, numbers = self._public[width]
            at = bisect_right(begins, bits) - 1
            if at >= 0 and numbers[at]:
                found += 2 * numbers[at]
                break
        for width, bits in forms(address):
            at = bisect_right(self._firsts[width], bits) - 1
            if at >= 0 and bits <= self._spans[width][at][1]:
                return found + 16 * self._spans[width][at][2]
        return found or ABSENT


def _resolved(
    lists: Sequence[Iterable[tuple[int, int, int]]],
) -> dict[int, tuple[list[int], list[int]]]:
    """Return by width where the list that has addresses changes, and its number from there on; 0: none has.

    One look-up tells which it is, however many lists there are.
    """
    edges: dict[int, list[tuple[int, int, int]]] = {32: [], 128: []}
    for number, spans in enumerate(lists, 1):
        for width, first, last in spans:
            edges[width] += (first, number, 1), (last + 1, number, -1)
    found = {}
    for width, changes in edges.items():
        open_in = [0] * (len(lists) + 1)
        begins: list[int] = []
        numbers: list[int] = []
        for place, number, change in sorted(changes):
            open_in[number] += change
            first = next((one for one, count in enumerate(open_in) if count), 0)
            if begins and begins[-1] == place:
                numbers[-1] = first
            else:
                begins.append(place)
                numbers.append(first)
        found[width] = begins, numbers
    return found
