"""What goes to the server in one call: many decisions' questions, and the task that waits for each answer."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import msgspec

from ratelimit.errors import StoreError
from ratelimit.stores.redis.transport.errors import anew
from ratelimit.stores.redis.transport.pending import Unawaited

if TYPE_CHECKING:
    from ratelimit.clock import Clock
    from ratelimit.core.decision.engine import Outcome
    from ratelimit.core.redis.lease import Leases
    from ratelimit.stores.redis.protocols import Planned

MOST_ASKS = 96
"""So many asks a call: half a millisecond of the server, while another pipeline is read and written."""
_MOST_NUMBERS = 6 * MOST_ASKS
"""What they take in items, with the head of each decision of two or three."""

Call = tuple[Collection[bytes], tuple[int, ...], bytes, list[int]]
"""One run of the script: its keys, and the three parts of its payload."""

_TIMES = range(1 << 53)
"""Microseconds since the epoch, as far as the script's numbers are whole: until the year 2255."""

_decode = msgspec.msgpack.Decoder(list[int]).decode


class Waiting:
    """A task waits for an answer."""

    __slots__ = ("future",)

    future: Future[Any]

    def fail(self, error: StoreError) -> None:
        """Tell the task that waits that there is no answer."""
        if not self.future.done():
            self.future.set_exception(anew(error))


class Question(Waiting):
    """A decision that waits for its answer."""

    __slots__ = ("commit", "outcome", "plan")

    def __init__(self, plan: Planned, outcome: Outcome, commit: bool, future: Future[None]) -> None:
        self.future = future
        self.plan = plan
        self.outcome = outcome
        self.commit = commit

    def read_reply(self, said: list[int], at: int) -> int:
        """Take the answer; return where the next begins."""
        return self.plan.rules.answer(self.outcome, said, at, said[0], self.commit)

    def tell(self) -> None:
        """Let the task that asked go on."""
        if not self.future.done():
            self.future.set_result(None)
        elif self.commit and self.outcome.allowed:
            self.outcome.undo(0)  # the task has gone: nothing is held on its behalf


class Part(Waiting):
    """A part of something that waits for its numbers: an ask in a slot of its own, a charge carried over."""

    __slots__ = ("said", "size")

    def __init__(self, size: int, future: Future[list[int]]) -> None:
        self.future = future
        self.size = size
        self.said: list[int] = []

    def read_reply(self, said: list[int], at: int) -> int:
        """Take the numbers; return where the next answer begins."""
        end = at + self.size
        if end > len(said):
            raise IndexError(f"{self.size} numbers were asked for")
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
        """What is corrected: an outcome, for as long as this refers to it, and one of its rules."""
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
        """Whether units were granted is not known: if so they lapse."""
        if self.end():
            self._leases.failed(self._key)


Entry = Question | Part | Correction | Renewal


class SlotBatch:
    """Questions that are asked in one call."""

    __slots__ = ("_bases", "_described", "_rules", "corrections", "entries", "is_sent", "items", "keys")

    def __init__(self) -> None:
        self.keys: dict[bytes, int] = {}
        """What is asked about, numbered from one."""
        self.items: list[int] = []
        self.entries: list[Entry] = []
        self.corrections: dict[tuple[int, int], Correction] = {}
        """Those of units, to be amended until they are sent."""
        self.is_sent = False
        self._bases: dict[Planned, int] = {}
        self._described = b""
        self._rules = 0

    def base_of(self, plan: Planned) -> int:
        """Return the number of a plan's first rule in this slot batch."""
        base = self._bases.get(plan)
        if base is None:
            base = self._bases[plan] = self._rules
            self._rules += len(plan.rules)
            self._described += plan.described
        return base

    def call(self, worker: int, now_us: int | None) -> Call:
        """Return what the script is run with."""
        self.is_sent = True
        opening = (False if now_us is None else now_us, worker, self._rules)
        return self.keys, opening, self._described, self.items

    def deliver(self, answer: bytes) -> int:
        """Give all tasks the answer; return how many they are.

        Raises:
            ValueError: it is no answer to these questions; those not answered yet remain to be failed.
        """
        if not isinstance(answer, bytes):
            raise ValueError(f"an answer of type {type(answer).__name__}")
        said = _decode(answer)
        if not said or said[0] not in _TIMES:
            raise ValueError("an answer of no time")
        at = 1
        try:
            for entry in self.entries:
                at = entry.read_reply(said, at)
        except (IndexError, TypeError, OverflowError) as error:
            raise ValueError(f"an answer of {len(said)} numbers ends too early: {error}") from error
        if at != len(said):
            raise ValueError(f"an answer of {len(said)} numbers, {at} were asked for")
        # No task is told before all of it made sense.
        for entry in self.entries:
            entry.tell()
        return len(self.entries)

    def fail(self, error: StoreError) -> None:
        """Tell all tasks that still wait that there is no answer."""
        for entry in self.entries:
            entry.fail(error)


class Batch:
    """What is sent at one time: a slot batch, or for a cluster one for each slot."""

    __slots__ = ("begun", "is_over", "is_overdue", "pipeline", "sent", "slot_batches")

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.sent = begun
        self.slot_batches: dict[bytes, SlotBatch] = {}
        self.is_over = False
        self.is_overdue = False
        self.pipeline: Any = None
        """What carries it, once it is sent."""

    def slot_batch(self, tag: bytes = b"") -> SlotBatch:
        """Return the slot batch of a slot."""
        slot_batch = self.slot_batches.get(tag)
        if slot_batch is None:
            slot_batch = self.slot_batches[tag] = SlotBatch()
        return slot_batch

    def calls(self, worker: int, now_us: int | None) -> list[Call]:
        """Return what the script is run with, for each slot batch."""
        return [
            slot_batch.call(worker, now_us) for slot_batch in self.slot_batches.values() if slot_batch.keys
        ]

    @property
    def is_full(self) -> bool:
        """Whether no more should be added."""
        numbers = 0
        for slot_batch in self.slot_batches.values():
            numbers += len(slot_batch.items)
        return numbers >= _MOST_NUMBERS

    def fail(self, error: StoreError) -> None:
        """Tell all tasks that still wait that there is no answer."""
        self.is_over = True
        for slot_batch in self.slot_batches.values():
            slot_batch.fail(error)
