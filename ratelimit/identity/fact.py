"""The source of one identity, and the rule for requests that lack it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from uuid import UUID

from ratelimit.facts.numbers import ABSENT as ABSENT
from ratelimit.facts.sources import BY_KIND

Missing = Literal["client", "shared", "skip", "refuse"]
"""What stands in for an identity that a request does not carry.

client: the client's address, in a namespace of its own, never equal to a real value;
shared: one value for all requests that lack it; skip: limits per this identity do not apply;
refuse: the request is refused where a limit needs the identity.
"""

REFUSED = -2
"""In place of an identity's hash: the policy insists on it and it is not there.

Also where a value is malformed and nothing stands in for it: not to be skipped, as the
application may well read it.
"""

MALFORMED = -3
"""In place of an identity's hash, where the deny list names values: one that cannot be compared with them."""

LONGEST_VALUE = 4096
"""A longer value is malformed: hashing it would let a client buy time with bytes."""

LONGEST_INTEGER_BITS = 3 * LONGEST_VALUE
"""An integer of more bits has nearly as many digits, and Python refuses to write out very long ones."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One identity's recipe.

    `sources` are tried in order, the first that is present wins. Each is the kind of a record
    of `facts.sources` and an argument, such as ("header", "x-api-key"), ("state", "user") or
    ("client", ""). The form of its value stands behind it where it is not the source's own:
    ("path", "id", "int"). `v4` and `v6` are prefix lengths of addresses.
    """

    name: str
    sources: tuple[tuple[str, ...], ...]
    missing: Missing = "client"
    v4: int = 32
    v6: int = 64

    @property
    def is_address(self) -> bool:
        """True if the value is an address and nothing else."""
        return BY_KIND[self.sources[0][0]].is_address


@dataclass(frozen=True, slots=True)
class Context:
    """The facts of a request besides its headers and its peer.

    `state` is what the application left: a mapping, or an object with attributes.
    `resolved` has, for each resolver that answered, hashes by the identity's position.
    `numbers` has, by position, what callers know of numbers for which they have no source.
    `is_live`: the state is a request's under way, so what is not in it may come too late.
    """

    params: Mapping[str, str] = field(default_factory=dict)
    state: object = field(default_factory=dict)
    resolved: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    numbers: Mapping[int, object] = field(default_factory=dict)
    is_live: bool = False


NO_CONTEXT = Context()


def live_context(params: Mapping[str, str], state: object) -> Context:
    """Return what is known of a request under way, besides its headers and its peer."""
    return Context(params, state, is_live=True)


class _Unreadable:
    """In place of a value that could not be read: it is there, and no identity."""


UNREADABLE: Final = _Unreadable()


def state_value(state: object, name: str) -> object:
    """Return what the application left under a name, None for nothing.

    A mapping is asked for the key. Any other object, such as Starlette's `State`, is asked
    for the attribute, and then for the key. `UNREADABLE` stands for a value that raises when it is
    read, as a property can: an application's fault there fails no request.
    """
    if type(state) is dict:
        return state.get(name)
    try:
        if not isinstance(state, Mapping):
            found: object = getattr(state, name, None)
            if found is not None or not hasattr(type(state), "__getitem__"):
                return found
        return state[name]  # type: ignore[index]
    except LookupError:
        return None
    except Exception:
        return UNREADABLE


def value_bytes(value: object) -> bytes | None:
    """Return the bytes that stand for an application's value, or None for no usable value.

    Text, bytes, integers and UUIDs are values. Other objects are not: their text may
    differ from one request to the next, which would give each request its own budget.
    Objects that only claim to be one of these, and raise when they are read, are not either.
    """
    try:
        found = _value_bytes(value)
    except Exception:
        return None
    return found if type(found) is bytes else None


def _value_bytes(value: object) -> bytes | None:
    if isinstance(value, str):
        # surrogateescape restores bytes that were never text; surrogatepass the rest.
        try:
            return value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogatepass")
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, UUID):
        return str(value).encode("ascii")
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= LONGEST_INTEGER_BITS:
        return b"%d" % value
    return None
