"""Vegas of Netflix' concurrency-limits: the queue as the part of the limit beyond the least latency.

For services bound by a processor, if all requests take about as long. The least latency is
forgotten after some thousands of requests, and what is least then may be a queue's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, isfinite, log10

from benchmarks.adaptive.windowed import Windowed
from ratelimit.load.model.controller import AnsweredRequest, Load
from ratelimit.load.model.settings import SECOND_NS, Settings

PROBE = 30
"""The least latency is forgotten after `PROBE * L` answers."""


class Vegas(Windowed):
    """`q = ceil(L * (1 - least / now))`: below `3 log L` it grows, above `6 log L` it shrinks.

    Args:
        settings: bounds.
        patience: factor of both thresholds.
        window_ns: least length of a window.
    """

    def __init__(self, settings: Settings, *, patience: float = 1.0, window_ns: int = SECOND_NS) -> None:
        super().__init__(settings, window_ns)
        self._patience = patience
        self._least = 0.0
        self._since_probe = 0

    def words(self) -> Sequence[float]:
        return (self._limit, self._least, self._since_probe, self._began_ns)

    def take_over(self, words: Sequence[float], answers: Iterable[AnsweredRequest]) -> None:
        limit, least, since_probe, began_ns, *_ = (word if isfinite(word) else 0.0 for word in words)
        self._set(limit)
        self._least, self._since_probe, self._began_ns = max(0.0, least), int(since_probe), int(began_ns)

    def step(self, now_ns: int, load: Load) -> None:
        if not self._is_over(now_ns):
            return
        unit = max(1.0, log10(self._limit))
        if self._taken_failure():
            self._set(self._limit - unit)
        taken = self._taken_answers(load)
        if taken is None:
            return
        count, now, most = taken
        self._since_probe += count
        if self._least == 0.0 or self._since_probe > PROBE * self._limit:
            self._least, self._since_probe = now, 0
            return
        if now < self._least:
            self._least = now
            return
        if 2 * most < self._limit:
            return
        self._change(ceil(self._limit * (1 - self._least / now)), unit)

    def _change(self, queue: int, unit: float) -> None:
        low, high = 3 * unit * self._patience, 6 * unit * self._patience
        if queue <= unit:
            self._set(self._limit + high)
        elif queue < low:
            self._set(self._limit + unit)
        elif queue > high:
            self._set(self._limit - unit)
