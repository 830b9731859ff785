"""The pressure in one state of the back end, from first bytes: how late they are, and how many may wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from ratelimit.load.model.quantile import quantile

NEAR = 0.6
"""Samples count for the cost of waiting if they waited behind this share of the longest queue. What
waits behind nothing shows the work of a request, and not the queue."""
MOST_SAMPLES = 200
LEAST_SAMPLES = 5


class Lateness(NamedTuple):
    """The measures of one look, all as parts of the target.

    Args:
        pressure: how late first bytes are.
        explained: how late they are because of the queue.
        cost: what a place in the queue costs.
    """

    pressure: float
    explained: float
    cost: float


class Pressure:
    """A window over first bytes, as parts of the target, each with the length of its queue.

    What counts of a wait is what the queue explains (`Turns`).
    With one place after the other, a request behind `n - 1` others waits `n` times as long as one
    behind none. So the late ones' time divided by `n` is what each place costs. The target
    divided by that is the queue that keeps it (Little's law). Where requests are served side by side,
    it costs less the more there are, and the estimate is too small, never too large. Where the first byte
    is the whole answer, that is so for most services, and what is late is mostly a long answer. There
    the late ones' time is divided by the longest queue.
    """

    __slots__ = ("_keep_ns", "_kept", "_samples")

    def __init__(self, keep_ns: int, kept: int) -> None:
        self._samples: deque[tuple[int, int, float, float, int]] = deque(maxlen=MOST_SAMPLES)
        self._keep_ns = keep_ns
        self._kept = kept

    def add(self, admitted_ns: int, now_ns: int, part: float, explained: float, queue: int) -> None:
        """Take a first byte.

        Args:
            admitted_ns: when its request was admitted.
            now_ns: when it came.
            part: the part of the target that it took.
            explained: as much of that as the queue explains.
            queue: requests without a first byte when it was admitted, itself included.
        """
        self._samples.append((admitted_ns, now_ns, part, explained, max(1, queue)))

    def forget(self, now_ns: int, oldest_ns: int) -> None:
        """Drop what is past the window, but for the newest few; and those too at an age of `oldest_ns`."""
        samples = self._samples
        while samples:
            age_ns = now_ns - samples[0][1]
            if 0 <= age_ns <= oldest_ns and (age_ns <= self._keep_ns or len(samples) <= self._kept):
                return
            samples.popleft()

    def clear(self) -> None:
        """Drop everything."""
        self._samples.clear()

    def look(
        self,
        epoch_ns: int,
        late: float,
        ages: Iterable[tuple[float, float, int]],
        limit: float,
        *,
        share: float,
        is_whole: bool = False,
    ) -> Lateness | None:
        """Return how late first bytes are and what a place in the queue costs.

        What was admitted before the epoch and was late says nothing: it met a limit that is no more.
        None where too little is known. `share` says of which quantile.
        """
        known = [
            (part, explained, queue)
            for admitted, _, part, explained, queue in self._samples
            if admitted > epoch_ns or explained < late
        ]
        known.extend(ages)
        if len(known) < LEAST_SAMPLES:
            return None
        longest = max(queue for _, _, queue in known)
        near = NEAR * min(longest, limit)
        pressure = quantile((part for part, _, _ in known), share)
        late_by = quantile((explained for _, explained, _ in known), share)
        costly = [(explained, queue) for _, explained, queue in known if queue >= near]
        if is_whole:
            return Lateness(
                pressure, late_by, quantile((explained for explained, _ in costly), share) / longest
            )
        return Lateness(
            pressure, late_by, quantile((explained / queue for explained, queue in costly), share)
        )
