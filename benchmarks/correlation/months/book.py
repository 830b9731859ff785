"""The book of a long world: accounts, who pays for them, what was paid, and requests in the making."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.correlation.numbers import DAY_NS, START_NS, Floats, Ints, Words, generator
from benchmarks.correlation.trace import Events, Trace, Truth, collect, joined

WARM_DAYS, DAYS = 30, 40
"""Days before anything is measured, and days after them."""
CLEARED_DAYS = 30
A_REQUEST_USD = 0.003
CHARGED_BACK_DAYS = 21
YEAR_NS = 365 * DAY_NS


class Book:
    """Notes what there is and what happens, and makes a trace of it.

    Args:
        seed: everything drawn follows from it.
        scale: what all volumes are divided by.
        warm_days, days: before and in the measured time; days are numbered from the first measured one.
    """

    def __init__(
        self, seed: int, *, scale: float = 1.0, warm_days: int = WARM_DAYS, days: int = DAYS
    ) -> None:
        self.rng = generator(seed, "months")
        self.scale = scale
        self.first_day, self.days = -warm_days, days
        self._events: list[Events] = []
        self._payers: list[int] = []
        self._sponsors: list[int] = []
        self._created_ns: list[int] = []
        self._klass: list[int] = []
        self._campaign: list[int] = []
        self._klasses: dict[str, int] = {}
        self._payments: list[tuple[int, int, float]] = []
        self._next_payer = 1
        self._networks = 0

    def payers(self, count: int = 1) -> list[int]:
        """Return numbers of payment methods or sponsors that are new."""
        found = list(range(self._next_payer, self._next_payer + count))
        self._next_payer += count
        return found

    def networks(self, count: int = 1) -> int:
        """Return the first of some /24s (and /48s) that nobody has."""
        self._networks += count
        return self._networks - count

    def account(
        self,
        klass: str,
        *,
        card: int = 0,
        sponsor: int = 0,
        created_day: float = -400.0,
        campaign: int = -1,
    ) -> int:
        """Open an account; return its number. Zero is no payer."""
        self._payers.append(card)
        self._sponsors.append(sponsor)
        self._created_ns.append(START_NS + int(created_day * DAY_NS))
        self._klass.append(self._klasses.setdefault(klass, len(self._klasses)))
        self._campaign.append(campaign)
        return len(self._payers) - 1

    def pays(self, payer: int, day: float, usd: float, *, charged_back: bool = False) -> None:
        """Note dollars that clear on a day; three weeks later they are gone if they are charged back."""
        self._payments.append((payer, START_NS + int(day * DAY_NS), usd))
        if charged_back:
            back = day + CHARGED_BACK_DAYS
            self._payments.append((payer, START_NS + int(back * DAY_NS), -usd))

    def asks(self, account: int, times_ns: Ints, hi: Words, lo: Words) -> None:
        """Note requests of one account."""
        count = len(times_ns)
        small, own = np.full(count, 200, np.uint32), np.full(count, account, np.uint32)
        self._events.append(Events(times_ns, own, hi, lo, np.zeros(count, np.uint32), small, small))

    def times(self, a_day: Sequence[float] | Floats, first_day: int) -> Ints:
        """Return instants: so many a day, divided by the scale, from a day on."""
        expected = np.asarray(a_day, dtype=float) / self.scale
        counts = np.floor(expected + self.rng.random(len(expected))).astype(np.int64)
        day = np.repeat(np.arange(len(counts)) + first_day, counts)
        at: Ints = START_NS + ((day + self.rng.random(len(day))) * DAY_NS).astype(np.int64)
        return at

    def trace(self) -> Trace:
        """Return all that was noted."""
        count = len(self._payers)
        campaign = np.array(self._campaign, dtype=np.int32)
        truth = Truth(
            np.where(campaign >= 0, campaign, np.arange(count) + int(campaign.max(initial=-1)) + 1),
            np.array(self._klass, dtype=np.int32),
            campaign,
            np.zeros(count, np.int32),
            np.zeros(count, bool),
            tuple(self._klasses),
        )
        starts = {int(number): START_NS for number in np.unique(campaign[campaign >= 0])}
        trace = collect(
            joined(self._events),
            np.array(self._payers, dtype=np.uint32),
            ["program"],
            truth,
            starts_ns=starts,
            end_ns=START_NS + self.days * DAY_NS,
            created_ns=np.array(self._created_ns),
            sponsor=np.array(self._sponsors, dtype=np.uint32),
        )
        return trace.with_paid(self._paid(trace))

    def _paid(self, trace: Trace) -> Floats:
        """Return what the payer of each request has cleared in the last 30 days; none: it is not known."""
        payer = trace.payer.astype(np.int64)
        paid = np.full(len(trace), np.nan)
        paid[payer > 0] = 0.0
        if not self._payments:
            return paid
        who, when, usd = (np.array(column) for column in zip(*sorted(self._payments), strict=True))
        total = np.r_[0.0, np.cumsum(usd)]
        order = np.argsort(payer, kind="stable")
        ordered = payer[order]
        for one in np.unique(who).tolist():
            mine = order[slice(*np.searchsorted(ordered, (one, one + 1)))]
            begin, end = np.searchsorted(who, (one, one + 1))
            until = [
                begin + np.searchsorted(when[begin:end], trace.time_ns[mine] - days * DAY_NS, side="right")
                for days in (0, CLEARED_DAYS)
            ]
            paid[mine] = np.maximum(0.0, total[until[0]] - total[until[1]])
        return paid


def home(first: int, networks: Ints | int, host: Ints | int) -> Words:
    """Return addresses in /24s that lie far apart, as homes do: 65,536 networks in 256 blocks."""
    return v4(first, np.asarray(networks) * 40_503 % 65_536, host)


def v4(first: int, networks: Ints | int, host: Ints | int) -> Words:
    """Return IPv4 addresses in the /24s of a first byte."""
    return np.asarray(first << 24 | np.asarray(networks) << 8 | np.asarray(host), dtype=np.uint64)
