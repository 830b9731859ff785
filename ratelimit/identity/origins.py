"""The declared network of a client: infrastructure, a public list, an organisation, or none.

Looked up by the whole address, before any prefix is cut, so a range may be wider or
narrower than what counts as one identity. The answer stands in a row like an identity; the
correlator alone reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network

from ratelimit.core.request.networks import Networks
from ratelimit.identity.address import Address, Name, number_of
from ratelimit.identity.fact import ABSENT
from ratelimit.identity.proxies import AddressRanges, numbered

Network = IPv4Network | IPv6Network
_INFRASTRUCTURE, _PUBLIC, _ORGANISATION = 0x1, 0xE, 0xFFFF_FFFF_FFF0


class Origins:
    """The declared networks of one policy.

    Args:
        infrastructure: what unrelated people share.
        organisations: the networks of each organisation; those of two do not overlap.
        public: the ranges of each public list; where several have an address, the first does.
    """

    __slots__ = ("networks",)

    def __init__(
        self,
        infrastructure: Iterable[Network],
        organisations: Sequence[Iterable[Network]],
        public: Sequence[Iterable[Network]] = (),
    ) -> None:
        named = [
            *[(AddressRanges(each), 16 * number) for number, each in enumerate(organisations, 1)],
            *[(AddressRanges(each), 2 * number) for number, each in enumerate(public, 1)],
            (AddressRanges(infrastructure), 1),
        ]
        self.networks: Networks = numbered(named, fields=(_INFRASTRUCTURE, _PUBLIC, _ORGANISATION))
        """1 for infrastructure, plus twice the public list's number and 16 times the organisation's."""

    def of_address(self, address: Address | Name | None) -> int:
        """Return the number of a client's network, ABSENT for none of these."""
        return number_of(self.networks, address) or ABSENT
