"""Earned allowances as a small model in plain Python: the oracle that a limiter is compared with.

A payer may use one budget a day, or the number that its cleared dollars open, or a multiple of its best day
of a month ago if its dollars are not known. Dollars that it had a month ago count, and a few of the others.
Accounts of the payer's first month may use this everywhere, others where those were. All else has a little by
account, network and payer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.correlation.addresses import Addresses
from benchmarks.correlation.contender import Outcome, unclustered
from benchmarks.correlation.months.payers import PERIOD_DAYS, Payer, Payers
from benchmarks.correlation.months.rules import Rules
from benchmarks.correlation.numbers import DAY_NS, START_NS
from benchmarks.correlation.trace import Trace

_START_DAY = START_NS // DAY_NS
_CENT_MICROS = 10_000


@dataclass(slots=True)
class _Window:
    """A sliding window of a day: the day before, as far as it is not over, and this one."""

    day: int = -1
    now: int = 0
    before: int = 0

    def room(self, day: int, left_ns: int, limit: float) -> int:
        """Return how much of a limit is left, `left_ns` before the day ends."""
        if day != self.day:
            self.before = self.now if day == self.day + 1 else 0
            self.day, self.now = day, 0
        if limit == math.inf:
            return 1 << 62
        return (int(limit) * DAY_NS - self.before * left_ns) // DAY_NS - self.now


class Allowance:
    """Decides traces by earned allowances.

    Args:
        rules: the policy's numbers.
        scale: what they are divided by, as the trace's volumes are.
        imported_until: the day before which all is history that was imported: admitted, and known at once.
        public: returns which addresses are in public ranges: these are no places.
        by_day: whether the requests of an account and address on a day are decided at once: a search has no
            time for each. The model then looks once a day at the room that a window has left.
    """

    def __init__(
        self,
        rules: Rules | None = None,
        scale: float = 1.0,
        *,
        imported_until: float = -math.inf,
        public: Callable[[Addresses], NDArray[np.bool_]] | None = None,
        by_day: bool = False,
        name: str = "allowance",
    ) -> None:
        self.rules, self.scale, self.by_day, self.name = rules or Rules(), scale, by_day, name
        self.imported_until, self.public = imported_until, public

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
            day = trace.time_ns // DAY_NS
            key = (day - day[0]) * trace.accounts + trace.account
            key = key * len(trace.addresses) + trace.ip
            _, first, which = np.unique(key, return_index=True, return_inverse=True)
            # Whose requests of a day come first is as it falls out.
            order = np.lexsort((np.random.default_rng(1).random(len(first)), day[first]))
            place = np.empty_like(order)
            place[order] = np.arange(len(order))
            first, which = first[order], place[which]
        weight = np.bincount(which)
        granted = np.fromiter(_Deciding(self, trace).each(first, weight), dtype=float, count=len(first))
        if not self.by_day:
            return granted > 0
        order = np.argsort(which, kind="stable")
        nth = np.empty(count, dtype=np.int64)
        nth[order] = np.arange(count) - np.repeat(np.cumsum(weight) - weight, weight)
        admitted: NDArray[np.bool_] = nth < granted[which]
        return admitted


class _Deciding:
    """One trace being decided."""

    def __init__(self, model: Allowance, trace: Trace) -> None:
        self.rules, self.trace = model.rules, trace
        self.by_day = model.by_day
        self.place = trace.ip64
        if model.public is not None:
            self.place = np.where(model.public(trace.addresses)[trace.ip], 0, self.place)
        self.units = model.rules.scaled(model.scale)
        begin = int(trace.time_ns[0] // DAY_NS)
        self.imported_until = -1
        if model.imported_until > begin - _START_DAY:
            self.imported_until = _START_DAY + int(model.imported_until)
        own = max(begin, self.imported_until)
        self.payers = Payers(begin, own, presence=model.rules.presence, crowded=model.rules.crowded)
        self.windows: dict[tuple[str, int], _Window] = {}
        self.records: dict[tuple[int, int], Payer] = {}
        self.created: list[int | None] = [None] * trace.accounts
        if trace.created_ns is not None:
            self.created = (trace.created_ns // DAY_NS).tolist()

    def each(self, first: NDArray[np.int64], weight: NDArray[np.int64]) -> Iterator[int]:
        """Yield how many are admitted of each row: `weight` requests as the one at `first`."""
        trace = self.trace
        cents = trace.paid_cents if self.rules.reads_paid else np.full(len(trace), -1)
        where = self.place, trace.network, _provider(trace)
        columns = (trace.time_ns, trace.payment, trace.account, *where, cents)
        rows = zip(*(column[first].tolist() for column in columns), weight.tolist(), strict=True)
        for time_ns, number, account, here, network, provider, paid, many in rows:
            day, since_ns = divmod(time_ns, DAY_NS)
            left_ns = 0 if self.by_day else DAY_NS - since_ns
            done = 0
            if number:
                seen = self.payers.see(number, account, here, network, self.created[account], day)
                payer, covered, is_old = seen
                if paid >= 0:
                    payer.note_paid(day, paid, was_so=is_old)
                if day < self.imported_until:
                    yield self._learned(payer, number, day, many)
                    continue
                if covered:
                    most = self._allowance(payer, paid, is_old, day)
                    window = self._window("allowance", number)
                    room = window.room(day, left_ns, most)
                    used = most - room
                    room = self._part(payer, number, account, day, left_ns, most, room, many)
                    done = max(0, min(many, room))
                    if done:
                        window.now += done
                        payer.note(day, day // PERIOD_DAYS, used + done)
            elif day < self.imported_until:
                yield many
                continue
            if done < many:
                done += self._overflow(number, account, network, provider, day, left_ns, many - done)
            yield done

    def _part(
        self, payer: Payer, number: int, account: int, day: int, left_ns: int, most: int, room: int, many: int
    ) -> int:
        """Return how much of its payer's room an account may use, and note what it does use of `many`."""
        rules = self.rules
        if rules.share == 1 and not rules.record:
            return room
        record = self.records.setdefault((number, account), Payer(day))
        part = int(most * rules.share)
        if rules.record:
            part = min(part, int(rules.record * record.earned(day, self.payers.own)))
        own = self._window("share", account)
        part = max(self.units.rate, part)
        if payer.has_several:
            room = min(room, own.room(day, left_ns, part))
        else:
            own.room(day, left_ns, part)
        own.now += max(0, min(many, room))
        record.note(day, day // PERIOD_DAYS, own.now)
        return room

    def _allowance(self, payer: Payer, cents: int, is_old: bool, day: int) -> int:
        rules = self.rules
        if cents < 0:
            return self.units.grown(payer.earned(day, self.payers.own))
        micros, young = cents * _CENT_MICROS, round(rules.young_usd * 1e6)
        if not is_old and micros > young:
            if rules.settled:
                micros = min(micros, young + int(rules.settled * payer.settled(day)) * _CENT_MICROS)
            elif day < payer.first + 30:
                micros = young
        return self.units.paid(micros)

    def _overflow(
        self, number: int, account: int, network: int, provider: int, day: int, left_ns: int, many: int
    ) -> int:
        units = self.units
        asked = [
            (self._window("account", account), units.account),
            (self._window("network", network), units.network),
            (self._window("provider", provider), units.provider),
        ]
        if number:
            asked.append((self._window("payer", number), units.payer))
        room = min(window.room(day, left_ns, limit) for window, limit in asked)
        more = max(0, min(many, room))
        for window, _ in asked:
            window.now += more
        return more

    def _learned(self, payer: Payer, number: int, day: int, many: int) -> int:
        """Take a line of history in: days of the limiter's own first period lie before it."""
        window = self._window("learned", number)
        window.room(day, 0, 0)
        window.now += many
        payer.note(day, min(day // PERIOD_DAYS, self.payers.own // PERIOD_DAYS - 1), window.now)
        return many

    def _window(self, kind: str, number: int) -> _Window:
        found = self.windows.get((kind, number))
        if found is None:
            found = self.windows[kind, number] = _Window()
        return found


def _provider(trace: Trace) -> np.ndarray:
    """Return a key each: the /24 of an IPv4 address, the /32 of an IPv6 one."""
    hi, lo = trace.addresses.hi, trace.addresses.lo
    keys = np.where(hi != 0, hi >> np.uint64(32), lo >> np.uint64(8))
    found: np.ndarray = keys[trace.ip]
    return found
