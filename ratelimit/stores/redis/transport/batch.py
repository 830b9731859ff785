"""One call to the server: the questions of many decisions, and the task that waits for each answer."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from ratelimit.core.redis.batch import MOST_ASKS as MOST_ASKS
from ratelimit.core.redis.batch import Batch as Batch
from ratelimit.core.redis.batch import Decisive
from ratelimit.core.redis.batch import SlotBatch as SlotBatch
from ratelimit.errors import StoreError
from ratelimit.stores.redis.transport.errors import anew
from ratelimit.stores.redis.transport.pending import Unawaited

if TYPE_CHECKING:
    from ratelimit.clock import Clock
    from ratelimit.core.decision.engine import Outcome
    from ratelimit.core.redis.lease import Leases
    from ratelimit.stores.redis.protocols import Planned

Call = tuple[Collection[bytes], tuple[int, ...], bytes, list[int]]
"""One run of the script: its keys, and the three parts of its payload."""


class AwaitsAnswer:
    """A task waits for an answer."""

    __slots__ = ()

    future: Any

    def fail(self, error: StoreError) -> None:
        """Tell the task that waits that there is no answer."""
        if not self.future.done():
            self.future.set_exception(anew(error))


class Question(Decisive, AwaitsAnswer):
    """A decision that waits for its answer."""

    __slots__ = ()


class Part(AwaitsAnswer):
    """A part of something that waits for its numbers: an ask in a slot of its own, a charge carried over."""

    __slots__ = ("future", "said", "size")

    def __init__(self, size: int, future: Future[list[int]]) -> None:
        self.future = future
        self.size = size
        self.said: list[int] = []

    def read_reply(self, said: list[int], at: int) -> int:
        """Take the numbers; return where the next answer begins."""
        end = at + self.size
        if end > len(said):
            raise IndexError(f"{self.size} numbers were expected")
        self.said = [said[0], *said[at:end]]
        return end

    def tell(self) -> None:
        """Give the numbers to the task that waits for them."""
        if not self.future.done():
            self.future.set_result(self.said)


class Correction(Unawaited):
    """A correction on its way; no task waits for it."""

    __slots__ = ("at", "delta", "index", "outcome", "plan", "slot_batch")

    def __init__(self, plan: Planned, outcome: Outcome, index: int, delta: int) -> None:
        self.plan = plan
        self.outcome = outcome
        self.index = index
        self.delta = delta
        self.slot_batch: SlotBatch | None = None
        self.at = 0

    @property
    def key(self) -> tuple[int, int]:
        """The subject of a correction: an outcome, for as long as this refers to it, and one of its rules."""
        return id(self.outcome), self.index

    def put(self, slot_batch: SlotBatch) -> None:
        """Have it sent in a slot batch."""
        self.slot_batch = slot_batch
        plan, items = self.plan, slot_batch.items
        self.at = len(items) + 4  # see script.py
        plan.rules.correct(
            self.outcome, self.index, self.delta, slot_batch.base_of(plan), slot_batch.keys, items
        )
        slot_batch.entries.append(self)
        if self.index in plan.counting:
            slot_batch.corrections[self.key] = self

    def amend(self) -> bool:
        """Have it ask for what was reported since; False if it was sent."""
        if self.slot_batch is None or self.slot_batch.is_sent:
            return False
        self.slot_batch.items[self.at] = self.plan.rules.amend(self.outcome, self.index)
        return True

    def read_reply(self, said: list[int], at: int) -> int:
        """Take the answer; return where the next begins."""
        at = self.plan.rules.corrected(self.outcome, self.index, said, at, said[0])[1]
        self.end()
        return at

    def tell(self) -> None:
        """Have what was reported meanwhile corrected as well."""
        if self.plan.rules.owes(self.outcome, self.index):
            self.plan.correct_again(self.outcome, self.index)

    def fail(self, error: StoreError) -> None:
        """It may have been made: making it again could count it twice."""
        if self.end():
            self.plan.lost()
            self.plan.rules.unanswered(self.outcome, self.index)
            self.tell()


class Renewal(Unawaited):
    """A lease asked for, or given back; no task waits for it."""

    __slots__ = ("_clock", "_key", "_leases", "_sent_ns")

    def __init__(self, leases: Leases, key: int, clock: Clock, sent_ns: int) -> None:
        self._leases = leases
        self._key = key
        self._clock = clock
        self._sent_ns = sent_ns

    def read_reply(self, said: list[int], at: int) -> int:
        """Take the answer; return where the next begins."""
        self._leases.set_skew(said[0] * 1000 - self._clock.now_ns())
        at = self._leases.answer(self._key, said, at, self._sent_ns)
        self.end()
        return at

    def fail(self, error: StoreError) -> None:
        """Return whether units were granted is not known: if so they lapse."""
        if self.end():
            self._leases.failed(self._key)
