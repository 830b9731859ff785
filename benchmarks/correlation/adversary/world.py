"""An attack among a few honest customers, as a trace that any contender decides."""

from __future__ import annotations

import numpy as np

from benchmarks.correlation.adversary.attack import Attack, Part
from benchmarks.correlation.numbers import DAY_NS, HOUR_NS, START_NS, Ints, Words, generator
from benchmarks.correlation.trace import Events, Trace, Truth, collect, joined

LEAD_H, LASTS_H, MEASURED_H = 4, 48, 24
"""Hours until it begins, until it ends, and at its end those that are measured."""
CUSTOMERS, RESOLD_TO = 80, 30
"""Honest accounts with a card and a home each, and those on a reseller's card."""
RESELLERS_CARD = 1
YEAR_NS = 365 * DAY_NS


class Buying:
    """Numbers for what is bought, and for what is there."""

    def __init__(self, scale: float, seed: int) -> None:
        self.rng = generator(seed, "adversary", "world")
        self.scale = scale
        self.events: list[Events] = []
        self.cards: list[int] = []
        self.created: list[int] = []
        self.hostile: list[bool] = []
        self.next_card = RESELLERS_CARD + 1
        self.networks = 0

    def account(self, card: int, created_ns: int, *, hostile: bool) -> int:
        """Open an account; return its number."""
        self.cards.append(card)
        self.created.append(created_ns)
        self.hostile.append(hostile)
        return len(self.cards) - 1

    def new_cards(self, count: int) -> list[int]:
        """Return cards that nobody used before."""
        found = list(range(self.next_card, self.next_card + count))
        self.next_card += count
        return found

    def ask(self, account: int, times_ns: Ints, hi: Words, lo: Words) -> None:
        """Note requests of one account."""
        count = len(times_ns)
        small = np.full(count, 200, dtype=np.uint32)
        own, nothing = np.full(count, account, dtype=np.uint32), np.zeros(count, dtype=np.uint32)
        self.events.append(Events(times_ns, own, hi, lo, nothing, small, small))


def address(first: int, networks: Ints | int, host: Ints | int) -> Words:
    """Return IPv4 addresses in the /24s of a first byte."""
    return np.asarray(first << 24 | np.asarray(networks) << 8 | np.asarray(host), dtype=np.uint64)


def world(attack: Attack, *, scale: float = 1.0, seed: int = 1) -> Trace:
    """Return the trace of an attack.

    Args:
        scale: by which all volumes are divided, as those of the policy are.
        seed: of honest customers, times and exits.
    """
    buying = Buying(scale, seed)
    customers = _customers(buying)
    begin_ns = START_NS + LEAD_H * HOUR_NS
    first_cards: list[int] = []
    for at, part in enumerate(attack):
        cards = _cards(part, buying, customers, first_cards)
        if at == 0:
            first_cards = cards
        network = buying.networks
        buying.networks += 4096
        for number in range(part.accounts):
            created_ns = START_NS - YEAR_NS if part.aged else begin_ns
            own = buying.account(cards[number // part.per_card % len(cards)], created_ns, hostile=True)
            count = int(buying.rng.poisson(part.a_day / scale * LASTS_H / 24))
            times_ns = begin_ns + (buying.rng.random(count) * LASTS_H * HOUR_NS).astype(np.int64)
            buying.ask(own, times_ns, *_exits(part, number, network, count, buying.rng))
    hostile = np.array(buying.hostile)
    count = len(hostile)
    truth = Truth(
        np.where(hostile, 0, np.arange(count) + 1),
        hostile.astype(np.int32),
        np.where(hostile, 0, -1).astype(np.int32),
        np.zeros(count, np.int32),
        np.zeros(count, bool),
        ("customers", "attack"),
    )
    return collect(
        joined(buying.events),
        np.array(buying.cards, dtype=np.uint32),
        ["program"],
        truth,
        starts_ns={0: begin_ns},
        end_ns=begin_ns + LASTS_H * HOUR_NS,
        created_ns=np.array(buying.created),
    )


def _customers(buying: Buying) -> list[int]:
    """Put honest customers into the world; return the cards of those with one of their own."""
    cards = buying.new_cards(CUSTOMERS)
    for number in range(CUSTOMERS + RESOLD_TO):
        card = cards[number] if number < CUSTOMERS else RESELLERS_CARD
        own = buying.account(card, START_NS - YEAR_NS, hostile=False)
        times_ns = START_NS + (buying.rng.random(12) * (LEAD_H + LASTS_H) * HOUR_NS).astype(np.int64)
        buying.ask(own, times_ns, np.zeros(12, np.uint64), np.full(12, address(81, number, 7)))
    return cards


def _cards(part: Part, buying: Buying, customers: list[int], first: list[int]) -> list[int]:
    if part.pays == "nobody":
        return [0]
    if part.pays == "reseller":
        return [RESELLERS_CARD]
    if part.pays == "stolen":
        return [customers[number % len(customers)] for number in range(part.cards)]
    return first if part.shares_card and first else buying.new_cards(part.cards)


def _exits(
    part: Part, number: int, network: int, count: int, rng: np.random.Generator
) -> tuple[Words, Words]:
    """Return the addresses of one account's requests."""
    none = np.zeros(count, np.uint64)
    if part.exits == "prefix":
        begin = np.uint64(0x2A0F_0000_0000_0000 + (network << 16))
        return begin + rng.integers(0, 65536, count, np.uint64), none
    if part.exits == "address":
        return none, np.full(count, address(185, network, 5))
    if part.exits == "pool":
        at = rng.integers(0, part.addresses, count)
        return none, address(185, network + at // 64, 1 + at % 64)
    if part.exits == "homes":
        return none, np.full(count, address(79, network + number, 9))
    if part.exits == "phones":
        return none, address(77, rng.integers(0, 16, count), rng.integers(1, 255, count))
    return none, address(79, network + rng.integers(0, 2000, count), 1 + rng.integers(0, 3, count))
