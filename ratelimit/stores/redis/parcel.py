"""What goes to the server in one call: many decisions' questions, and who waits for which answer."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import msgspec

from ratelimit.errors import StoreError
from ratelimit.stores.redis.unanswered import anew
from ratelimit.stores.redis.underway import Unawaited

if TYPE_CHECKING:
    from ratelimit.clock import Clock
    from ratelimit.core.engine import Outcome
    from ratelimit.core.lease import Leases
    from ratelimit.stores.redis.lanes import Lane
    from ratelimit.stores.redis.plan import RedisPlan

MOST_ASKS = 96
"""So many asks a call: half a millisecond of the server, while the other lane is read and written here."""
_MOST_NUMBERS = 6 * MOST_ASKS
"""What they take in items, with the head of each decision of two or three."""

Call = tuple[Collection[bytes], tuple[int, ...], bytes, list[int]]
"""One run of the script: its keys, and the three parts of its payload."""

_TIMES = range(1 << 53)
"""Microseconds since the epoch, as far as the script's numbers are whole: until the year 2255."""

_decode = msgspec.msgpack.Decoder(list[int]).decode


class Waiting:
    """Somebody waits for an answer."""

    __slots__ = ("future",)

    future: Future[Any]

    def fail(self, error: StoreError) -> None:
        """Tell whoever waits that there is no answer."""
        if not self.future.done():
            self.future.set_exception(anew(error))


class Question(Waiting):
    """A decision that waits for its answer."""

    __slots__ = ("commit", "outcome", "plan")

    def __init__(self, plan: RedisPlan, outcome: Outcome, commit: bool, future: Future[None]) -> None:
        self.future = future
        self.plan = plan
        self.outcome = outcome
        self.commit = commit

    def read(self, said: list[int], at: int) -> int:
        """Take the answer; return where the next begins."""
        return self.plan.rules.answer(self.outcome, said, at, said[0], self.commit)

    def tell(self) -> None:
        """Let who asked go on."""
        if not self.future.done():
            self.future.set_result(None)
        elif self.commit and self.outcome.allowed:
            self.outcome.undo(0)  # who asked has gone: nothing is held on its behalf


class Part(Waiting):
    """A part of something that waits for its numbers: an ask in a slot of its own, a charge carried over."""

    __slots__ = ("said", "size")

    def __init__(self, size: int, future: Future[list[int]]) -> None:
        self.future = future
        self.size = size
        self.said: list[int] = []

    def read(self, said: list[int], at: int) -> int:
        """Take the numbers; return where the next answer begins."""
        end = at + self.size
        if end > len(said):
            raise IndexError(f"{self.size} numbers were asked for")
        self.said = [said[0], *said[at:end]]
        return end

    def tell(self) -> None:
        """Give the numbers to who waits for them."""
        if not self.future.done():
            self.future.set_result(self.said)


class Correction(Unawaited):
    """A correction on its way; nobody waits for it."""

    __slots__ = ("at", "delta", "index", "outcome", "parcel", "plan")

    def __init__(self, plan: RedisPlan, outcome: Outcome, index: int, delta: int) -> None:
        self.plan = plan
        self.outcome = outcome
        self.index = index
        self.delta = delta
        self.parcel: Parcel | None = None
        self.at = 0

    @property
    def key(self) -> tuple[int, int]:
        """What is corrected: an outcome, for as long as this refers to it, and one of its rules."""
        return id(self.outcome), self.index

    def put(self, parcel: Parcel) -> None:
        """Have it sent in a parcel."""
        self.parcel = parcel
        plan, items = self.plan, parcel.items
        self.at = len(items) + 4  # see script.py
        plan.rules.correct(self.outcome, self.index, self.delta, parcel.base_of(plan), parcel.keys, items)
        parcel.entries.append(self)
        if self.index in plan.counting:
            parcel.corrections[self.key] = self

    def amend(self) -> bool:
        """Have it ask for what was reported since; False if it was sent."""
        if self.parcel is None or self.parcel.is_sent:
            return False
        self.parcel.items[self.at] = self.plan.rules.amend(self.outcome, self.index)
        return True

    def read(self, said: list[int], at: int) -> int:
        """Take the answer; return where the next begins."""
        at = self.plan.rules.corrected(self.outcome, self.index, said, at, said[0])[1]
        self.end()
        return at

    def tell(self) -> None:
        """Have what was reported meanwhile corrected as well."""
        if self.plan.rules.owes(self.outcome, self.index):
            self.plan.store.correct(self.plan, self.outcome, self.index, 0)

    def fail(self, error: StoreError) -> None:
        """It may have been made: making it again could count it twice."""
        if self.end():
            self.plan.store.tally.lost(1)
            self.plan.rules.unanswered(self.outcome, self.index)
            self.tell()


class Renewal(Unawaited):
    """A lease asked for, or given back; nobody waits for it."""

    __slots__ = ("_clock", "_key", "_leases", "_sent_ns")

    def __init__(self, leases: Leases, key: int, clock: Clock, sent_ns: int) -> None:
        self._leases = leases
        self._key = key
        self._clock = clock
        self._sent_ns = sent_ns

    def read(self, said: list[int], at: int) -> int:
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


class Parcel:
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
        self._bases: dict[RedisPlan, int] = {}
        self._described = b""
        self._rules = 0

    def base_of(self, plan: RedisPlan) -> int:
        """Return the number of a plan's first rule in this parcel."""
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
        """Give everybody the answer; return how many they are.

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
                at = entry.read(said, at)
        except (IndexError, TypeError, OverflowError) as error:
            raise ValueError(f"an answer of {len(said)} numbers ends too early: {error}") from error
        if at != len(said):
            raise ValueError(f"an answer of {len(said)} numbers, {at} were asked for")
        # Nobody is told before all of it made sense.
        for entry in self.entries:
            entry.tell()
        return len(self.entries)

    def fail(self, error: StoreError) -> None:
        """Tell all who still wait that there is no answer."""
        for entry in self.entries:
            entry.fail(error)


class Batch:
    """What is sent at one time: a parcel, or for a cluster one for each slot."""

    __slots__ = ("begun", "is_over", "is_overdue", "lane", "parcels", "sent")

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.sent = begun
        self.parcels: dict[bytes, Parcel] = {}
        self.is_over = False
        self.is_overdue = False
        self.lane: Lane | None = None
        """What carries it, once it is sent."""

    def parcel(self, tag: bytes = b"") -> Parcel:
        """Return the parcel of a slot."""
        parcel = self.parcels.get(tag)
        if parcel is None:
            parcel = self.parcels[tag] = Parcel()
        return parcel

    def calls(self, worker: int, now_us: int | None) -> list[Call]:
        """Return what the script is run with, for each parcel."""
        return [parcel.call(worker, now_us) for parcel in self.parcels.values() if parcel.keys]

    @property
    def is_full(self) -> bool:
        """Whether no more should be added."""
        numbers = 0
        for parcel in self.parcels.values():
            numbers += len(parcel.items)
        return numbers >= _MOST_NUMBERS

    def fail(self, error: StoreError) -> None:
        """Tell all who still wait that there is no answer."""
        self.is_over = True
        for parcel in self.parcels.values():
            parcel.fail(error)
