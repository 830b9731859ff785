"""Traced decisions to look at: a trace for each bucket of decision times, and for each limit that refuses.

They are this worker's own, the latest of each kind, and cost a request nothing where no tracing asks for
them. How many there can be is fixed by buckets and by limits.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping

from prometheus_client.samples import Exemplar

from ratelimit.telemetry.names import LATENCY_BOUNDS_NS

MOST_LIMITS = 1024
"""Limits of policies that are gone make room for new ones, the oldest first."""

Trace = Callable[[], Mapping[str, str] | None]
"""Says which trace is under way, as labels of an exemplar; None outside of one that is recorded."""


class Exemplars:
    """The latest traced decisions of one worker.

    Args:
        trace: says which trace is under way.
        now_ns: the time since 1970.
    """

    def __init__(self, trace: Trace, now_ns: Callable[[], int]) -> None:
        self._trace = trace
        self._now_ns = now_ns
        self._buckets: dict[int, Exemplar] = {}
        self._limits: dict[str, Exemplar] = {}

    def timed(self, elapsed_ns: int) -> None:
        """Note how long a decision of the trace under way took."""
        labels = self._trace()
        if labels is not None:
            bucket = bisect_left(LATENCY_BOUNDS_NS, elapsed_ns)
            self._buckets[bucket] = Exemplar(dict(labels), elapsed_ns / 1e9, self._now_ns() / 1e9)

    def refused(self, limit: str) -> None:
        """Note that a limit refused a request of the trace under way."""
        labels = self._trace()
        if labels is not None:
            self._limits.pop(limit, None)
            if len(self._limits) >= MOST_LIMITS:
                del self._limits[next(iter(self._limits))]
            self._limits[limit] = Exemplar(dict(labels), 1.0, self._now_ns() / 1e9)

    def of_bucket(self, bucket: int) -> Exemplar | None:
        """Return the latest decision in a bucket of decision times, counted from the shortest."""
        return self._buckets.get(bucket)

    def of_limit(self, limit: str) -> Exemplar | None:
        """Return the latest request that a limit refused."""
        return self._limits.get(limit)
