"""failsafe-go's adaptive limiter, written anew from its rules: Vegas on a quantile, with correlations.

The 90 % quantile of a window of at least 50 samples and 1 to 30 s, the median of the last five of
these, against a baseline that follows slowly. Throughput that does not grow with what is in flight
tells a queue from drift.
"""

from __future__ import annotations

from collections import deque
from math import ceil, log10
from statistics import correlation, fmean, median, pstdev

from benchmarks.adaptive.peer import Peer
from ratelimit.load.model.controller import AnsweredRequest, Load, Settings
from ratelimit.load.model.quantile import quantile
from ratelimit.load.model.settings import SECOND_NS

LEAST_S, MOST_S, LEAST_SAMPLES = 1, 30, 50
WINDOWS, LEAST_WINDOWS = 50, 5


class Failsafe(Peer):
    """One limit on everything in flight."""

    target_ns = 0
    places = None
    pressure = float("inf")

    def __init__(self, settings: Settings, *, alpha: float = 2.0, beta: float = 4.0) -> None:
        self._settings = settings
        self._alpha, self._beta = alpha, beta
        self._limit = float(settings.start)
        self._baseline = 0.0
        self._began_ns = 0
        self._seen: list[int] = []
        self._recent: deque[float] = deque(maxlen=5)
        self._smooth = 0.0
        self._flights: deque[float] = deque(maxlen=WINDOWS)
        self._rates: deque[float] = deque(maxlen=WINDOWS)
        self._times: deque[float] = deque(maxlen=WINDOWS)
        self._most = 0

    def observe(self, answer: AnsweredRequest) -> int:
        self._seen.append(max(1, answer.first_byte_ns - answer.admitted_ns))
        self._most = max(self._most, answer.in_flight)
        return 0

    def failed(self, admitted_ns: int, now_ns: int) -> None:
        """It knows no refusals of the back end."""

    def step(self, now_ns: int, load: Load) -> None:
        seconds = (now_ns - self._began_ns) / SECOND_NS
        if seconds < 0:
            self._began_ns = now_ns
        if seconds < LEAST_S or (len(self._seen) < LEAST_SAMPLES and seconds < MOST_S) or not self._seen:
            return
        self._recent.append(quantile(self._seen, 0.9))
        taken = median(self._recent)
        self._smooth = taken if not self._smooth else self._smooth + (taken - self._smooth) / 3
        self._baseline += (taken - self._baseline) * (2 / 11 if self._baseline else 1.0)
        self._flights.append(self._most)
        self._rates.append(len(self._seen) / seconds)
        self._times.append(taken)
        self._seen, self._began_ns = [], now_ns
        self._change(load)
        self._most = load.in_flight

    def _change(self, load: Load) -> None:
        unit = max(1.0, log10(self._limit))
        queue = ceil(self._limit * (1 - self._baseline / self._smooth))
        if queue > self._beta * unit or self._is_overloaded(load):
            self._limit -= unit
        elif queue < self._alpha * unit:
            self._limit = min(self._limit + unit, max(self._limit, 5.0 * self._most))
        self._limit = min(max(self._limit, self._settings.floor), self._settings.ceiling)

    def _is_overloaded(self, load: Load) -> bool:
        if len(self._flights) < LEAST_WINDOWS or load.turned_away == 0:
            return False
        if min(pstdev(self._flights), pstdev(self._rates), pstdev(self._times)) == 0:
            return False
        with_rate = correlation(self._flights, self._rates)
        with_time = correlation(self._flights, self._times)
        flat = pstdev(self._rates) / fmean(self._rates) < 0.2
        return with_rate < 0 or (with_time > 0.5 and (with_rate < 0.3 or flat))
