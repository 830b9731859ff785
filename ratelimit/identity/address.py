"""Client addresses, compared by their bits and never by their spelling.

`192.0.2.1`, `192.0.2.1:443`, `::ffff:192.0.2.1` and `[::ffff:c000:201]:443` are
one address; `fe80::1%eth0` and `fe80::1` are one address. What a translator or a tunnel
makes of an IPv4 address is that IPv4 address. What cannot be read is `None`: the caller
then falls back to an address it has reason to believe.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple
from urllib.parse import unquote

from ratelimit.core.request.networks import Networks
from ratelimit.core.request.scanner import Translations

UNDECLARED = Translations()
"""Knows the prefixes that mean the same everywhere."""

LONGEST_TEXT = 100
"""More than any spelling of an address, brackets, zone and port included."""


class Address(NamedTuple):
    """An address as bits: `width` is 32 or 128."""

    width: int
    bits: int

    @property
    def octets(self) -> bytes:
        """The address in network order."""
        return self.bits.to_bytes(self.width // 8, "big")

    @property
    def carrier(self) -> bytes | None:
        """The octets of the address that this one was carried in, None for none."""
        return None

    def prefix(self, v4: int, v6: int) -> bytes:
        """Return the network this address is in, as bytes that differ between networks.

        The prefix length is part of them, so that a /24 never equals a /25.
        """
        length = v4 if self.width == 32 else v6
        masked = self.bits >> (self.width - length) << (self.width - length)
        return bytes((length,)) + masked.to_bytes(self.width // 8, "big")

    def __str__(self) -> str:
        return str(IPv4Address(self.bits) if self.width == 32 else IPv6Address(self.bits))


class Translated(Address):
    """An IPv4 address that an IPv6 address carries. Equal to the IPv4 address; `written` is the other."""

    written: Address

    @property
    def carrier(self) -> bytes:
        """The octets of the address that this one was carried in."""
        return self.written.octets


def forms(address: Address) -> Iterator[Address]:
    """Yield an address, and if it was carried in another that one: ranges may name either."""
    yield address
    if isinstance(address, Translated):
        yield address.written


def number_of(networks: Networks, address: Address | Name | None) -> int:
    """Return the number that some networks have for a client; 0 for none, and for what is no address."""
    if address is None or isinstance(address, Name):
        return 0
    return networks.number(address.width, address.octets, address.carrier)


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


def parse_peer(text: str | None, translations: Translations = UNDECLARED) -> Address | Name | None:
    """Return the peer a server names: an address, a name, or None for no or too long a text."""
    if not text or len(text) > LONGEST_TEXT:
        return None
    return parse_address(text, translations) or Name(text)


def parse_address(text: str, translations: Translations = UNDECLARED) -> Address | None:
    """Return the address that `text` spells, or None when it spells none: see `Translations.read`."""
    found = translations.read_address(text)
    if found is None:
        return None
    width, bits, written = found
    if written is None:
        return Address(width, bits)
    translated = Translated(width, bits)
    translated.written = Address(128, written)
    return translated


def peer_host(peer: str) -> str | None:
    """Return the address in what gRPC calls a peer: `ipv4:192.0.2.7:443`, `ipv6:%5B::1%5D:443`, `unix:…`."""
    family, _, place = peer.partition(":")
    if family not in {"ipv4", "ipv6"}:
        return None
    return unquote(place).rpartition(":")[0].strip("[]") or None
