"""The price of growth by one's own unpaid history, month by month, and the harm of less growth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.correlation.families.price import ACCOUNT, PAYMENT_METHOD
from benchmarks.correlation.months import harm, honest
from benchmarks.correlation.months.allowance import Allowance
from benchmarks.correlation.months.book import Book, v4
from benchmarks.correlation.months.harm import Refused
from benchmarks.correlation.months.rules import Rules
from benchmarks.correlation.numbers import DAY_NS
from benchmarks.correlation.trace import Trace

FACTORS = (2.0, 3.0, 5.0, 10.0)
MONTHS = 6
MONTH_DAYS = 30
MOST_A_DAY = 500_000.0
CLASSES = ("steady", "3 x in a day", "10 x in a week", "30 x on launch day")


@dataclass(frozen=True, slots=True)
class Growth:
    """The price and the harm of one factor.

    Args:
        factor: by which a best day grows.
        budgets: of one card that uses all it may, by month.
        harm: to those that grow, where a month is imported and payments are not known.
    """

    factor: float
    budgets: tuple[float, ...]
    harm: dict[str, Refused]

    @property
    def prices(self) -> tuple[float, ...]:
        """Dollars a budget, by month: a card and an account are bought for each."""
        return tuple((PAYMENT_METHOD + ACCOUNT) / max(budgets, 1e-9) for budgets in self.budgets)


def grown(rules: Rules, scale: float = 300, months: int = MONTHS) -> tuple[float, ...]:
    """Return the budgets, by month, of one card that asks for more than it ever gets."""
    days = MONTH_DAYS * months
    book = Book(1, scale=scale, warm_days=0, days=days)
    account = book.account("grows", card=book.payers()[0], created_day=0, campaign=0)
    times_ns = book.times(np.full(days, MOST_A_DAY), 0)
    count = len(times_ns)
    book.asks(account, times_ns, np.zeros(count, np.uint64), np.full(count, v4(185, 1, 5)))
    trace = book.trace().with_paid(None)
    alone = replace(rules, account=0, network=0)
    month = (trace.time_ns - trace.time_ns[0]) // (MONTH_DAYS * DAY_NS)
    used = np.bincount(month, weights=Allowance(alone, scale, by_day=True).decided(trace), minlength=months)
    return tuple((used[:months] * scale / rules.rate / MONTH_DAYS).tolist())


def customers(seed: int, scale: float) -> Trace:
    """Return those whom growth is for, with the month before, as where payments are not known."""
    book = Book(seed, scale=scale)
    honest.put(book, [group for group in honest.CROWDS if group.name in CLASSES])
    return book.trace().with_paid(None)


def growths(rules: Rules, seed: int, scale: float, factors: Sequence[float] = FACTORS) -> Iterator[Growth]:
    """Yield what comes of each factor."""
    crowd = customers(seed, scale)
    for factor in factors:
        by = replace(rules, growth=factor, reads_paid=False)
        model = Allowance(by, scale, by_day=True, imported_until=0.0)
        yield Growth(factor, grown(by), harm.of(crowd, model))
