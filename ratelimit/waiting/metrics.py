"""Rows, columns and metrics of requests that wait for room: see `names`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, Protocol

from ratelimit.telemetry.metric import Label, Metric, Samples, Totals, counted, plain

COUNTER_WAITS = "\x1fwaits"
COUNTER_WAITED = "\x1fwaited"
COUNTER_HOLDS = "\x1fholds"
COUNTER_HELD = "\x1fheld"

# What became of requests that had no room in a limit with `wait`.
WAIT_RESULTS: tuple[str, ...] = (
    "admitted",
    "expired",
    "left",
    "refused",
    "principal-full",
    "full",
    "too-long",
    "shadow",
    "closed",
)
# What became of requests that the back end had no room for, under the limit that follows the load.
HOLD_RESULTS: tuple[str, ...] = (
    "admitted",
    "expired",
    "left",
    "principal-full",
    "full",
    "too-long",
    "shadow",
    "closed",
)
WAIT_BOUNDS_NS: tuple[int, ...] = (
    1_000_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    60_000_000_000,
    600_000_000_000,
)
WAIT_REST = len(WAIT_BOUNDS_NS)
WAIT_SUM_NS = WAIT_REST + 1
WAIT_WIDTH = WAIT_SUM_NS + 1

QUEUE_REQUESTS = Metric(
    "ratelimit_queue_requests",
    "counter",
    "Requests without room in a limit with wait, by outcome; principal-full, full and too-long: "
    "refused at arrival; shadow: would have waited.",
    (Label("result", WAIT_RESULTS),),
)
QUEUE_WAITS = Metric(
    "ratelimit_queue_wait_seconds",
    "histogram",
    "Time that requests waited for room, whatever the end; without those refused at arrival.",
    bounds=WAIT_BOUNDS_NS,
)
QUEUE_WAITING = Metric(
    "ratelimit_queue_waiting",
    "gauge",
    "Requests of this worker that wait for room.",
    per_worker=True,
)
QUEUE_FAIRNESS = Metric(
    "ratelimit_queue_fairness",
    "gauge",
    "Jain's index of the service that this worker gave waiting callers, over one to two minutes: 1 if "
    "all had as much.",
    per_worker=True,
)

METRICS = (QUEUE_REQUESTS, QUEUE_WAITS, QUEUE_WAITING, QUEUE_FAIRNESS)
"""Exported only where the policy lets requests wait."""


def samples(limiter: Any, totals: Totals) -> Iterator[Samples]:
    """Yield what became of requests that wait, and the lines of this worker."""
    queue = limiter.queue
    if queue is None:
        return
    yield counted(QUEUE_REQUESTS, totals(COUNTER_WAITS, len(WAIT_RESULTS)))
    yield plain(QUEUE_WAITS, totals(COUNTER_WAITED, WAIT_WIDTH))
    yield plain(QUEUE_WAITING, queue.waiting)
    yield plain(QUEUE_FAIRNESS, queue.fairness)


_WAITED = ("admitted", "expired", "left", "refused")
COUNTERS = ((COUNTER_WAITS, len(WAIT_RESULTS)), (COUNTER_WAITED, WAIT_WIDTH))
"""Those that are taken when a limiter is made, so that a full table is found then."""


class Counting(Protocol):
    """Counts in this worker's cells: `telemetry.counters.Counters` is one."""

    def add(self, counter: str, width: int, column: int, amount: int = 1) -> None:
        """Add to a column of a counter that has so many."""
        ...


def count_wait(counters: Counting, result: str, waited_ns: int) -> None:
    """Count what became of a request that had no room, and how long it waited if it did."""
    counters.add(COUNTER_WAITS, len(WAIT_RESULTS), WAIT_RESULTS.index(result))
    _count_time(counters, COUNTER_WAITED, result, waited_ns)


def count_hold(counters: Counting, result: str, held_ns: int) -> None:
    """Count what became of a request that the back end had no room for, in the same way."""
    counters.add(COUNTER_HOLDS, len(HOLD_RESULTS), HOLD_RESULTS.index(result))
    _count_time(counters, COUNTER_HELD, result, held_ns)


def _count_time(counters: Counting, counter: str, result: str, waited_ns: int) -> None:
    if result in _WAITED:
        counters.add(counter, WAIT_WIDTH, bisect_left(WAIT_BOUNDS_NS, waited_ns))
        counters.add(counter, WAIT_WIDTH, WAIT_SUM_NS, waited_ns)
