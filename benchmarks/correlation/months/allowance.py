"""Earned allowances as a small model in plain Python: the oracle that a limiter is compared with.

A payer may use one budget a day, or the number that its cleared dollars open, or a multiple of its best day
of a month ago if its dollars are not known. Dollars that it had a month ago count, and a few of the others.
Accounts of the payer's first month may use this everywhere, others where those were. All else has a little by
account, network and payer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.correlation.contender import Outcome, unclustered
from benchmarks.correlation.numbers import DAY_NS, START_NS
from benchmarks.correlation.trace import Trace

YOUNG_DAYS = 30
LEVELS = 8
"""An octave of an allowance has so many levels; it is rounded down to one."""
PERIOD_DAYS, PERIODS = 10, 7


@dataclass(frozen=True, slots=True)
class Rules:
    """The numbers of a policy, a day, as it ships; others are variants that were looked at.

    Args:
        rate: one budget.
        per_usd: requests a day for each dollar cleared in 30 days.
        young_usd: dollars that count of a young payer.
        growth, most: where dollars are not known.
        account, network, block: overflow of an account, a /24 or /48, a /16 or /32.
        reads_paid: whether `paid_usd` is looked at.
        overflow: who has it: all, those whom nobody pays for, or a payer as one account.
        settled: dollars beyond `young_usd` count up to this multiple of the least of a month; 0: all.
        own: an account that was never at a place of its payer has this multiple of its own best day of
            a month ago; 0: all of the payer's allowance after 30 days.
        newcomer: of the budget that newcomers elsewhere share, what one of them has at most.
        presence: whether time alone never establishes an account with its payer: it was there in the payer's
            own first month, or it was at a place of it. Elsewhere it then has overflow alone.
        payer: overflow of a payer.
        at: what a place is.
        crowded: networks where so many payers were are no places.
        sponsors: the part of a budget that a payer without a payment method has.
    """

    rate: float = 3000
    per_usd: float = 600
    young_usd: float = 10
    growth: float = 3
    most: float = 500_000
    account: float = 300
    network: float = 2700
    block: float = math.inf
    reads_paid: bool = True
    overflow: Literal["all", "unpaid", "one"] = "all"
    settled: float = 1.0
    own: float = 0.0
    newcomer: float = math.inf
    presence: bool = True
    payer: float = 3000
    at: Literal["network", "address"] = "address"
    crowded: float = math.inf
    sponsors: float = 0.0

    def level(self, allowance: float) -> float:
        """Return an allowance rounded down to a level."""
        if allowance <= self.rate:
            return allowance
        return self.rate * 2 ** (math.floor(math.log2(allowance / self.rate) * LEVELS + 1e-9) / LEVELS)


@dataclass(slots=True)
class _Window:
    """A sliding window of a day, counted as the library's: the day before, in part, and this one."""

    day: int = -(10**6)
    now: float = 0
    before: float = 0

    def room(self, day: int, part: float, limit: float) -> float:
        """Return how much of a limit is left."""
        if day != self.day:
            self.before = self.now if day == self.day + 1 else 0
            self.day, self.now = day, 0
        return limit - self.before * (1 - part) - self.now


@dataclass(slots=True)
class _Record:
    """The record of a payer, or of one of its accounts: the best day of each period of ten days."""

    since: float
    window: _Window = field(default_factory=_Window)
    best: dict[int, float] = field(default_factory=dict)

    def earned(self, day: int) -> float:
        """Return its best day in periods that ended a month ago or more."""
        last = (day - YOUNG_DAYS) // PERIOD_DAYS
        return max((self.best.get(one, 0.0) for one in range(last - PERIODS, last)), default=0.0)

    def take(self, day: int, count: float) -> None:
        """Count, and keep it if it is the best."""
        self.window.room(day, 1.0, 0.0)
        self.window.now += count
        period = day // PERIOD_DAYS
        self.best[period] = max(self.best.get(period, 0.0), self.window.now)


