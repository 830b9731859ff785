"""Twins of attacks: honest customers of whom a limiter sees the same, and what refusing costs them.

Each pair has the rule that would end the attack, of the reference model. `facts` reads of a trace what a
limiter sees of the attack and of its twin, so that it can be checked that these are alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.correlation.adversary.world import MONTHS, Honest
from benchmarks.correlation.months.book import A_REQUEST_USD, Book, home, v4
from benchmarks.correlation.numbers import DAY_NS, START_NS, Ints, Words
from benchmarks.correlation.trace import Trace

NAME = "twin"
PHONES = 16
_MONTH = range(MONTHS.from_day, MONTHS.days)


@dataclass(frozen=True, slots=True)
class Pair:
    """An attack and its twin.

    Args:
        attack: one of `attacks.ATTACKS`.
        twin: who it is.
        rule: what would end the attack, as fields of `Rules`.
        lives: puts the twin into a book.
    """

    attack: str
    twin: str
    rule: str
    lives: Callable[[Book, Honest], None]


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts that a limiter sees of some accounts in the month that counts; medians.

    Args:
        paid: dollars that the payer had cleared in 30 days; None: no payer.
        known: the share of requests by accounts that this payer had for a month.
        a_day: requests of an account on a day.
        at_one: accounts that were seen at one of their addresses.
        payers: payers that were seen in one of their networks.
    """

    paid: float | None
    known: float
    a_day: float
    at_one: float
    payers: float

    def words(self) -> str:
        """Return them in a line."""
        payer = "no payer" if self.paid is None else f"payer with ${self.paid:,.0f}"
        return (
            f"{payer}; {100 * self.known:.0f} % by accounts of a month; {self.a_day:,.0f} a day an account; "
            f"{self.at_one:.0f} accounts per address; {self.payers:.0f} payers a network"
        )


def facts(trace: Trace, mine: np.ndarray, scale: float) -> Facts:
    """Return what is seen of the requests `mine` of a trace."""
    late = mine & (trace.time_ns >= START_NS + MONTHS.from_day * DAY_NS)
    paid = trace.paid_cents[late & (trace.payment > 0)]
    first = np.full(trace.accounts, np.iinfo(np.int64).max)
    np.minimum.at(first, trace.account, trace.time_ns)
    known = trace.time_ns[late] - first[trace.account[late]] >= 30 * DAY_NS
    known |= first[trace.account[late]] < START_NS - 20 * DAY_NS
    keys = trace.account[late].astype(np.int64) * 1000 + (trace.time_ns[late] - START_NS) // DAY_NS
    _, a_day = np.unique(keys, return_counts=True)
    return Facts(
        float(np.median(paid)) / 100 if len(paid) else None,
        float(known.mean()),
        float(np.median(a_day)) * scale,
        _seen(trace.ip, trace.account, trace.ip[late]),
        _seen(trace.network, trace.payment, trace.network[late], but=0),
    )


def _seen(where: np.ndarray, who: np.ndarray, at: np.ndarray, but: int = -1) -> float:
    """Return how many others, in the middle, were seen where some were."""
    counts = who != but
    pairs = np.unique(np.stack([where[counts].astype(np.int64), who[counts].astype(np.int64)]), axis=1)
    place, many = np.unique(pairs[0], return_counts=True)
    if not len(place):
        return 0.0
    found = np.minimum(np.searchsorted(place, at), len(place) - 1)
    return float(np.median(np.where(place[found] == at, many[found], 0)))


def world(pair: Pair, *, scale: float, seed: int) -> Trace:
    """Return the trace of a twin, among the customers of the adversary's worlds."""
    book = Book(seed, scale=scale, warm_days=MONTHS.warm, days=MONTHS.days)
    pair.lives(book, Honest(book))
    return book.trace()


def _asks(
    book: Book, account: int, a_day: float, days: range, at: Callable[[int], tuple[Words, Words]]
) -> None:
    times_ns: Ints = book.times(np.full(len(days), a_day), days.start)
    book.asks(account, times_ns, *at(len(times_ns)))


def _at(lo: Words) -> Callable[[int], tuple[Words, Words]]:
    return lambda count: (np.zeros(count, np.uint64), np.full(count, lo, np.uint64))


def _launches(book: Book, honest: Honest) -> None:
    """A reseller's customer of old puts its application on a server, and has success."""
    account = book.account(NAME, card=honest.resellers[0])
    _asks(book, account, 25.0, range(book.first_day, MONTHS.from_day), _at(home(81, book.networks(), 7)))
    _asks(book, account, 60_000.0, _MONTH, _at(v4(185, book.networks(), 5)))


def _replaces(book: Book, honest: Honest, devices: int = 20) -> None:
    """A company gives its drivers other devices, with an account each, on the carrier of the old ones."""
    card, a_day = book.payers()[0], 3000.0

    def phones(count: int) -> tuple[Words, Words]:
        at = v4(77, book.rng.integers(0, PHONES, count), book.rng.integers(1, 255, count))
        return np.zeros(count, np.uint64), at

    for number in range(20):
        _asks(book, book.account("before", card=card), a_day, range(book.first_day, MONTHS.from_day), phones)
        if number < devices:
            account = book.account(NAME, card=card, created_day=MONTHS.from_day)
            _asks(book, account, 20 * a_day / devices, _MONTH, phones)
    for day in range(book.first_day - 30, book.days):
        book.pays(card, day, 20 * a_day * A_REQUEST_USD)


def _shares(book: Book, honest: Honest) -> None:
    """The same company's drivers share the new devices: each asks as much as an account of the attack."""
    _replaces(book, honest, 7)


def _starts(book: Book, honest: Honest) -> None:
    """Ten customers come, pay ten dollars each, and use what these open."""
    for card in book.payers(10):
        account = book.account(NAME, card=card, created_day=MONTHS.from_day)
        _asks(book, account, 5500.0, _MONTH, _at(home(82, book.networks(), 7)))
        book.pays(card, MONTHS.from_day - 0.01, 10.0)


def _rooms(book: Book, every: int) -> None:
    for _ in range(20):
        room = _at(home(83, book.networks(), 9))
        for begin in range(MONTHS.from_day, MONTHS.days, every):
            for _ in range(9):
                account = book.account(NAME, created_day=begin)
                _asks(book, account, 240.0, range(begin, min(begin + every, MONTHS.days)), room)


def _trains(book: Book, honest: Honest) -> None:
    """A course in twenty rooms: nine people in each try the service for a month."""
    _rooms(book, 30)


def _trains_others(book: Book, honest: Honest) -> None:
    """The same rooms have another class each three days."""
    _rooms(book, 3)


PAIRS = (
    Pair(
        "a bought account of a reseller's customer",
        "a reseller's customer that launches",
        "share=0.025",
        _launches,
    ),
    Pair(
        "accounts at a reseller, on SIM cards",
        "a company whose drivers get other devices",
        "crowded=16",
        _replaces,
    ),
    Pair(
        "accounts at a reseller, on SIM cards",
        "a company whose drivers share new devices",
        "record=3000",
        _shares,
    ),
    Pair("ten cards that pay $10, taken back", "ten customers that begin with $10", "young_usd=5", _starts),
    Pair("nine free accounts a home", "a course in twenty rooms", "network=1500", _trains),
    Pair(
        "free accounts, renewed each three days",
        "another class each three days",
        "network=1500",
        _trains_others,
    ),
)
