"""Where one identity comes from, and what happens when it is not there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

Missing = Literal["client", "shared", "skip", "refuse"]
"""What stands in for an identity that a request does not carry.

client: the client's address, in a namespace of its own, never equal to a real value;
shared: one value for all who lack it; skip: limits per this identity do not apply;
refuse: the request is refused where a limit needs the identity.
"""

ABSENT = -1
"""In place of an identity's hash: limits per this identity do not apply."""

REFUSED = -2
"""In place of an identity's hash: the policy insists on it and it is not there."""

LONGEST_VALUE = 4096
"""A longer value counts as missing: hashing it would let a client buy time with bytes."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One identity's recipe.

    `sources` are tried in order, the first that is present wins; each is a pair such
    as ("header", "x-api-key"), ("cookie", "sid"), ("path", "tenant"), ("state", "user"),
    ("resolver", "user") or ("client", ""). `v4` and `v6` are prefix lengths of addresses.
    """

    name: str
    sources: tuple[tuple[str, str], ...]
    missing: Missing = "client"
    v4: int = 32
    v6: int = 64

    @property
    def is_address(self) -> bool:
        """Whether the value is an address and nothing else."""
        return self.sources[0][0] == "client"


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of a request besides its headers and its peer.

    `resolved` has, for each resolver that answered, hashes by the identity's position. `created` is when
    the account was created, for callers that know it and have no source for it.
    """

    params: Mapping[str, str] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    resolved: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    created: object = None


NO_CONTEXT = Context()


def value_bytes(value: object) -> bytes | None:
    """Return the bytes that stand for an application's value, or None for no usable value.

    Text, bytes, integers and UUIDs are values. Other objects are not: their text may
    differ from one request to the next, which would give each request its own budget.
    """
    if isinstance(value, str):
        # surrogateescape restores bytes that were never text; surrogatepass the rest.
        try:
            return value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogatepass")
    if isinstance(value, bytes):
        return value
    if isinstance(value, (int, UUID)) and not isinstance(value, bool):
        return str(value).encode("ascii")
    return None


MOST_SECONDS = 2**32 - 1
"""A later instant (in 2106) is no number of seconds: these are milliseconds, perhaps."""
_DIGITS = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)


def seconds_of(value: object) -> int | None:
    """Return an instant as whole seconds since 1970; 0 where it is none, None where it cannot be one.

    Numbers are seconds, and so is their text; fractions are cut. Garbage must make no account older, or
    younger: it counts as not known.
    """
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        text = value.strip()
        if not _DIGITS.fullmatch(text):
            return None if text else 0
        value = int(text.partition(".")[0])
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None if value is not None else 0
    if not 0 <= value <= MOST_SECONDS:  # NaN compares false
        return None
    return int(value)


def credential_bytes(value: bytes) -> bytes:
    """Return an Authorization value with its scheme lower-cased and one space after it.

    Applications read the scheme without regard to case (RFC 9110, 11.1); a limiter
    that does not hands a fresh budget to each of `Bearer k`, `bearer k` and `BEARER  k`.
    """
    scheme, _, rest = value.strip(b" \t").partition(b" ")
    return scheme.lower() + b" " + rest.strip(b" \t")
