"""The target of a policy that names none: what the first byte takes on quiet days, twice.

Where first bytes vary, one in 20 would be later than that by its own work. So half as much again as those
take is the target, if that is more.

A baseline that may not learn from overload, as MIDAS-F keeps its own (arXiv 2009.08451). While the
controller says that first bytes are late, nothing is learned.

What was learned is a count of medians by their size, a sixth wide each, that fades by a day. So it is a
few numbers, which outlive the worker that learned them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import isfinite, log2

from ratelimit.load.model.quantile import quantile
from ratelimit.load.model.settings import SECOND_NS

FIRST_GUESS_NS = SECOND_NS
PERIOD_NS = 60 * SECOND_NS
LEAST_SAMPLES = 20
MOST_SAMPLES = 512
PERIODS = 24 * 60
QUIET = 0.2
GENEROUS = 2.0
SLOWEST = 0.75
"""So `GENEROUS` times this is what the slowest twentieth takes, half as much again."""
LEAST_NS, MOST_NS = SECOND_NS // 100, 60 * SECOND_NS
AN_OCTAVE = 6
SIZES = 84
"""From a quarter of the least target: 84 sixths of an octave reach beyond half of the largest."""
SMALLEST_NS = LEAST_NS / 4


class LearnedTarget:
    """Twice the 20 % quantile of what minutes show, of about a day; a second before the first.

    Laws: it is within 10 ms and 60 s; what comes while `frozen` changes nothing; one minute is one
    number, however many answers it had.
    """

    __slots__ = ("_began_ns", "_seen", "_sizes", "target_ns")

    def __init__(self) -> None:
        self.target_ns = FIRST_GUESS_NS
        self._sizes = [0.0] * SIZES
        self._seen: deque[int] = deque(maxlen=MOST_SAMPLES)
        self._began_ns = 0

    @property
    def is_learned(self) -> bool:
        """True if a period has been seen; until then the target is a guess."""
        return any(self._sizes)

    def observe(self, now_ns: int, took_ns: int, *, frozen: bool) -> None:
        """Take notice of a time to a first byte."""
        if frozen:
            self._seen.clear()
            return
        if not self._seen:
            self._began_ns = now_ns
        self._seen.append(took_ns)
        if 0 <= now_ns - self._began_ns < PERIOD_NS or len(self._seen) < LEAST_SAMPLES:
            return
        self._learn(max(quantile(self._seen, 0.5), SLOWEST * quantile(self._seen, 0.95)))
        self._seen.clear()

    def recall(self, now_ns: int, took_ns: int) -> None:
        """Take a time to a first byte that another has observed, if it is of the minute under way."""
        if self._began_ns and 0 <= now_ns - self._began_ns < PERIOD_NS:
            self._seen.append(took_ns)

    def words(self) -> Sequence[float]:
        """Return what another needs to go on."""
        return (self._began_ns, *self._sizes)

    def take_over(self, words: Sequence[float]) -> None:
        """Go on where another left off; words that make no sense count for nothing."""
        began_ns, *sizes = words
        self._began_ns = int(began_ns) if isfinite(began_ns) else 0
        self._sizes = [size if isfinite(size) and 0 <= size <= PERIODS else 0.0 for size in sizes[:SIZES]]
        self._seen.clear()
        if self.is_learned:
            self.target_ns = self._target()

    def _learn(self, median_ns: float) -> None:
        fade = 1.0 - 1.0 / PERIODS
        self._sizes = [size * fade for size in self._sizes]
        self._sizes[_size_of(median_ns)] += 1.0
        self.target_ns = self._target()

    def _target(self) -> int:
        wanted = QUIET * sum(self._sizes)
        below = 0.0
        for size, count in enumerate(self._sizes):
            if count and below + count >= wanted:
                place = size + (wanted - below) / count
                target_ns = GENEROUS * SMALLEST_NS * 2 ** (place / AN_OCTAVE)
                return int(min(max(target_ns, LEAST_NS), MOST_NS))
            below += count
        return FIRST_GUESS_NS


def _size_of(median_ns: float) -> int:
    if median_ns <= SMALLEST_NS:
        return 0
    return min(SIZES - 1, int(AN_OCTAVE * log2(median_ns / SMALLEST_NS)))
