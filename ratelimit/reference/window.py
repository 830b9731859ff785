"""Fixed windows: a count that starts anew at each window's beginning.

Windows are aligned to the Unix epoch, follow a calendar, or begin at an offset of each key's own; a lifetime
is one that never ends.
Over any interval as long as a window up to twice the quota can pass. That is the whole of
it at the end of one window, and again at the beginning of the next.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple, Self

from ratelimit.reference.hashing import key_hash, mix
from ratelimit.reference.reading import DEEP_NS, NANOSECONDS, Algorithm, RuleQuestion
from ratelimit.reference.rule import RuleSpec


class Count(NamedTuple):
    """Units taken in the window that begins at `start_ns`."""

    start_ns: int
    units: int


@dataclass(frozen=True)
class FixedWindow(Algorithm):
    """`quota` units in each window; corrections count `counted` at most."""

    quota: int
    period_ns: int
    counted: int
    calendar: tuple[int, ...] | None = None

    @classmethod
    def of(cls, spec: RuleSpec, asked: RuleQuestion) -> Self:
        """Return the algorithm with a rule's numbers."""
        return cls(spec.quota, spec.period_ns, spec.most_counted, spec.calendar)

    def start(self, now_ns: int) -> int:
        """Return the beginning of the window `now_ns` lies in."""
        if self.calendar is None:
            return now_ns // self.period_ns * self.period_ns
        return self.calendar[bisect_right(self.calendar, now_ns) - 1]

    def end(self, start_ns: int) -> int:
        """Return the end of the window that begins at `start_ns`."""
        if self.calendar is None:
            return start_ns + self.period_ns
        at = bisect_right(self.calendar, start_ns)
        # Of a window before those that are listed, and of the last, only the usual length is known.
        return self.calendar[at] if 0 < at < len(self.calendar) else start_ns + self.period_ns

    def current(self, state: Count | None, now_ns: int) -> Count:
        """Return the count that a request now belongs to.

        When the clock has stepped back before the window last counted in, that later
        window goes on counting: nothing is allowed twice.
        """
        start_ns = self.start(now_ns)
        if state is None or state.start_ns < start_ns:
            return Count(start_ns, 0)
        return state

    def anchored(self, state: Count | None, now_ns: int) -> Count | None:
        """Return the count; that of a window deep ahead becomes that of the window now."""
        start_ns = self.start(now_ns)
        if state is not None and self.end(state.start_ns) > self.end(start_ns) + self.period_ns + DEEP_NS:
            return Count(start_ns, state.units)
        return state

    def used(self, state: Count | None, now_ns: int) -> int:
        return self.current(state, now_ns).units

    def charge(self, state: Count | None, now_ns: int, cost: int) -> tuple[Count | None, int]:
        """Return the new count; the receipt names the window that was charged."""
        count = self.current(state, now_ns)
        if cost == 0:
            return state, count.start_ns
        return Count(count.start_ns, count.units + cost), count.start_ns

    def retry_after(self, state: Count | None, now_ns: int, cost: int) -> int:
        if self.allows(state, now_ns, cost):
            return 0
        return self.end(self.current(state, now_ns).start_ns) - now_ns

    def reset_after(self, state: Count | None, now_ns: int) -> int:
        count = self.current(state, now_ns)
        return self.end(count.start_ns) - now_ns if count.units else 0

    def returnable(self, state: Count | None, receipt: int, units: int, now_ns: int) -> int:
        """Return the units while the window that was charged counts."""
        return units if self.current(state, now_ns).start_ns == receipt else 0

    def settle(
        self, state: Count | None, receipt: int, cost: int, actual: int, now_ns: int
    ) -> tuple[Count | None, int, int]:
        """Correct the window that was charged; once that is over, more counts in the window that now is."""
        count = self.current(state, now_ns)
        units = corrected(count.units, actual - cost, self.counted)
        if units == count.units:
            return state, receipt, 0
        return Count(count.start_ns, units), count.start_ns, units - count.units


