"""An attack among honest customers, as a trace that any contender decides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.correlation.adversary.attack import Attack, Part
from benchmarks.correlation.months.book import A_REQUEST_USD, Book, home, v4
from benchmarks.correlation.numbers import START_NS, Ints, Words
from benchmarks.correlation.trace import Trace

CUSTOMERS, RESELLERS, RESOLD_TO, COUPONS, STUDENTS = 40, 6, 5, 4, 5
"""Customers with a card and a home each; resellers and customers of each; coupons and who has them."""
PHONES = 16
"""Networks of the carrier whose customers the phones are."""


@dataclass(frozen=True, slots=True)
class Span:
    """Days of a world: before the first measured one, from it on, and those at the end that count."""

    warm: int = 30
    days: int = 40
    measured: int = 30

    @property
    def from_day(self) -> int:
        """First day that counts; the attack's month begins."""
        return self.days - self.measured


MONTHS = Span()
SHORT = Span(0, 2, 1)
"""Two days: nothing that compounds shows."""


class Honest:
    """Those among whom an attack lives, and what can be stolen or bought of them."""

    def __init__(self, book: Book) -> None:
        self.cards = book.payers(CUSTOMERS)
        self.resellers = book.payers(RESELLERS)
        self.coupons = book.payers(COUPONS)
        self.homes = book.networks(CUSTOMERS)
        self.a_day = np.clip(100 * np.exp(1.5 * book.rng.standard_normal(CUSTOMERS)), 10, 20_000)
        for number, card in enumerate(self.cards):
            account = book.account("customers", card=card)
            _lives(book, account, self.a_day[number], self.homes + number, phone=number % 2 == 0)
            _paid(book, card, self.a_day[number])
        self.resold_a_day = np.clip(60 * np.exp(book.rng.standard_normal(RESELLERS * RESOLD_TO)), 10, 2000)
        for number, a_day in enumerate(self.resold_a_day):
            account = book.account("resold", card=self.resellers[number // RESOLD_TO])
            _lives(book, account, a_day, book.networks(), phone=True)
        for number, card in enumerate(self.resellers):
            _paid(book, card, self.resold_a_day[number * RESOLD_TO :][:RESOLD_TO].sum() * 20)
        for number in range(COUPONS * STUDENTS):
            account = book.account("students", sponsor=self.coupons[number // STUDENTS])
            _lives(book, account, 20.0, book.networks(), phone=True)


def _lives(book: Book, account: int, a_day: float, network: int, *, phone: bool) -> None:
    """Let an account ask at home and, some of the time, on the carrier's phones: once a day at least."""
    days = book.days - book.first_day
    times_ns = book.times(np.full(days, max(a_day, book.scale)), book.first_day)
    count = len(times_ns)
    out = (book.rng.random(count) < 0.2) & phone
    away = v4(77, book.rng.integers(0, PHONES, count), book.rng.integers(1, 255, count))
    book.asks(account, times_ns, np.zeros(count, np.uint64), np.where(out, away, home(81, network, 7)))


def _paid(book: Book, card: int, a_day: float) -> None:
    for day in range(book.first_day - 30, book.days):
        book.pays(card, day, a_day * A_REQUEST_USD)


def world(attack: Attack, *, scale: float = 1.0, seed: int = 1, span: Span = MONTHS) -> Trace:
    """Return the trace of an attack.

    Args:
        scale: by which all volumes are divided, as those of the policy are.
        seed: of honest customers, times and exits.
        span: how long it is.
    """
    book = Book(seed, scale=scale, warm_days=span.warm, days=span.days)
    honest = Honest(book)
    first: list[int] = []
    for at, part in enumerate(attack):
        first = _part(book, part, honest, first, span, at)
    return book.trace()


def _part(book: Book, part: Part, honest: Honest, first: list[int], span: Span, at: int) -> list[int]:
    """Put a part into the book; return the cards that later parts can share."""
    begin = max(book.first_day, span.from_day - part.waits)
    network = book.networks(4096)
    cards: list[int] = []
    for wave in range(part.waves):
        cards = cards if wave and part.pays != "cards" else _cards(book, part, honest, first)
        since = begin if not wave else span.from_day + wave * part.renewed
        until = min(span.days, span.from_day + (wave + 1) * part.renewed) if part.renewed else span.days
        if since >= until:
            continue
        if part.usd and part.pays in ("cards", "stolen"):
            _spends(book, part, cards, since, span, until)
        for number in range(part.accounts):
            payer = cards[number // part.per_card % len(cards)]
            sponsored = part.pays in ("coupon", "referrer")
            own = book.account(
                "attack",
                card=0 if sponsored else payer,
                sponsor=payer if sponsored else 0,
                created_day=book.first_day - 365 if part.aged else since,
                campaign=0,
            )
            a_day = np.full(until - since, part.a_day)
            if not wave and part.waits and not part.busy:
                a_day[: span.from_day - since] = 0.0
                a_day[0] = min(part.a_day, book.scale)
            times_ns = book.times(a_day, since)
            book.asks(own, times_ns, *_exits(part, number, network, len(times_ns), book, honest))
            if part.aged:
                _before(book, own, since)
    return first if at else cards


def _before(book: Book, account: int, until: int) -> None:
    """Let an account be an ordinary customer's until it is bought."""
    if until > book.first_day:
        times_ns = book.times(np.full(until - book.first_day, max(25.0, book.scale)), book.first_day)
        at = home(81, book.networks(), 7)
        book.asks(account, times_ns, np.zeros(len(times_ns), np.uint64), np.full(len(times_ns), at))


def _spends(book: Book, part: Part, cards: list[int], since: int, span: Span, until: int) -> None:
    """Let cards pay: for the month, and for the time before in which they were busy."""
    days = [float(max(since, span.from_day) - 0.01)]
    if part.busy and part.waits >= 30 and since < span.from_day:
        days.append(since - 0.01)
    for card in cards:
        for day in days:
            back = part.charged_back or part.pays == "stolen"
            book.pays(card, max(day, book.first_day), part.usd, charged_back=back and day == days[0])


def _cards(book: Book, part: Part, honest: Honest, first: list[int]) -> list[int]:
    if part.pays == "nobody":
        return [0]
    pool = {"reseller": honest.resellers, "stolen": honest.cards, "coupon": honest.coupons}.get(part.pays)
    if pool is not None:
        return pool[: part.cards]
    return first if part.pays == "cards" and part.shares_card and first else book.payers(part.cards)


def _exits(
    part: Part, number: int, network: int, count: int, book: Book, honest: Honest
) -> tuple[Words, Words]:
    """Return the addresses of one account's requests."""
    none, rng = np.zeros(count, np.uint64), book.rng
    if part.exits in ("prefix", "wide prefix"):
        begin = np.uint64(0x2A0F_0000_0000_0000 + (network << 16))
        return begin + rng.integers(0, 1 << (16 if part.exits == "prefix" else 24), count, np.uint64), none
    if part.exits == "address":
        return none, np.full(count, v4(185, network, 5))
    if part.exits == "pool":
        at = rng.integers(0, part.addresses, count)
        return none, v4(185, network + at // 64, 1 + at % 64)
    if part.exits == "homes":
        return none, np.full(count, home(79, network + number // part.addresses, 9))
    if part.exits == "victims' homes":
        network_of: Ints = honest.homes + np.full(count, number // part.per_card % CUSTOMERS)
        return none, home(81, network_of, 11)
    if part.exits in ("phones", "SIM cards"):
        return none, v4(77, rng.integers(0, PHONES, count), rng.integers(1, 255, count))
    return none, home(79, network + rng.integers(0, 2000, count), 1 + rng.integers(0, 3, count))


def begins_ns(span: Span) -> int:
    """Return when the month that counts begins."""
    return START_NS + span.from_day * 86_400 * 10**9
