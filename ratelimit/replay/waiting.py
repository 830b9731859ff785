"""Requests of a trace that wait for room, in virtual time.

Theory of operation. A request without room is asked again at the time for which its limits promise room,
before any request of the trace that comes later. So those that came before it pass first.
What waits has charged nothing.

A worker's own queue (`waiting/limit_queue`) also gives each principal a fair share of a line. Here a line is
first come, first served; the bounds of lines hold.

Decisions are written in the order of the trace. So what comes behind a request that waits is held until that
one is decided. At most it is what a trace has in the longest wait of the policy.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.stores.contract import Outcome
from ratelimit.waiting.compile import QueueSpec
from ratelimit.waiting.stage import rules_of


@dataclass(slots=True)
class Waiter:
    """One request that waits."""

    bound: BoundPolicy
    matched: Matched
    row: list[int]
    costs: Mapping[str, int] | None
    record: Any
    began_ns: int
    ends_ns: int
    principal: Hashable
    limit: int
    """The position of the rule that it waits for."""
    line: list[bytes | None]
    """The place where its decision goes."""


class TraceLines:
    """All that wait.

    Args:
        spec: how many may.
    """

    __slots__ = ("_heap", "_number", "_of", "_spec")

    def __init__(self, spec: QueueSpec) -> None:
        self._spec = spec
        self._heap: list[tuple[int, int, Waiter]] = []
        self._of: Counter[Hashable] = Counter()
        self._number = 0

    def bounds(
        self, plan: RoutePlan, outcome: Outcome, row: list[int], now_ns: int
    ) -> tuple[int, int, Hashable] | None:
        """Return for which rule a refused request waits, until when at most, and of which share.

        None where it is refused at once.
        """
        waits = rules_of(plan)
        at = None if waits is None or outcome.allowed else waits.refusing(outcome)
        if waits is None or at is None:
            return None
        wait_ns = waits.wait_ns(outcome, at)
        principal = waits.principal(row, outcome.key(at))
        is_full = len(self._heap) >= self._spec.total or self._of[principal] >= self._spec.per_principal
        if is_full or outcome.retry_after_ns(at) > wait_ns:
            return None
        return at, now_ns + wait_ns, principal

    def add(self, waiter: Waiter, due_ns: int) -> None:
        """Let a request wait until it is asked again."""
        self._number += 1
        self._of[waiter.principal] += 1
        heappush(self._heap, (due_ns, self._number, waiter))

    def due(self, now_ns: int) -> Iterator[tuple[int, Waiter]]:
        """Yield those to be asked again until now, each with its time, in their order."""
        while self._heap and self._heap[0][0] <= now_ns:
            due_ns, _, waiter = heappop(self._heap)
            self._of[waiter.principal] -= 1
            if not self._of[waiter.principal]:
                del self._of[waiter.principal]
            yield due_ns, waiter


class Lines:
    """The lines to write, in order.

    Args:
        write: takes chunks.
    """

    __slots__ = ("_held", "_write")

    def __init__(self, write: Callable[[bytes], Any]) -> None:
        self._write = write
        self._held: deque[list[bytes | None]] = deque()

    def add(self, line: bytes) -> None:
        """Write a line."""
        self._held.append([line])

    def later(self) -> list[bytes | None]:
        """Return a place for a line that is not known yet."""
        place: list[bytes | None] = [None]
        self._held.append(place)
        return place

    def flush(self) -> None:
        """Pass on what is known."""
        known: list[bytes] = []
        while self._held and (line := self._held[0][0]) is not None:
            known.append(line)
            self._held.popleft()
        if known:
            self._write(b"".join(known))