@dataclass(slots=True)
class _Payer(_Record):
    least: dict[int, float] = field(default_factory=dict)
    """Least dollars known in each period."""
    places: set[int] = field(default_factory=set)
    founder: int = -1
    imported: float = 0.0
    """Best day of the history that was imported."""
    allowed: tuple[float, int, bool, float] = (-1.0, 0, False, 0.0)

    def kept_usd(self, day: int) -> float:
        """Return the least dollars known since a month ago, and at the last look before; none then: none."""
        month_ago = day // PERIOD_DAYS - 3
        before = [period for period in self.least if period <= month_ago]
        if not before:
            return 0.0
        last = max(before)
        return min(usd for period, usd in self.least.items() if period >= last)


@dataclass(slots=True)
class _Account(_Record):
    resident: bool = False
    """Whether it was at a place of its payer."""


class Allowance:
    """Decides traces by earned allowances.

    Args:
        rules: the policy's numbers.
        scale: what they are divided by, as the trace's volumes are.
        imported_until: the day before which all is history that was imported: admitted, and known at once.
        by_day: whether the requests of an account and address on a day are decided at once: a search has no
            time for each. The model then looks once a day at the room that a window has left.
    """

    def __init__(
        self,
        rules: Rules | None = None,
        scale: float = 1.0,
        *,
        imported_until: float = -math.inf,
        by_day: bool = False,
        name: str = "allowance",
    ) -> None:
        self.rules, self.scale, self.by_day, self.name = rules or Rules(), scale, by_day, name
        self.imported_until = imported_until

    def run(self, trace: Trace) -> Outcome:
        """Return what it decides."""
        return unclustered(trace, self.decided(trace))

    def control(self, trace: Trace) -> Outcome:
        """Return the same: there is no correlation in it."""
        return self.run(trace)

    def decided(self, trace: Trace) -> NDArray[np.bool_]:
        """Return which requests are admitted."""
        count = len(trace)
        if not count:
            return np.zeros(0, dtype=bool)
        first, which = np.arange(count), np.arange(count)
        if self.by_day:
            day = (trace.time_ns - START_NS) // DAY_NS
            key = (day - day[0]) * trace.accounts + trace.account
            key = key * len(trace.addresses) + trace.ip
            _, first, which = np.unique(key, return_index=True, return_inverse=True)
            # Whose requests of a day come first is as it falls out.
            order = np.lexsort((np.random.default_rng(1).random(len(first)), day[first]))
            place = np.empty_like(order)
            place[order] = np.arange(len(order))
            first, which = first[order], place[which]
        weight = np.bincount(which)
        granted = np.fromiter(_decide(self, trace, first, weight), dtype=float, count=len(first))
        if not self.by_day:
            return granted > 0
        order = np.argsort(which, kind="stable")
        nth = np.empty(count, dtype=np.int64)
        nth[order] = np.arange(count) - np.repeat(np.cumsum(weight) - weight, weight)
        admitted: NDArray[np.bool_] = nth < granted[which]
        return admitted


