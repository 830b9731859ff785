"""The client's address when declared proxies stand in between.

Theory of operation. Each proxy appends the address it was reached from, so only the right end of
the list was written by a known proxy. The walk starts at the peer and goes left for as long as the
hop that spoke is declared. The first undeclared address is the client. Everything left of it may be
the client's own invention and is not read. An undeclared peer's header is not read at all.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from ratelimit.core.request.networks import Networks
from ratelimit.core.request.scanner import Translations
from ratelimit.identity.address import UNDECLARED, Address, Name, forms, parse_address

MOST_HOPS = 32
"""A chain of more declared proxies than this stops being followed."""

LONGEST_CHAIN = 4096
"""Only this many bytes, counted from the right, are read: ours are at the right end."""

_MAPPED_PREFIX = 96

# A proxy may quote what a client chose (`host="…"`): a semicolon in there parts nothing.
_PAIR = re.compile(r'[ \t]*([^\s=;,"]+)=("(?:[^"\\]|\\.)*"|[^;"]*)(?:;|$)')


class AddressRanges:
    """A set of networks; membership costs one binary search.

    An IPv4 address that was carried in an IPv6 address is in a network that either of them is in.
    """

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, networks: Iterable[str | IPv4Network | IPv6Network]) -> None:
        spans: dict[int, list[tuple[int, int]]] = {32: [], 128: []}
        for written in networks:
            network = ip_network(written, strict=False) if isinstance(written, str) else written
            width = 32 if network.version == 4 else 128
            first = int(network.network_address)
            last = first | (1 << width - network.prefixlen) - 1
            # Addresses are kept unmapped, so a mapped network has to be as well.
            if width == 128 and network.prefixlen >= _MAPPED_PREFIX and first >> 32 == 0xFFFF:
                width, first, last = 32, first & 0xFFFF_FFFF, last & 0xFFFF_FFFF
            spans[width].append((first, last))
        self._firsts: dict[int, list[int]] = {}
        self._lasts: dict[int, list[int]] = {}
        for width, unsorted in spans.items():
            merged = _merge(sorted(unsorted))
            self._firsts[width] = [first for first, _ in merged]
            self._lasts[width] = [last for _, last in merged]

    def __contains__(self, address: Address | Name) -> bool:
        if isinstance(address, Name):
            return False
        return any(self._holds(width, bits) for width, bits in forms(address))

    def _holds(self, width: int, bits: int) -> bool:
        at = bisect_right(self._firsts[width], bits) - 1
        return at >= 0 and bits <= self._lasts[width][at]

    def __bool__(self) -> bool:
        return any(self._firsts.values())

    def spans(self) -> Iterator[tuple[int, int, int]]:
        """Yield width, first and last of each run of addresses."""
        for width, firsts in self._firsts.items():
            for first, last in zip(firsts, self._lasts[width], strict=True):
                yield width, first, last


def numbered(named: Sequence[tuple[AddressRanges, int]], *, fields: Collection[int]) -> Networks:
    """Return the numbers of networks, for one look-up in compiled code.

    Args:
        named: ranges, and the number of each. Where several have an address, it has the number of each
            field from the first that says something there.
        fields: the masks of a number's fields.
    """
    edges: dict[int, list[tuple[int, int, int]]] = {32: [], 128: []}
    for place, (ranges, _) in enumerate(named):
        for width, first, last in ranges.spans():
            edges[width] += (first, place, 1), (last + 1, place, -1)
    steps: dict[tuple[int, int], int] = {}
    for width, changes in edges.items():
        open_in = [0] * len(named)
        for first, place, change in sorted(changes):
            open_in[place] += change
            number = 0
            for at, count in enumerate(open_in):
                for field in fields:
                    if count and not number & field:
                        number |= named[at][1] & field
            if first >> width == 0:
                steps[width, first] = number
    return Networks([(width, first, number) for (width, first), number in steps.items()], fields=fields)


def _merge(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in spans:
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


class ProxyChain:
    """The declared proxies, and how they name the client.

    Args:
        networks: CIDR ranges of declared proxies.
        header: "x-forwarded-for" or "forwarded".
        trusts_unaddressed: whether a peer without an address (a Unix socket) is a declared proxy.
        translations: reads the addresses that proxies name.
    """

    __slots__ = ("_hops", "_ranges", "_translations", "header", "trusts_unaddressed")

    def __init__(
        self,
        networks: Iterable[str | IPv4Network | IPv6Network],
        *,
        header: str,
        trusts_unaddressed: bool = False,
        translations: Translations = UNDECLARED,
    ) -> None:
        self._translations = translations
        self._ranges = AddressRanges(networks)
        self._hops = _forwarded_hops if header == "forwarded" else _listed_hops
        self.header = header.encode("ascii")
        self.trusts_unaddressed = trusts_unaddressed

    def __bool__(self) -> bool:
        return self.trusts_unaddressed or bool(self._ranges)

    def declares(self, peer: Address | Name | None) -> bool:
        """Return whether `peer` may speak for others."""
        return self.trusts_unaddressed if peer is None else peer in self._ranges

    def client(self, peer: Address | Name | None, lines: Sequence[bytes]) -> Address | Name | None:
        """Return the client: the first undeclared address from the right.

        Args:
            peer: the address that opened the connection; None when it has no address.
            lines: the header's lines in order of arrival.

        When a declared hop names nothing readable, the client is the last address
        that was: the peer's, or the hop's that named it.
        """
        known = peer
        if not lines or not self.declares(peer):
            return known
        chain = b",".join(lines)
        whole = len(chain) <= LONGEST_CHAIN
        for hop in self._hops(chain if whole else chain[-LONGEST_CHAIN:], whole):
            address = parse_address(hop, self._translations)
            if address is None:
                return known
            known = address
            if address not in self._ranges:
                return known
        return known


def _listed_hops(chain: bytes, whole: bool) -> list[str]:
    hops = chain.decode("latin-1").rsplit(",", MOST_HOPS)
    if len(hops) > MOST_HOPS or not whole:
        del hops[0]
    hops.reverse()
    return hops


def _forwarded_hops(chain: bytes, whole: bool) -> list[str]:
    """Return the `for` nodes of a Forwarded field (RFC 7239), rightmost first.

    Split from the right as well, quotes included. An unbalanced quote that the
    client sent must not swallow the element that a proxy appended after it.
    """
    elements: list[str] = []
    text = chain.decode("latin-1")
    end = len(text)
    quoted = False
    for at in range(len(text) - 1, -1, -1):
        mark = text[at]
        if mark == '"' and not _is_escaped(text, at):
            quoted = not quoted
        elif mark == "," and not quoted:
            elements.append(text[at + 1 : end])
            end = at
            if len(elements) == MOST_HOPS:
                break
    else:
        if whole:
            elements.append(text[:end])
    return [_forwarded_for(element) for element in elements]


def _is_escaped(text: str, at: int) -> bool:
    backslashes = 0
    while at - backslashes > 0 and text[at - backslashes - 1] == "\\":
        backslashes += 1
    return backslashes % 2 == 1


def _forwarded_for(element: str) -> str:
    """Return the one `for` node of an element, "" when it has none, two, or is malformed."""
    node = ""
    at = 0
    element = element.strip(" \t")
    while at < len(element):
        pair = _PAIR.match(element, at)
        if pair is None:
            return ""
        if pair[1].lower() == "for":
            if node:
                return ""
            node = pair[2]
        at = pair.end()
    return node
