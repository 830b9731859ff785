"""Identities as they are shown: short hashes, or raw values if the operator asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ratelimit.identity.address import parse_address
from ratelimit.identity.fact import ABSENT, MALFORMED, REFUSED
from ratelimit.policy.compile.compiled import IdentitySpec

if TYPE_CHECKING:
    from ratelimit.lab.records import RecordFacts


def short_hash(value: int) -> str:
    """Return enough of a hash to tell identities of one run apart."""
    if value == ABSENT:
        return "absent"
    if value == REFUSED:
        return "missing"
    if value == MALFORMED:
        return "malformed"
    return f"{value:016x}"[:8]


def given(spec: IdentitySpec, record: Any, facts: RecordFacts) -> str | None:
    """Return an identity as the record gives it, None where it does not."""
    own = facts.values(record).get(spec.name)
    value = own if own is not None else facts.sourced(spec, record)
    if value is None:
        return None
    if spec.is_address:
        address = parse_address(value)
        if address is not None:
            return network(address.width, address.bits, spec)
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in value[:80])


def network(width: int, bits: int, spec: IdentitySpec) -> str:
    """Return an address, or the network that counts as one identity."""
    from ipaddress import IPv4Network, IPv6Network

    if width == 32:
        v4 = IPv4Network((bits, spec.v4_prefix), strict=False)
        return str(v4.network_address) if spec.v4_prefix == 32 else str(v4)
    v6 = IPv6Network((bits, spec.v6_prefix), strict=False)
    return str(v6.network_address) if spec.v6_prefix == 128 else str(v6)
