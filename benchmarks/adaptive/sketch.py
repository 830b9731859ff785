"""The controller that the default grew from: AIMD on everything in flight, with a knee."""

from __future__ import annotations

from collections import deque
from math import sqrt

from benchmarks.adaptive.peer import Peer
from ratelimit.load.model.controller import AnsweredRequest, Load, Settings
from ratelimit.load.model.quantile import quantile
from ratelimit.load.model.settings import SECOND_NS

PERIOD_NS = SECOND_NS // 2


class Sketch(Peer):
    """A cut in the root of what is too late; growth slower above where the last cut began."""

    def __init__(self, settings: Settings, *, aim: float = 0.8) -> None:
        self._settings = settings
        self._aim = aim
        self.pressure = 0.0
        self.places = None
        self._limit = float(settings.start)
        self._epoch_ns = -1
        self._knee: float | None = None
        self._cut_ns = -10 * SECOND_NS
        self._looked_ns = 0
        self._most = 0
        self._seen: deque[tuple[int, int]] = deque()

    @property
    def target_ns(self) -> int:
        return self._settings.first_byte_ns or SECOND_NS

    def observe(self, answer: AnsweredRequest) -> int:
        self._seen.append((answer.admitted_ns, answer.first_byte_ns))
        return 0

    def failed(self, admitted_ns: int, now_ns: int) -> None:
        """Not simulated."""

    def step(self, now_ns: int, load: Load) -> None:
        self._most = max(self._most, load.most_in_flight)
        if 0 <= now_ns - self._looked_ns < PERIOD_NS:
            return
        self._looked_ns = now_ns
        most, self._most = self._most, 0
        while self._seen and now_ns - self._seen[0][1] > 4 * SECOND_NS:
            self._seen.popleft()
        parts = [(first - since) / self.target_ns for since, first in self._seen if since > self._epoch_ns]
        ages = ((now_ns - since) / self.target_ns for since, _ in load.waiting if since > self._epoch_ns)
        parts.extend(age for age in ages if age > 0.5)
        if len(parts) < 5:
            return
        pressure = quantile(parts, 0.95) / self._aim
        if pressure > 1:
            reached = min(self._limit, most)
            if now_ns - self._cut_ns >= 2 * SECOND_NS:
                self._knee = reached
            self._cut_ns = self._epoch_ns = now_ns
            self._limit = reached * min(0.95, max(0.7, sqrt(1 / pressure)))
        elif most >= 0.8 * self._limit:
            if now_ns - self._cut_ns > 60 * SECOND_NS:
                self._knee = None
            fast = self._knee is None or self._limit < 0.9 * self._knee
            self._limit += max(0.25, (0.10 if fast else 0.01) * self._limit) * (1 - pressure)
        self._limit = min(max(self._limit, self._settings.floor), self._settings.ceiling)
