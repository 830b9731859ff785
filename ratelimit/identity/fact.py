"""Where one identity comes from, and what happens when it is not there."""

from __future__ import annotations

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
"""In place of an identity's hash: the policy insists on it and it is not there.

Also where a value is malformed and nothing stands in for it: not to be skipped, as the
application may well read it.
"""

MALFORMED = -3
"""In place of an identity's hash, where the deny list names values: one that cannot be compared with them."""

LONGEST_VALUE = 4096
"""A longer value is malformed: hashing it would let a client buy time with bytes."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One identity's recipe.

    `sources` are tried in order, the first that is present wins; each is a pair such
    as ("header", "x-api-key"), ("cookie", "sid"), ("path", "tenant"), ("state", "user"),
    ("resolver", "user") or ("client", ""), with the form of its value behind it where that
    is not the source's own: ("path", "id", "int"). `v4` and `v6` are prefix lengths of addresses.
    """

    name: str
    sources: tuple[tuple[str, ...], ...]
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

    `resolved` has, for each resolver that answered, hashes by the identity's position.
    """

    params: Mapping[str, str] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    resolved: Mapping[str, Mapping[int, int]] = field(default_factory=dict)


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
