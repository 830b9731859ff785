"""The bound of each algorithm, checked on a list of what was admitted.

Nothing here knows how an algorithm works: only what was promised of it. A trace
is a list of (instant in ns, units) in the order of its instants.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ratelimit.reference.decision import class_of
from ratelimit.reference.reading import RuleQuestion, ceiling_division
from ratelimit.reference.window import FixedWindow
from tests.support.rule import RuleSpec

Trace = Sequence[tuple[int, int]]


def most_in_any(trace: Trace, length_ns: int) -> int:
    """Return the most units in any half-open interval of that length."""
    most = units = first = 0
    for at_ns, cost in trace:
        units += cost
        while trace[first][0] <= at_ns - length_ns:
            units -= trace[first][1]
            first += 1
        most = max(most, units)
    return most


def most_beyond_rate(trace: Trace, interval_ticks: int) -> int:
    """Return the largest excess, in ticks, of what was taken over what flowed in, in any interval."""
    largest = excess = 0
    before_ns = None
    for at_ns, cost in trace:
        if before_ns is not None:
            excess = max(0, excess - 16 * (at_ns - before_ns))
        excess += cost * interval_ticks
        largest = max(largest, excess)
        before_ns = at_ns
    return largest


def start_of(spec: RuleSpec, at_ns: int, key: int = 1) -> int:
    """Return the beginning of the window around an instant; `key` is that of the laws by default."""
    kind = class_of(spec.algorithm)
    if issubclass(kind, FixedWindow):
        return kind.of(spec, RuleQuestion((key,))).start(at_ns)
    return at_ns // spec.period_ns * spec.period_ns


def family(spec: RuleSpec) -> str:
    """Return the algorithm with the same bound: of windows with one count only the beginnings differ."""
    if spec.algorithm == "carried-window":
        return spec.algorithm
    return "fixed-window" if issubclass(class_of(spec.algorithm), FixedWindow) else spec.algorithm


def most_in_aligned(trace: Trace, spec: RuleSpec) -> int:
    """Return the most units in any one aligned window."""
    units: Counter[int] = Counter()
    for at_ns, cost in trace:
        units[start_of(spec, at_ns)] += cost
    return max(units.values(), default=0)


def most_beyond_windows(trace: Trace, spec: RuleSpec) -> int:
    """Return how far any windows in a row exceed as many quotas."""
    units: Counter[int] = Counter()
    for at_ns, cost in trace:
        units[start_of(spec, at_ns)] += cost
    starts = sorted(units)
    sums = []
    for first, start_ns in enumerate(starts):
        total = 0
        for last_ns in starts[first:]:
            total += units[last_ns]
            sums.append(total - windows_until(spec, start_ns, last_ns) * spec.quota)
    return max(sums, default=0)


def windows_until(spec: RuleSpec, first_ns: int, last_ns: int) -> int:
    """Return how many windows there are from one that begins then to another, both included."""
    if spec.calendar is not None:
        return spec.calendar.index(last_ns) - spec.calendar.index(first_ns) + 1
    return (last_ns - first_ns) // spec.period_ns + 1


def check_bound(spec: RuleSpec, trace: Trace) -> None:
    """Assert that a trace keeps what `docs/algorithms.md` promises of the rule's algorithm."""
    match family(spec):
        case "token-bucket":
            interval = ceiling_division(16 * spec.period_ns, spec.quota)
            assert most_beyond_rate(trace, interval) <= spec.most * interval
        case "fixed-window":
            assert most_in_aligned(trace, spec) <= spec.quota
            if spec.calendar is None:
                assert most_in_any(trace, spec.period_ns) <= 2 * spec.quota
        case "carried-window":
            assert most_in_aligned(trace, spec) <= spec.most
            assert most_beyond_windows(trace, spec) <= spec.most - spec.quota
            if spec.calendar is None:
                assert most_in_any(trace, spec.period_ns) <= spec.most + spec.quota
        case "sliding-window":
            assert most_in_aligned(trace, spec) <= spec.quota
            assert most_in_any(trace, spec.period_ns) <= 2 * spec.quota - 1
        case "sliding-log":
            assert most_in_any(trace, spec.period_ns) <= spec.quota
        case _:
            raise ValueError(spec.algorithm)


def fits(spec: RuleSpec, trace: Trace, now_ns: int, cost: int) -> bool:
    """Return whether one more charge is to be admitted, by definition, given all that was.

    Quadratic and stateless on purpose: it is the other side of the bound. Where this finds
    room no request may be refused, where it finds none no request may be admitted.
    """
    if spec.algorithm == "token-bucket":
        interval = ceiling_division(16 * spec.period_ns, spec.quota)
        taken = cost
        if taken > spec.most:
            return False
        for at_ns, units in reversed(trace):
            taken += units
            if taken * interval > spec.most * interval + 16 * (now_ns - at_ns):
                return False
        return True
    if spec.algorithm == "sliding-log":
        return sum(units for at_ns, units in trace if at_ns > now_ns - spec.period_ns) + cost <= spec.quota
    if spec.algorithm == "carried-window":
        return most_beyond_windows([*trace, (now_ns, cost)], spec) <= spec.most - spec.quota
    start_ns = start_of(spec, now_ns)
    current = sum(units for at_ns, units in trace if at_ns >= start_ns)
    if spec.algorithm != "sliding-window":
        return current + cost <= spec.quota
    before_ns = start_ns - spec.period_ns
    previous = sum(units for at_ns, units in trace if before_ns <= at_ns < start_ns)
    weighted = previous * (start_ns + spec.period_ns - now_ns)
    return weighted + (current + cost) * spec.period_ns <= spec.quota * spec.period_ns
