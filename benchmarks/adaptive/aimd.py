"""AIMD on the first byte: a step up while it is in time, a cut while it is not.

The rule of Netflix' `AIMDLimit` with a quantile for its single time-out, once a period.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from math import isfinite

from ratelimit.load.model.controller import AnsweredRequest, Bounds, Load
from ratelimit.load.model.quantile import quantile
from ratelimit.load.model.settings import SECOND_NS, Settings

LEAST_SAMPLES = 5
WINDOW_NS = 4 * SECOND_NS


class Aimd:
    """`L * cut` where the 95 % quantile of first bytes is beyond `aim` of the target, else `L + 1`.

    Args:
        settings: bounds; the target is a second where none is given.
        aim: share of the target that is kept.
        cut: factor of a cut.
        period_ns: time between two changes.
    """

    def __init__(
        self, settings: Settings, *, aim: float = 1.0, cut: float = 0.9, period_ns: int = SECOND_NS
    ) -> None:
        self._settings = settings
        self._aim = aim
        self._cut = cut
        self._period_ns = period_ns
        self._limit = float(settings.start)
        self._changed_ns = 0
        self._seen: deque[tuple[int, float]] = deque(maxlen=4096)
        self._failed = False
        self._pressure = 0.0

    def bounds(self) -> Bounds:
        limit = int(self._limit)
        return Bounds(limit, limit, limit)

    def words(self) -> Sequence[float]:
        return (self._limit, self._changed_ns, self._pressure)

    def take_over(self, words: Sequence[float], answers: Iterable[AnsweredRequest]) -> None:
        limit, changed_ns, pressure, *_ = (word if isfinite(word) else 0.0 for word in words)
        self._limit = min(max(limit, self._settings.floor), self._settings.ceiling)
        self._changed_ns, self._pressure = int(changed_ns), pressure
        for answer in answers:
            self.observe(answer)

    @property
    def target_ns(self) -> int:
        return self._settings.first_byte_ns or SECOND_NS

    @property
    def pressure(self) -> float:
        return self._pressure

    @property
    def places(self) -> float | None:
        return None

    def observe(self, answer: AnsweredRequest) -> int:
        took_ns = max(0, answer.first_byte_ns - answer.admitted_ns)
        self._seen.append((answer.first_byte_ns, took_ns / self.target_ns))
        return 0

    def failed(self, admitted_ns: int, now_ns: int) -> None:
        self._failed = True

    def step(self, now_ns: int, load: Load) -> None:
        if 0 <= now_ns - self._changed_ns < self._period_ns:
            return
        self._changed_ns = now_ns
        while self._seen and not 0 <= now_ns - self._seen[0][0] <= WINDOW_NS:
            self._seen.popleft()
        pressures = [took for _, took in self._seen]
        pressures += [
            age for since, _ in load.waiting if (age := (now_ns - since) / self.target_ns) > self._aim
        ]
        if len(pressures) >= LEAST_SAMPLES:
            self._pressure = quantile(pressures, 0.95)
        late = len(pressures) >= LEAST_SAMPLES and self._pressure > self._aim
        if late or self._failed:
            self._limit *= self._cut
        elif 2 * load.most_in_flight >= self._limit:
            self._limit += 1
        self._failed = False
        self._limit = min(max(self._limit, self._settings.floor), self._settings.ceiling)
