"""Concurrency: how many requests are at work at once.

A slot is held by a worker process for a request and given back when the request
ends. A worker that has been silent for a whole lease is taken for dead, and the
slots it held are free again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Self

from ratelimit.reference.reading import NANOSECONDS, Algorithm, RuleQuestion
from ratelimit.reference.rule import RuleSpec


class Slot(NamedTuple):
    """One request at work. The number tells slots of one worker apart."""

    worker: int
    number: int


Held = tuple[Slot, ...]


@dataclass(frozen=True)
class Concurrency(Algorithm):
    """At most `quota` slots held.

    Args:
        last_seen_ns: tells when a worker last gave a sign of life.
        worker: the one that asks.
    """

    is_indivisible = True

    quota: int
    lease_ns: int
    last_seen_ns: Callable[[int], int]
    worker: int

    @classmethod
    def of(cls, spec: RuleSpec, asked: RuleQuestion) -> Self:
        """Return the algorithm with a rule's numbers."""
        return cls(spec.quota, spec.lease_ns, asked.last_seen_ns.__getitem__, asked.worker)

    def live(self, held: Held | None, now_ns: int) -> Held:
        """Return the slots of workers that were heard of within the lease."""
        return tuple(slot for slot in held or () if now_ns - self.last_seen_ns(slot.worker) < self.lease_ns)

    def used(self, held: Held | None, now_ns: int) -> int:
        return len(self.live(held, now_ns))

    def charge(self, held: Held | None, now_ns: int, cost: int) -> tuple[Held | None, tuple[int, ...]]:
        """Take `cost` slots; the receipt lists their numbers."""
        first = max((slot.number for slot in held or ()), default=-1) + 1
        numbers = tuple(range(first, first + cost))
        taken = tuple(Slot(self.worker, number) for number in numbers)
        return self.live(held, now_ns) + taken, numbers

    def retry_after(self, held: Held | None, now_ns: int, cost: int) -> int:
        """Return a second: no worker can know when a request at work ends."""
        return 0 if self.allows(held, now_ns, cost) else NANOSECONDS

    def reset_after(self, held: Held | None, now_ns: int) -> int:
        return self.lease_ns if self.live(held, now_ns) else 0

    def settle(
        self, held: Held | None, receipt: tuple[int, ...], cost: int, actual: int, now_ns: int
    ) -> tuple[Held | None, tuple[int, ...], int]:
        """Give slots back when nothing was used; a slot has no other correction."""
        if actual:
            return held, receipt, 0
        kept = tuple(slot for slot in held or () if slot.number not in receipt)
        return kept, (), len(kept) - len(held or ())
