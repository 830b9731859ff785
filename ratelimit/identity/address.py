"""Client addresses, compared by their bits and never by their spelling.

`192.0.2.1`, `192.0.2.1:443`, `::ffff:192.0.2.1` and `[::ffff:c000:201]:443` are
one address; `fe80::1%eth0` and `fe80::1` are one address. What cannot be read is
`None`: the caller then falls back to an address it has reason to believe.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from ratelimit.core.scan import address_bits

LONGEST_TEXT = 100
"""More than any spelling of an address, brackets, zone and port included."""


class Address(NamedTuple):
    """An address as bits: `width` is 32 or 128."""

    width: int
    bits: int

    def prefix(self, v4: int, v6: int) -> bytes:
        """Return the network this address is in, as bytes that differ between networks.

        The prefix length is part of them, so that a /24 never equals a /25.
        """
        length = v4 if self.width == 32 else v6
        masked = self.bits >> (self.width - length) << (self.width - length)
        return bytes((length,)) + masked.to_bytes(self.width // 8, "big")

    def __str__(self) -> str:
        return str(IPv4Address(self.bits) if self.width == 32 else IPv6Address(self.bits))


class Name(NamedTuple):
    """A peer that a server or a log gives as something else than an address.

    It comes from the server, never from the client: `testclient` of Starlette's test
    client, or a host name in a log. It is its own network and in no declared range.
    """

    text: str

    def prefix(self, v4: int, v6: int) -> bytes:
        """Return bytes that no address has, prefixes notwithstanding."""
        return b"\xff" + self.text.encode("utf-8", "surrogatepass")

    def __str__(self) -> str:
        return self.text


def parse_peer(text: str | None) -> Address | Name | None:
    """Return the peer a server names: an address, a name, or None for no or too long a text."""
    if not text or len(text) > LONGEST_TEXT:
        return None
    return parse_address(text) or Name(text)


def parse_address(text: str) -> Address | None:
    """Return the address that `text` spells, or None when it spells none.

    Accepts a port, brackets, a zone, surrounding blanks and double quotes (as in
    `Forwarded`). An IPv4-mapped IPv6 address is the IPv4 address. Leading zeros
    in IPv4, which some parsers take for octal, are refused.
    """
    found = address_bits(text)
    return None if found is None else Address(*found)