@dataclass(frozen=True)
class StaggeredWindow(FixedWindow):
    """Fixed windows that begin at each key's own offset, so that not all callers come back at once.

    The offset is whole seconds below the period, and follows from the hash of the key.
    """

    offset_ns: int = 0

    @classmethod
    def of(cls, spec: RuleSpec, asked: RuleQuestion) -> Self:
        """Return the algorithm with a rule's numbers, for one key."""
        scrambled = mix(key_hash(asked.hash_key, spec.salt, asked.identities))
        offset_ns = (scrambled >> 32) * (spec.period_ns // NANOSECONDS) // 2**32 * NANOSECONDS
        return cls(spec.quota, spec.period_ns, spec.most_counted, None, offset_ns)

    def start(self, now_ns: int) -> int:
        """Return the beginning of the key's window `now_ns` lies in."""
        return (now_ns - self.offset_ns) // self.period_ns * self.period_ns + self.offset_ns


@dataclass(frozen=True)
class CarriedWindow(FixedWindow):
    """Fixed windows of which the next has what was left: `burst` units at most, of them `quota` anew.

    The units of a count are those used, and those that were not left. The quota drains from it
    as the window ends. A debt ends with its window.
    """

    burst: int = 0

    @classmethod
    def of(cls, spec: RuleSpec, asked: RuleQuestion) -> Self:
        """Return the algorithm with a rule's numbers."""
        return cls(spec.quota, spec.period_ns, spec.most_counted, spec.calendar, spec.most)

    @property
    def ceiling(self) -> int:
        return self.burst

    def drained(self, units: int) -> int:
        """Return what the next window begins with."""
        return min(max(0, units - self.quota), self.burst - self.quota)

    def current(self, state: Count | None, now_ns: int) -> Count:
        """Return the count that a request now belongs to: of the window before, without the quota."""
        start_ns = self.start(now_ns)
        if state is not None and state.start_ns < start_ns == self.end(state.start_ns):
            return Count(start_ns, self.drained(state.units))
        return super().current(state, now_ns)

    def anchored(self, state: Count | None, now_ns: int) -> Count | None:
        """Return the count as of now: a later step back of the clock finds it in the window that it is in."""
        state = super().anchored(state, now_ns)
        count = self.current(state, now_ns)
        return count if count.units else state

    def retry_after(self, state: Count | None, now_ns: int, cost: int) -> int:
        """Return the wait for the next window, or for the one after it."""
        if self.allows(state, now_ns, cost):
            return 0
        count = self.current(state, now_ns)
        end_ns = self.end(count.start_ns)
        if self.drained(count.units) + cost > self.burst:
            end_ns = self.end(end_ns)
        return end_ns - now_ns

    def reset_after(self, state: Count | None, now_ns: int) -> int:
        """Return when all of it is back: what drains at this window's end, or at the next one's."""
        count = self.current(state, now_ns)
        end_ns = self.end(count.start_ns)
        if count.units > self.quota:
            end_ns = self.end(end_ns)
        return end_ns - now_ns if count.units else 0


@dataclass(frozen=True)
class Lifetime(Algorithm):
    """`quota` units in all, and what was added. The state is what was used, less what was added.

    Corrections count `counted` at most. Time gives nothing back, so no wait helps.
    """

    quota: int
    counted: int

    @classmethod
    def of(cls, spec: RuleSpec, asked: RuleQuestion) -> Self:
        """Return the algorithm with a rule's numbers."""
        return cls(spec.quota, spec.most_counted)

    def used(self, state: int | None, now_ns: int) -> int:
        return state or 0

    def charge(self, state: int | None, now_ns: int, cost: int) -> tuple[int | None, int]:
        """Return what is used; a charge counts for ever, so the receipt says nothing."""
        return ((state or 0) + cost if cost else state), 0

    def retry_after(self, state: int | None, now_ns: int, cost: int) -> int:
        return 0 if self.allows(state, now_ns, cost) else -1

    def reset_after(self, state: int | None, now_ns: int) -> int:
        return 0

    def settle(
        self, state: int | None, receipt: int, cost: int, actual: int, now_ns: int
    ) -> tuple[int | None, int, int]:
        """Correct what is used: more counts up to the debt, and less is there again."""
        used = state or 0
        after = max(used, min(used + actual - cost, self.counted)) if actual > cost else used + actual - cost
        return (after if after != used else state), 0, after - used


def corrected(units: int, correction: int, most: int) -> int:
    """Return a window's count after a correction: never negative, raised to `most` at most."""
    if correction > 0:
        return max(units, min(units + correction, most))
    return max(0, units + correction)