def _decide(model: Allowance, trace: Trace, first: np.ndarray, weight: np.ndarray) -> Iterator[float]:
    """Yield how many are admitted of each row: `weight` requests as the one at `first`."""
    rules, scale = model.rules, model.scale
    when = (trace.time_ns - START_NS) / DAY_NS
    begin = float(when[0])
    at = trace.network if rules.at == "network" else trace.ip64
    paid = np.full(len(trace), math.nan) if trace.paid_usd is None or not rules.reads_paid else trace.paid_usd
    created = [begin] * trace.accounts
    if trace.created_ns is not None:
        created = ((trace.created_ns - START_NS) / DAY_NS).tolist()
    columns = (
        trace.payer, trace.account, when, at, trace.network, _block(trace), paid, trace.payment > 0
    )  # fmt: skip
    payers: dict[int, _Payer] = {}
    newcomers: dict[int, _Window] = {}
    accounts: dict[int, _Account] = {}
    free: dict[tuple[str, int], _Window] = {}
    visitors: dict[int, set[int]] = {}
    rows = zip(*(column[first].tolist() for column in columns), weight.tolist(), strict=True)
    base, least = rules.rate / scale, rules.account / scale
    for number, account, now, here, network, block, usd, by_card, many in rows:
        day = math.floor(now)
        part = 1.0 if model.by_day else now - day
        done = 0.0
        if number:
            # While the records are young, a payer is as old as its accounts.
            since = created[account] if now - begin < YOUNG_DAYS else now
            payer = payers.get(number)
            if payer is None:
                payer = payers[number] = _Payer(since, founder=account)
            if since < payer.since:
                payer.since, payer.founder = since, account
            mine = accounts.get(account)
            if mine is None:
                mine = accounts[account] = _Account(since)
            young = now - payer.since < YOUNG_DAYS
            if usd == usd:
                period = day // PERIOD_DAYS
                payer.least[period] = min(payer.least.get(period, usd), usd)
            if now < model.imported_until:
                # Whose accounts these are and where they were is history like any other.
                payer.places.add(here)
                mine.resident = True
                mine.take(day, many)
                payer.take(day, many)
                payer.imported = max(payer.imported, payer.window.now)
                yield many
                continue
            if payer.allowed[:3] != (usd, day, young):
                # The records cannot know what a payer had a month ago if they are younger than that.
                fresh = payer.since + YOUNG_DAYS <= begin and now - begin < YOUNG_DAYS + PERIOD_DAYS
                most = _allowance(rules, payer, usd, young, fresh, day, by_card, scale) / scale
                payer.allowed = (usd, day, young, most)
            room = payer.window.room(day, part, payer.allowed[3])
            shared = None
            crowded = False
            if rules.crowded < math.inf:
                there = visitors.setdefault(network, set())
                there.add(number)
                crowded = len(there) >= rules.crowded
            if not young:
                settled = now - mine.since >= YOUNG_DAYS
                if rules.presence:
                    known = mine.resident or mine.since - payer.since < YOUNG_DAYS
                    # The records cannot know where an account was that is a month older than they are.
                    known = known or mine.since + YOUNG_DAYS <= begin
                    mine.resident = known or (here in payer.places and not crowded)
                    if known:
                        payer.places.add(here)
                    elif not mine.resident:
                        room = 0.0
                elif settled and (not rules.own or mine.resident or account == payer.founder):
                    payer.places.add(here)
                elif here in payer.places:
                    mine.resident = True
                elif settled:
                    most = max(least, rules.own * mine.earned(day))
                    room = min(room, mine.window.room(day, part, most))
                else:
                    shared = newcomers.setdefault(number, _Window())
                    room = min(
                        shared.room(day, part, base if by_card else base * rules.sponsors),
                        mine.window.room(day, part, rules.newcomer / scale),
                    )
            done = max(0.0, min(many, math.floor(room + 1e-9)))
            if done:
                mine.take(day, done)
                if shared is None:
                    payer.take(day, done)
                else:
                    shared.now += done
        if done < many and (not number or rules.overflow != "unpaid"):
            who = -number if number and rules.overflow == "one" else account
            windows = [
                (free.setdefault(("account", who), _Window()), rules.account),
                (free.setdefault(("network", network), _Window()), rules.network),
                (free.setdefault(("block", block), _Window()), rules.block),
                (free.setdefault(("payer", number), _Window()), rules.payer if number else math.inf),
            ]
            room = min(window.room(day, part, rate / scale) for window, rate in windows)
            more = max(0.0, min(many - done, math.floor(room + 1e-9) if room < math.inf else many))
            for window, _ in windows:
                window.now += more
            done += more
        yield done


def _allowance(
    rules: Rules, payer: _Payer, usd: float, young: bool, fresh: bool, day: int, by_card: bool, scale: float
) -> float:
    base = rules.rate if by_card else rules.rate * rules.sponsors
    if usd != usd:
        # History is counted as the trace is: in parts of the policy's numbers.
        return rules.level(
            max(base, min(rules.most, rules.growth * max(payer.earned(day), payer.imported) * scale))
        )
    usable = min(usd, rules.young_usd) if young else usd
    if rules.settled and not fresh:
        usable = min(usd, rules.young_usd + rules.settled * payer.kept_usd(day))
    return rules.level(max(base, rules.per_usd * usable))


def _block(trace: Trace) -> np.ndarray:
    """Return a key each: the /16 of an IPv4 address, the /32 of an IPv6 one."""
    hi, lo = trace.addresses.hi, trace.addresses.lo
    keys = np.where(hi != 0, hi >> np.uint64(32), lo >> np.uint64(16))
    found: np.ndarray = keys[trace.ip]
    return found
