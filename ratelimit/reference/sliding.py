"""Sliding-window counter: this window, and the one before as far as it still counts.

Windows are aligned to the Unix epoch. The units of the previous window are taken as
spread evenly over it. So `e` nanoseconds into the current one, the part
(W - e) / W of them still counts. All comparisons are multiplied by W, so that
nothing is rounded before it is compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

from ratelimit.reference.reading import DEEP_NS, Algorithm, RuleQuestion
from ratelimit.reference.rule import RuleSpec
from ratelimit.reference.window import corrected


class Pair(NamedTuple):
    """Window number, and the units taken in the window before it and in itself."""

    number: int
    previous: int
    units: int


@dataclass(frozen=True)
class SlidingWindow(Algorithm):
    """`quota` units in each window, and nearly so in any interval as long."""

    quota: int
    period_ns: int
    counted: int
    """The most that corrections count in one window: the quota, and the debt beyond it."""

    @classmethod
    def of(cls, spec: RuleSpec, asked: RuleQuestion) -> Self:
        """Return the algorithm with a rule's numbers."""
        return cls(spec.quota, spec.period_ns, spec.most_counted)

    def number(self, now_ns: int) -> int:
        """Return the number of the window `now_ns` lies in."""
        return now_ns // self.period_ns

    def end(self, pair: Pair) -> int:
        """Return the end of the current window."""
        return (pair.number + 1) * self.period_ns

    def current(self, state: Pair | None, number: int) -> Pair:
        """Return the counts as of a window; a stored later window stays (the clock stepped back)."""
        if state is None or state.number < number - 1:
            return Pair(number, 0, 0)
        if state.number == number - 1:
            return Pair(number, state.units, 0)
        return state

    def anchored(self, state: Pair | None, now_ns: int) -> Pair | None:
        """Return the counts as of now; those of a window deep ahead become those of the window now.

        Counts are kept as of now. So after a shallow step back the later window goes on
        counting, even if nothing was charged in it.
        """
        number = self.number(now_ns)
        if state is not None and state.number * self.period_ns > now_ns + self.period_ns + DEEP_NS:
            return state._replace(number=number)
        pair = self.current(state, number)
        return pair if pair.previous or pair.units else state

    def load(self, pair: Pair, now_ns: int) -> int:
        """Return the units that count, times the period."""
        elapsed = max(0, now_ns - (self.end(pair) - self.period_ns))
        return pair.previous * (self.period_ns - elapsed) + pair.units * self.period_ns

    def allows(self, state: Pair | None, now_ns: int, cost: int) -> bool:
        load = self.load(self.current(state, self.number(now_ns)), now_ns)
        return load + cost * self.period_ns <= self.quota * self.period_ns

    def charge(self, state: Pair | None, now_ns: int, cost: int) -> tuple[Pair | None, int]:
        """Return the new counts; the receipt names the window that was charged."""
        pair = self.current(state, self.number(now_ns))
        if cost == 0:
            return state, pair.number
        return pair._replace(units=pair.units + cost), pair.number

    def remaining(self, state: Pair | None, now_ns: int) -> int:
        load = self.load(self.current(state, self.number(now_ns)), now_ns)
        return max(0, (self.quota * self.period_ns - load) // self.period_ns)

    def reset_after(self, state: Pair | None, now_ns: int) -> int:
        """Return when both counts have left: this window's leave a whole window after its end."""
        pair = self.current(state, self.number(now_ns))
        if pair.units:
            return self.end(pair) + self.period_ns - now_ns
        return self.end(pair) - now_ns if pair.previous else 0

    def returnable(self, state: Pair | None, receipt: int, units: int, now_ns: int) -> int:
        """Return the units while the window that was charged is one of the two that count."""
        return units if self.current(state, self.number(now_ns)).number - receipt in (0, 1) else 0

    def settle(
        self, state: Pair | None, receipt: int, cost: int, actual: int, now_ns: int
    ) -> tuple[Pair | None, int, int]:
        """Correct the window that was charged while it is one of the two; later, more counts in this one."""
        pair = self.current(state, self.number(now_ns))
        if pair.number == receipt + 1:
            settled = corrected(pair.previous, actual - cost, self.counted)
            moved = settled - pair.previous
            return (pair._replace(previous=settled) if moved else state), receipt, moved
        settled = corrected(pair.units, actual - cost, self.counted)
        moved = settled - pair.units
        return (pair._replace(units=settled), pair.number, moved) if moved else (state, receipt, 0)
