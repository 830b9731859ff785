"""Sliding log: every charge is remembered, and counts for exactly one period.

A charge made at t counts in the half-open interval (now - W, now]: it has left at
t + W. The only algorithm with the quota as its bound in *any* window, at the price of
memory for each charge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

from ratelimit.reference.reading import DEEP_NS, Algorithm, RuleQuestion
from ratelimit.reference.rule import RuleSpec


class Record(NamedTuple):
    """One charge. The number tells charges of one instant apart."""

    at_ns: int
    units: int
    number: int


Records = tuple[Record, ...]


@dataclass(frozen=True)
class SlidingLog(Algorithm):
    """`quota` units in any period; corrections count `counted` at most."""

    quota: int
    period_ns: int
    counted: int

    @classmethod
    def of(cls, spec: RuleSpec, asked: RuleQuestion) -> Self:
        """Return the algorithm with a rule's numbers."""
        return cls(spec.quota, spec.period_ns, spec.most_counted)

    def instant(self, records: Records | None, now_ns: int) -> int:
        """Return the time that counts: no earlier than the newest record's."""
        return max(now_ns, records[-1].at_ns) if records else now_ns

    def anchored(self, records: Records | None, now_ns: int) -> Records | None:
        """Return the log; when its newest record is deep ahead, all in use is one record of now."""
        if not records or records[-1].at_ns <= now_ns + self.period_ns + DEEP_NS:
            return records
        in_use = min(self.used(records, now_ns), self.quota)
        return (Record(now_ns, in_use, records[-1].number + 1),)

    def used(self, records: Records | None, now_ns: int) -> int:
        """Return the units that count now."""
        since_ns = self.instant(records, now_ns) - self.period_ns
        return sum(record.units for record in records or () if record.at_ns > since_ns)

    def charge(
        self, records: Records | None, now_ns: int, cost: int
    ) -> tuple[Records | None, tuple[int, ...]]:
        """Return the longer log; the receipt is the number of the record, -1 if there is none."""
        if cost == 0:
            return records, (-1,)
        number = records[-1].number + 1 if records else 0
        return (*(records or ()), Record(self.instant(records, now_ns), cost, number)), (number,)

    def counting(self, records: Records | None, receipt: tuple[int, ...], now_ns: int) -> Records:
        """Return a charge's records that still count, the newest first."""
        since_ns = self.instant(records, now_ns) - self.period_ns
        own = [record for record in records or () if record.number in receipt and record.at_ns > since_ns]
        return tuple(reversed(own))

    def returnable(self, records: Records | None, receipt: tuple[int, ...], units: int, now_ns: int) -> int:
        """Return what is in a charge's records that still count."""
        return min(units, sum(record.units for record in self.counting(records, receipt, now_ns)))

    def settle(
        self, records: Records | None, receipt: tuple[int, ...], cost: int, actual: int, now_ns: int
    ) -> tuple[Records | None, tuple[int, ...], int]:
        """Correct a charge, made without asking.

        The first that is more is a record of its own, of now; further ones change that one as long
        as it counts. Less shrinks what settling added, and then what the charge recorded.
        """
        changed: dict[int, int] = {}
        own = self.counting(records, receipt, now_ns)
        if actual > cost:
            extra = min(actual - cost, max(0, self.counted - self.used(records, now_ns)))
            if extra == 0:
                return records, receipt, 0
            if not own or own[0].number not in receipt[1:]:
                longer, added = self.charge(records, now_ns, extra)
                return longer, (receipt[0], *added), extra
            changed[own[0].number] = own[0].units + extra
            moved = extra
        else:
            moved = 0
            for record in own:
                taken = min(cost - actual + moved, record.units)
                changed[record.number] = record.units - taken
                moved -= taken
        kept = tuple(
            record._replace(units=changed.get(record.number, record.units)) for record in records or ()
        )
        return kept if records is not None else None, receipt, moved
