"""Token bucket, as the generic cell rate algorithm.

The state is one number, the theoretical arrival time (TAT): when the bucket would
be full again if nothing more were taken. A unit moves it by the emission interval.
A request fits if it moves the TAT no further ahead of now than a whole burst takes.

Time is counted in ticks of 1/16 ns. So an interval rounded up to whole ticks is close to
the nominal one even at millions of units a second. Rounding up means
never faster than nominal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from ratelimit.reference.reading import DEEP_NS, Algorithm, RuleQuestion, ceiling_division
from ratelimit.reference.rule import RuleSpec

TICKS = 16
"""Ticks in a nanosecond."""


@dataclass(frozen=True)
class TokenBucket(Algorithm):
    """`quota` units a period flow in; `burst` is the most that fit at one instant.

    `counted` is the most that corrections count: the burst, and the debt beyond it.
    """

    quota: int
    period_ns: int
    burst: int
    counted: int

    @classmethod
    def of(cls, spec: RuleSpec, asked: RuleQuestion) -> Self:
        """Return the algorithm with a rule's numbers."""
        return cls(spec.quota, spec.period_ns, spec.most, spec.most_counted)

    @property
    def interval(self) -> int:
        """Ticks from one unit to the next."""
        return ceiling_division(TICKS * self.period_ns, self.quota)

    @property
    def tolerance(self) -> int:
        """Ticks a whole burst takes to drain."""
        return self.burst * self.interval

    @property
    def furthest(self) -> int:
        """Ticks that the deepest debt takes to drain."""
        return self.counted * self.interval

    @property
    def ceiling(self) -> int:
        return self.burst

    def arrival(self, state: int | None, now_ns: int) -> int:
        """Return the TAT as it counts now.

        An arrival time that has passed is worth as much as none: no more than a full
        bucket is ever saved up.
        """
        return max(state or 0, TICKS * now_ns)

    def anchored(self, state: int | None, now_ns: int) -> int | None:
        """Return the TAT; too far ahead, that of a bucket just emptied.

        A full debt lies as far ahead as debts may reach, of the worker that made it; two bursts always may.
        """
        now = TICKS * now_ns
        if state is not None and state > now + max(self.furthest, 2 * self.tolerance) + TICKS * DEEP_NS:
            return now + self.tolerance
        return state

    def allows(self, state: int | None, now_ns: int, cost: int) -> bool:
        ahead = self.arrival(state, now_ns) - TICKS * now_ns
        return ahead + cost * self.interval <= self.tolerance

    def charge(self, state: int | None, now_ns: int, cost: int) -> tuple[int | None, int]:
        """Return the moved TAT, twice: the receipt is where this charge ended."""
        if cost == 0:
            return state, self.arrival(state, now_ns)
        moved = self.arrival(state, now_ns) + cost * self.interval
        return moved, moved

    def remaining(self, state: int | None, now_ns: int) -> int:
        free = TICKS * now_ns + self.tolerance - self.arrival(state, now_ns)
        return max(0, free // self.interval)

    def retry_after(self, state: int | None, now_ns: int, cost: int) -> int:
        """Return the wait: the part of the charge that sticks out beyond the burst."""
        beyond = self.arrival(state, now_ns) + cost * self.interval - self.tolerance - TICKS * now_ns
        return max(0, ceiling_division(beyond, TICKS))

    def reset_after(self, state: int | None, now_ns: int) -> int:
        return ceiling_division(self.arrival(state, now_ns) - TICKS * now_ns, TICKS)

    def returnable(self, state: int | None, receipt: int, units: int, now_ns: int) -> int:
        """Return how many units of a charge have not drained, or not all of them.

        That is what its place in the queue is still ahead of now.
        """
        return min(units, ceiling_division(self.ahead(state, receipt, now_ns), self.interval))

    def ahead(self, state: int | None, receipt: int, now_ns: int) -> int:
        """Return the ticks from now to the end of a charge.

        The queue may have become shorter since, when others were given back.
        """
        return max(0, min(receipt, state or 0) - TICKS * now_ns)

    def settle(
        self, state: int | None, receipt: int, cost: int, actual: int, now_ns: int
    ) -> tuple[int | None, int, int]:
        """Correct a charge.

        More goes on top of what is owed now, into debt as deep as it may be. From then
        on the charge's place in the queue is there. Less moves the queue up, by no more than
        is ahead of now: what of a unit has drained stays used.
        """
        now = TICKS * now_ns
        if actual > cost:
            before = self.arrival(state, now_ns)
            furthest = max(before, now + self.furthest)
            after = min(before + (actual - cost) * self.interval, furthest)
            moved = (after - before) // self.interval
            return (after if after > before else state), (after if moved else receipt), moved
        back = min((cost - actual) * self.interval, self.ahead(state, receipt, now_ns))
        return (state or 0) - back if back else state, receipt - back, actual - cost
