"""Customers of a long world: steady ones, growing ones, shared payers, organisations that come in one day.

The spread of volumes and how they vary from day to day are those of 116 recorded API clients (ServeGen,
Apache-2.0; github.com/alibaba/ServeGen): the logarithm of their requests a day has a deviation of 2.8. Of
clients with two weeks on record the coefficient of variation from day to day is 0.08, 0.58 and 2.4 at the
tenth, the fiftieth and the ninetieth place of a hundred. Nothing of the recording is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmarks.correlation.months.book import A_REQUEST_USD, Book, home, v4
from benchmarks.correlation.numbers import DAY_NS, START_NS, Ints, Words

Kind = Literal["established", "grows", "new"]
Place = Literal["home", "office", "phones", "cloud"]
SPREAD, LEAST_A_DAY, MOST_A_DAY = 2.8, 10.0, 30_000.0
VARIES, VARIES_SPREAD = 0.58, 1.33
"""Coefficient of variation from day to day: median, and deviation of its logarithm."""
BUSIEST = 25.0
"""The busiest day by the median one, at the ninety-fifth place of a hundred."""
COMES_DAY = 10
"""When new ones come, and others begin to grow."""
CARRIERS, CLOUD = 16, 400
"""Networks of the phones' carrier, and of a cloud that many use."""
_WEEK = np.array((1.1, 1.1, 1.1, 1.1, 1.0, 0.8, 0.8))


@dataclass(frozen=True, slots=True)
class Crowd:
    """Customers of one class.

    Args:
        name, kind: what they are, and whether they are known.
        payers: how many.
        accounts: of each payer.
        a_day: requests of one payer on a middling day.
        spread: deviation of the logarithm of it among payers.
        varies: whether days differ as those of recorded clients do; else by an eighth.
        by: who pays.
        at: where they are, with the share of the time.
        joins: the part of the accounts that comes in the measured days.
        shape: by how much each day differs, from the one on which they come or grow.
        prepaid: days that are paid for in advance.
        leaves: the day on which the card is given up for another.
        every: days between two on which anything is asked.
    """

    name: str
    kind: Kind
    payers: int = 1
    accounts: int = 1
    a_day: float = 300.0
    spread: float = 0.0
    varies: bool = False
    by: Literal["card", "sponsor", "nobody"] = "card"
    at: tuple[tuple[Place, float], ...] = (("home", 1.0),)
    joins: float = 0.0
    shape: tuple[float, ...] = (1.0,)
    prepaid: float = 0.0
    leaves: int = 0
    every: int = 1


def _launch(times: float) -> tuple[float, ...]:
    return (times, times * 0.7, times * 0.5, times * 0.4, times / 3)


_AT_WORK: tuple[tuple[Place, float], ...] = (("office", 0.7), ("home", 0.3))
_OUT: tuple[tuple[Place, float], ...] = (("home", 0.8), ("phones", 0.2))

ESTABLISHED = (
    Crowd("steady", "established", payers=60, spread=SPREAD, varies=True, at=_OUT),
    Crowd(
        "aggregators", "established", payers=2, a_day=60_000, spread=0.3, varies=True, at=(("cloud", 1.0),)
    ),
    Crowd("gateways with one key", "established", payers=6, a_day=3500, spread=0.5, at=(("office", 1.0),)),
    Crowd("resellers", "established", payers=3, accounts=120, a_day=7000, at=_OUT, joins=0.3),
    Crowd("a large reseller", "established", accounts=600, a_day=30_000, at=_OUT, joins=0.3),
    Crowd("companies on one card", "established", payers=4, accounts=60, a_day=3000, at=_AT_WORK, joins=0.15),
    Crowd("remote companies", "established", payers=4, accounts=60, a_day=3000, at=_OUT, joins=0.15),
    Crowd(
        "keys of one customer",
        "established",
        payers=3,
        accounts=20,
        a_day=5000,
        at=(("cloud", 1.0),),
        joins=0.5,
    ),
    Crowd("courses", "established", payers=3, accounts=50, a_day=1500, by="sponsor", at=_OUT, joins=0.5),
    Crowd("a batch a month", "established", payers=3, a_day=20_000, at=(("cloud", 1.0),), every=29),
    Crowd("cards that expire", "established", payers=8, a_day=3000, spread=1.5, leaves=15),
)
GROWERS = (
    Crowd("3 x in a day", "grows", payers=20, spread=SPREAD, at=_OUT, shape=(3.0,)),
    Crowd(
        "10 x in a week",
        "grows",
        payers=20,
        spread=SPREAD,
        at=_OUT,
        shape=tuple(10 ** (day / 7) for day in range(1, 8)),
    ),
    Crowd("30 x on launch day", "grows", payers=20, spread=SPREAD, at=_OUT, shape=_launch(30)),
)
NEW = (
    Crowd("school", "new", payers=40, accounts=30, a_day=600, at=(("office", 0.85), ("home", 0.15))),
    Crowd(
        "exam", "new", payers=40, accounts=30, a_day=200, at=(("office", 1.0),), shape=(0.5, 0.5, 9.0, 0.5)
    ),
    Crowd(
        "hackathon, a card a team",
        "new",
        payers=50,
        accounts=4,
        a_day=800,
        at=(("office", 1.0),),
        shape=(1.0, 1.5, 0.0),
    ),
    Crowd(
        "hackathon, one card", "new", accounts=200, a_day=5000, at=(("office", 1.0),), shape=(1.0, 1.5, 0.0)
    ),
    Crowd("call centre", "new", payers=10, accounts=30, a_day=1500, at=(("office", 1.0),)),
    Crowd(
        "conference, free accounts",
        "new",
        payers=400,
        a_day=6,
        by="nobody",
        at=(("office", 1.0),),
        shape=(1.0, 1.0, 0.0),
    ),
    Crowd("free accounts at home", "new", payers=200, a_day=20, by="nobody", at=_OUT),
    Crowd("edge platform's customers", "new", payers=200, a_day=60, spread=1.0, at=(("cloud", 1.0),)),
    Crowd("start-ups of one sponsor", "new", accounts=40, a_day=12_000, by="sponsor", at=(("home", 1.0),)),
    Crowd("2,000 seats on one card", "new", accounts=2000, a_day=20_000, at=_AT_WORK),
    Crowd("agent platform, eight budgets", "new", accounts=8, a_day=24_000, at=(("cloud", 1.0),)),
    Crowd("agent platform, prepaid", "new", accounts=8, a_day=24_000, at=(("cloud", 1.0),), prepaid=15),
    Crowd("launched today", "new", payers=20, spread=SPREAD / 2, at=_OUT),
)
CROWDS = (*ESTABLISHED, *GROWERS, *NEW)


