"""The source of one identity, and the rule for requests that lack it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from math import isfinite
from typing import Final, Literal
from uuid import UUID

Missing = Literal["client", "shared", "skip", "refuse"]
"""What stands in for an identity that a request does not carry.

client: the client's address, in a namespace of its own, never equal to a real value;
shared: one value for all requests that lack it; skip: limits per this identity do not apply;
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

LONGEST_INTEGER_BITS = 3 * LONGEST_VALUE
"""An integer of more bits has nearly as many digits, and Python refuses to write out very long ones."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One identity's recipe.

    `sources` are tried in order, the first that is present wins. Each is a pair such
    as ("header", "x-api-key"), ("cookie", "sid"), ("path", "tenant"), ("state", "user"),
    ("resolver", "user") or ("client", ""). The form of its value stands behind it where
    it is not the source's own: ("path", "id", "int"). `v4` and `v6` are prefix lengths of addresses.
    """

    name: str
    sources: tuple[tuple[str, ...], ...]
    missing: Missing = "client"
    v4: int = 32
    v6: int = 64

    @property
    def is_address(self) -> bool:
        """True if the value is an address and nothing else."""
        return self.sources[0][0] == "client"


@dataclass(frozen=True, slots=True)
class Context:
    """The facts of a request besides its headers and its peer.

    `state` is what the application left: a mapping, or an object with attributes.
    `resolved` has, for each resolver that answered, hashes by the identity's position.
    `created` is when the account was created, for callers that know it and have no source for it.
    `paid` is the same of what its payer has paid, `amounts` of a customer's own numbers, by position.
    `is_live`: the state is a request's under way, so what is not in it may come too late.
    """

    params: Mapping[str, str] = field(default_factory=dict)
    state: object = field(default_factory=dict)
    resolved: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    created: object = None
    paid: object = None
    amounts: Mapping[int, object] = field(default_factory=dict)
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


MOST_PAID = 10**15
"""Millionths of a dollar: what is more, counts as so much."""
_AMOUNT = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{0,20})?([eE][+-]?[0-9]{1,2})?", re.ASCII)


def micros_of(value: object) -> int | None:
    """Return an amount of dollars as whole millionths; ABSENT for none, None for what cannot be one.

    Numbers are dollars, and so is their text. Less than nothing is nothing: more was taken back than paid.
    What is no number opens nothing, and closes nothing: it counts as not known.
    """
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        text = value.strip(" \t")
        if not _AMOUNT.fullmatch(text):
            return None if text else ABSENT
        value = float(text)
    if isinstance(value, int) and not isinstance(value, bool):
        return min(max(0, value) * 1_000_000, MOST_PAID)
    if not isinstance(value, (float, Decimal)):
        return None if value is not None else ABSENT
    try:
        dollars = float(value)
    except (ValueError, OverflowError):  # a signalling NaN
        return None
    if not isfinite(dollars):
        return None
    # In this order: the compiled readers round as often.
    return 0 if dollars <= 0 else MOST_PAID if dollars >= 1e9 else int(dollars * 1e6 + 0.5)


MOST_UNITS = 2**53
"""Units of a customer's own number: what is more, counts as so much."""


def units_of(value: object) -> int | None:
    """Return a number of units as a whole number; ABSENT for none, None for what cannot be one.

    Fractions are cut, and less than nothing is nothing. Text is read as its number.
    """
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        text = value.strip(" \t")
        if not _AMOUNT.fullmatch(text):
            return None if text else ABSENT
        value = Decimal(text)
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None if value is not None else ABSENT
    try:
        return min(max(0, int(value)), MOST_UNITS)
    except (ValueError, OverflowError):  # NaN, infinity
        return None
