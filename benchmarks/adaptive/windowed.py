"""Controllers by the mean latency of a window, the common part: a bound on all in flight, no target."""

from __future__ import annotations

from math import inf

from ratelimit.load.model.controller import AnsweredRequest, Bounds, Load
from ratelimit.load.model.settings import Settings

LEAST_SAMPLES = 10
"""Answers that a window has to have before anything is learned from it."""


class Windowed:
    """The limit, and the window of answers that it is changed by.

    Args:
        settings: bounds.
        window_ns: least length of a window.
    """

    def __init__(self, settings: Settings, window_ns: int) -> None:
        self._settings = settings
        self._window_ns = window_ns
        self._limit = float(settings.start)
        self._sum = 0.0
        self._count = 0
        self._most = 0
        self._began_ns = 0
        self._failed = False

    def bounds(self) -> Bounds:
        limit = int(self._limit)
        return Bounds(limit, limit, limit)

    @property
    def target_ns(self) -> int:
        return 0

    @property
    def pressure(self) -> float:
        return inf

    @property
    def places(self) -> float | None:
        return None

    def observe(self, answer: AnsweredRequest) -> int:
        self._sum += max(1, answer.first_byte_ns - answer.admitted_ns)
        self._count += 1
        self._most = max(self._most, answer.in_flight)
        return 0

    def failed(self, admitted_ns: int, now_ns: int) -> None:
        self._failed = True

    def _is_over(self, now_ns: int) -> bool:
        """Return whether the window is over; begin the next one if so. Its answers are kept until taken."""
        if 0 <= now_ns - self._began_ns < self._window_ns:
            return False
        self._began_ns = now_ns
        return True

    def _taken_failure(self) -> bool:
        """Return whether the back end refused anything since this was asked last."""
        failed, self._failed = self._failed, False
        return failed

    def _taken_answers(self, load: Load) -> tuple[int, float, int] | None:
        """Take the answers: how many, their mean latency, and most in flight; None while they are too few."""
        if self._count < LEAST_SAMPLES:
            return None
        taken = self._count, self._sum / self._count, max(self._most, load.most_in_flight)
        self._sum, self._count, self._most = 0.0, 0, 0
        return taken

    def _set(self, limit: float) -> None:
        self._limit = min(max(limit, self._settings.floor), self._settings.ceiling)
