"""The memory of a correlator's core, as plain records: read out of its image, for tests alone."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from ratelimit.core.clusters.image import Image
from ratelimit.correlation import Correlator

FINE, COARSE, PAYMENT, CLIENT, EXTRA, BLOCK = 0, 1, 2, 3, 4, 7
ADDRESSES, METHODS, CLIENTS = slice(0, 9), slice(9, 11), slice(11, 13)
EXTRAS_AT = 13
TICK_S = 600

_ACCOUNT = struct.Struct("<QIIIIfIHBB")
_EDGE = struct.Struct("<IHBB")
_IDENTIFIER = struct.Struct("<IHHHHHH")
_VALUE = struct.Struct("<QIII")
_INDEX = (1 << 22) - 1


@dataclass
class Edge:
    """An account was seen with an identifier.

    Args:
        to: the identifier's position.
        seen: the tick (ten minutes) of the latest time.
        visits: hours in which it was.
        span: hours from the first time to the latest.
    """

    to: int
    seen: int
    visits: int
    span: int
    at_home: bool = False


@dataclass
class Identifier:
    """An address, a network, a block, a payment method, a client, or a value of a further family."""

    kind: int
    parent: int | None
    label: int
    infrastructure: bool
    payers: list[int]
    """Of an address the payment methods seen there last."""


@dataclass
class Account:
    """What is remembered of an account. `edges` are by place; None where there is none."""

    key: int
    first_s: int
    last_s: int
    created_s: int
    requests: int
    volume: float
    hours: int
    label: int
    verdict: int
    edges: list[Edge | None] = field(default_factory=list)


@dataclass
class Memory:
    """All of it. Seconds are since a day before the correlator's beginning."""

    now_s: int
    epoch_s: int
    accounts: list[Account]
    """By position; those that are awake first."""
    awake: int
    identifiers: list[Identifier]


def remembered(one: Correlator) -> Memory:
    """Return what a correlator remembers now."""
    image = Image(one.core)
    numbers = image.numbers()
    sizes = [image.shape(region)[0] for region in range(3)]
    assert (_IDENTIFIER.size, _VALUE.size) == (sizes[1], sizes[2]), "the core's records have another shape"
    raw = [image.read_items(region, 0, image.shape(region)[1]) for region in range(3)]
    rows = list(_IDENTIFIER.iter_unpack(raw[1]))
    values = list(_VALUE.iter_unpack(raw[2]))

    def resolve(ref: int) -> int | None:
        at = (ref & _INDEX) - 1
        return at if ref and rows[at][1] >> 3 & 0x3FF == ref >> 22 else None

    identifiers = []
    for (parent, meta, _degree, label, _mine, _others, _settled), (_key, _last, *payers) in zip(
        rows, values, strict=True
    ):
        # Of a payment method these two words are counts, and lead nowhere.
        refs = [] if meta & 7 == PAYMENT else payers
        there = [found for payer in refs if (found := resolve(payer)) is not None]
        identifiers.append(Identifier(meta & 7, resolve(parent), label, bool(meta >> 13 & 1), there))
    accounts = []
    for start in range(0, len(raw[0]), sizes[0]):
        key, first_s, last_s, created_s, requests, volume, hours, label, verdict, _traits = (
            _ACCOUNT.unpack_from(raw[0], start)
        )
        account = Account(key, first_s, last_s, created_s, requests, volume, hours & 0xFFFFFF, label, verdict)
        for at in range(start + _ACCOUNT.size, start + sizes[0], _EDGE.size):
            ref, seen, visits, span = _EDGE.unpack_from(raw[0], at)
            to = resolve(ref)
            edge = None if to is None else Edge(to, seen, visits & 0x7F, span, bool(visits & 0x80))
            account.edges.append(edge)
        accounts.append(account)
    return Memory(numbers["now_s"], numbers["epoch_s"], accounts, numbers["awake"], identifiers)