def put(book: Book, crowds: Sequence[Crowd] = CROWDS) -> None:
    """Put crowds into a book."""
    cloud, conference = book.networks(CLOUD), book.networks()
    for crowd in crowds:
        for _ in range(crowd.payers):
            _Payer(book, crowd, cloud, conference).lives()


class _Payer:
    """One payer, its accounts and its days."""

    def __init__(self, book: Book, crowd: Crowd, cloud: int, conference: int) -> None:
        self.book, self.crowd, self.cloud = book, crowd, cloud
        rng = book.rng
        self.begin = COMES_DAY if crowd.kind == "new" else book.first_day
        self.office = conference if crowd.by == "nobody" else book.networks()
        drawn = crowd.a_day * np.exp(crowd.spread * rng.standard_normal())
        days = book.days - self.begin
        self.a_day = np.full(days, np.clip(drawn, LEAST_A_DAY, MOST_A_DAY) if crowd.spread else drawn)
        since = COMES_DAY - self.begin
        shape = np.ones(days)
        grown = np.r_[crowd.shape, np.full(days, crowd.shape[-1])][: days - since]
        shape[since:] = grown
        sigma = 0.12
        if crowd.varies:
            varies = min(2.5, VARIES * np.exp(VARIES_SPREAD * rng.standard_normal()))
            sigma = float(np.sqrt(np.log1p(varies**2)))
        days_differ = np.exp(sigma * rng.standard_normal(days) - sigma**2 / 2)
        shape *= np.minimum(BUSIEST, days_differ) * _WEEK[(np.arange(days) + self.begin) % 7]
        if crowd.every > 1:
            shape *= np.arange(days) % crowd.every == 0
        self.a_day *= shape

    def lives(self) -> None:
        """Let accounts ask, and the payer pay for what they ask, a day later."""
        book, crowd = self.book, self.crowd
        count = crowd.accounts
        part = book.rng.dirichlet(np.full(count, 2.0))
        joins = book.rng.random(count) < crowd.joins
        joins[0] = False
        day = book.rng.integers(0, book.days, count)
        kinds = [(self.begin, crowd.leaves or book.days), (crowd.leaves, book.days)][
            : 2 if crowd.leaves else 1
        ]
        accounts = np.zeros(count, dtype=int)
        payers = book.payers(len(kinds)) if crowd.by != "nobody" else [0] * len(kinds)
        for payer, (begin, until) in zip(payers, kinds, strict=True):
            for number in range(count):
                since = max(begin, int(day[number])) if joins[number] else begin
                created = since if joins[number] or crowd.kind == "new" else book.first_day - 300
                accounts[number] = book.account(
                    crowd.name,
                    card=payer if crowd.by == "card" else 0,
                    sponsor=payer if crowd.by == "sponsor" else 0,
                    created_day=created,
                )
                if since < until:
                    a_day = self.a_day[since - self.begin : until - self.begin] * part[number]
                    times_ns = book.times(a_day, since)
                    book.asks(accounts[number], times_ns, *self._places(times_ns))
            if payer:
                self._pays(payer, begin)

    def _pays(self, payer: int, begin: int) -> None:
        """Pay for each day on the next, by whatever method: the customer has the same history."""
        book, crowd = self.book, self.crowd
        if crowd.prepaid:
            book.pays(payer, begin - 0.01, crowd.prepaid * crowd.a_day * A_REQUEST_USD)
        if crowd.kind != "new":
            for day in range(book.first_day - 30, book.first_day):
                book.pays(
                    payer, day + 1, float(self.a_day.mean() if crowd.every == 1 else 0.0) * A_REQUEST_USD
                )
        for at, requests in enumerate(self.a_day):
            book.pays(payer, self.begin + at + 1, float(requests) * A_REQUEST_USD)

    def _places(self, times_ns: Ints) -> tuple[Words, Words]:
        book, rng, count = self.book, self.book.rng, len(times_ns)
        names = [name for name, _ in self.crowd.at]
        which = rng.choice(len(names), count, p=[share for _, share in self.crowd.at])
        day = (times_ns - START_NS) // DAY_NS
        places = {
            "home": home(81, book.networks() if "home" in names else 0, 7),
            "office": v4(91, self.office, 1 + rng.integers(0, 4, count)),
            "phones": v4(77, rng.integers(0, CARRIERS, count), rng.integers(1, 255, count)),
            # A machine of the cloud is another one each day.
            "cloud": v4(52, self.cloud + (day * 7919 + self.office) % CLOUD, 1 + self.office % 250),
        }
        lo = np.zeros(count, np.uint64)
        for number, name in enumerate(names):
            lo = np.where(which == number, places[name], lo)
        return np.zeros(count, np.uint64), lo
