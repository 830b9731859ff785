"""Vegas of Netflix' concurrency-limits: the queue as the part of the limit beyond the least latency.

For services bound by a processor, if all requests take about as long. The least latency is
forgotten after some thousands of requests, and what is least then may be a queue's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, inf, isfinite, log10

from ratelimit.adaptive.controller import Answer, Bounds, Load
from ratelimit.adaptive.settings import SECOND_NS, Settings

LEAST_SAMPLES = 10
PROBE = 30
"""The least latency is forgotten after `PROBE * L` answers."""


class Vegas:
    """`q = ceil(L * (1 - least / now))`: below `3 log L` it grows, above `6 log L` it shrinks.

    Args:
        settings: bounds.
        patience: factor of both thresholds.
        window_ns: least length of a window.
    """

    def __init__(self, settings: Settings, *, patience: float = 1.0, window_ns: int = SECOND_NS) -> None:
        self._settings = settings
        self._patience = patience
        self._window_ns = window_ns
        self._limit = float(settings.start)
        self._least = 0.0
        self._since_probe = 0
        self._sum = 0.0
        self._count = 0
        self._most = 0
        self._began_ns = 0
        self._failed = False

    def bounds(self) -> Bounds:
        limit = int(self._limit)
        return Bounds(limit, limit, limit)

    def words(self) -> Sequence[float]:
        return (self._limit, self._least, self._since_probe, self._began_ns)

    def take_over(self, words: Sequence[float], answers: Iterable[Answer]) -> None:
        limit, least, since_probe, began_ns, *_ = (word if isfinite(word) else 0.0 for word in words)
        self._set(limit)
        self._least, self._since_probe, self._began_ns = max(0.0, least), int(since_probe), int(began_ns)

    @property
    def target_ns(self) -> int:
        return 0

    @property
    def pressure(self) -> float:
        return inf

    @property
    def places(self) -> float | None:
        return None

    def observe(self, answer: Answer) -> int:
        self._sum += max(1, answer.first_byte_ns - answer.admitted_ns)
        self._count += 1
        self._most = max(self._most, answer.in_flight)
        return 0

    def failed(self, admitted_ns: int, now_ns: int) -> None:
        self._failed = True

    def step(self, now_ns: int, load: Load) -> None:
        if 0 <= now_ns - self._began_ns < self._window_ns:
            return
        self._began_ns = now_ns
        unit = max(1.0, log10(self._limit))
        if self._failed:
            self._failed = False
            self._set(self._limit - unit)
        if self._count < LEAST_SAMPLES:
            return
        now = self._sum / self._count
        self._since_probe += self._count
        most, self._most = max(self._most, load.most_in_flight), 0
        self._sum, self._count = 0.0, 0
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

    def _set(self, limit: float) -> None:
        self._limit = min(max(limit, self._settings.floor), self._settings.ceiling)
