"""Gradient2 of Netflix' concurrency-limits: the ratio of the latency long since to that of now.

For services bound by a processor. It knows no target and keeps latency near what it was. So it
takes a slow drift for normal, and longer answers for a queue.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite

from benchmarks.adaptive.windowed import Windowed
from ratelimit.load.model.controller import AnsweredRequest, Load
from ratelimit.load.model.settings import SECOND_NS, Settings

LONG_WINDOWS = 600
WARM_WINDOWS = 10
FORGET = 0.95
"""What the long latency is multiplied by where it is twice that of now: it had learned from overload."""


class Gradient2(Windowed):
    """`g = clip(tolerance * long / short, 0.5, 1)`, `L = 0.8 * L + 0.2 * (g * L + queue)` a window.

    Args:
        settings: bounds.
        tolerance: how much slower than long since is no queue.
        queue: requests that may wait.
        smoothing: share of the new value.
        window_ns: least length of a window.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        tolerance: float = 1.5,
        queue: float = 4.0,
        smoothing: float = 0.2,
        window_ns: int = SECOND_NS,
    ) -> None:
        super().__init__(settings, window_ns)
        self._tolerance = tolerance
        self._queue = queue
        self._smoothing = smoothing
        self._long = 0.0
        self._windows = 0

    def words(self) -> Sequence[float]:
        return (self._limit, self._long, self._windows, self._began_ns)

    def take_over(self, words: Sequence[float], answers: Iterable[AnsweredRequest]) -> None:
        limit, long, windows, began_ns, *_ = (word if isfinite(word) else 0.0 for word in words)
        self._set(limit)
        self._long, self._windows, self._began_ns = max(0.0, long), max(0, int(windows)), int(began_ns)

    def step(self, now_ns: int, load: Load) -> None:
        if not self._is_over(now_ns):
            return
        failed = self._taken_failure()
        if failed:
            self._set(self._limit * 0.9)
        taken = self._taken_answers(load)
        if taken is None:
            return
        _, short, most = taken
        self._learn(short)
        if failed or most < self._limit / 2:
            return
        gradient = max(0.5, min(1.0, self._tolerance * self._long / short))
        wanted = gradient * self._limit + self._queue
        self._set(self._limit * (1 - self._smoothing) + self._smoothing * wanted)

    def _learn(self, short: float) -> None:
        """Average over ten windows evenly, and from then on with the age of 600."""
        self._windows += 1
        share = 1 / self._windows if self._windows <= WARM_WINDOWS else 2 / (LONG_WINDOWS + 1)
        self._long += share * (short - self._long)
        if self._long / short > 2.0:
            self._long *= FORGET
