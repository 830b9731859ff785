"""The target of a policy that names none: what the first byte takes on quiet days, twice.

A baseline that may not learn from overload, as MIDAS-F keeps its own (arXiv 2009.08451): while the
controller says that first bytes are late, nothing is learned.
"""

from __future__ import annotations

from collections import deque

from ratelimit.adaptive.quantile import quantile
from ratelimit.adaptive.settings import SECOND_NS

FIRST_GUESS_NS = SECOND_NS
PERIOD_NS = 60 * SECOND_NS
LEAST_SAMPLES = 20
MOST_SAMPLES = 512
PERIODS = 24 * 60
QUIET = 0.2
GENEROUS = 2.0
LEAST_NS, MOST_NS = SECOND_NS // 100, 60 * SECOND_NS


class LearnedTarget:
    """Twice the 20 % quantile of the medians of minutes, of the last day; a second before the first.

    Laws: it is within 10 ms and 60 s; what comes while `frozen` changes nothing; one minute is one
    number, however many answers it had.
    """

    __slots__ = ("_began_ns", "_medians", "_seen", "target_ns")

    def __init__(self) -> None:
        self.target_ns = FIRST_GUESS_NS
        self._medians: deque[float] = deque(maxlen=PERIODS)
        self._seen: deque[int] = deque(maxlen=MOST_SAMPLES)
        self._began_ns = 0

    @property
    def is_learned(self) -> bool:
        """Whether a period has been seen; until then the target is a guess."""
        return bool(self._medians)

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
        self._medians.append(quantile(self._seen, 0.5))
        self._seen.clear()
        target_ns = int(GENEROUS * quantile(self._medians, QUIET))
        self.target_ns = min(max(target_ns, LEAST_NS), MOST_NS)
