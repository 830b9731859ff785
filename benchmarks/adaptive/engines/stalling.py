"""Places that all stand still for a moment now and then, as for a collection of garbage or a checkpoint."""

from __future__ import annotations

from random import Random

from benchmarks.adaptive.engines.places import Places
from benchmarks.adaptive.timeline import SECOND, Timeline

APART = 0.4
"""Between two stalls as long as they are apart in the mean, by this part more or less."""


class Stalling(Places):
    """Stands still about every `every_s` seconds for `shortest_s` to `longest_s`."""

    def __init__(
        self,
        count: int,
        read_rate: float,
        write_rate: float,
        every_s: float,
        shortest_s: float,
        longest_s: float,
        timeline: Timeline,
    ) -> None:
        super().__init__(count, read_rate, write_rate, timeline)
        self._every_s = every_s
        self._shortest_s, self._longest_s = shortest_s, longest_s
        self._random = Random(4)
        self._share = 1.0
        self._plan()

    def set_capacity(self, share: float) -> None:
        self._share = share
        super().set_capacity(share)

    def _plan(self) -> None:
        took_s = self._every_s * self._random.uniform(1.0 - APART, 1.0 + APART)
        self._timeline.at(self._timeline.now_ns + int(took_s * SECOND), self._stall)

    def _stall(self) -> None:
        super().set_capacity(0.0)
        took_s = self._random.uniform(self._shortest_s, self._longest_s)
        self._timeline.at(self._timeline.now_ns + int(took_s * SECOND), self._go_on)

    def _go_on(self) -> None:
        super().set_capacity(self._share)
        self._plan()
