"""Records made of logs: payers, their accounts, places and days, as the limiter would have seen them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from ratelimit.allowance.compile import allowance_of, place_of
from ratelimit.allowance.memory import SharedRecords, pieces_of, records_form
from ratelimit.allowance.records import OF_PAYER, RECORD_BYTES, REGION, Records, floor_of
from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.policy.compile.compiled import PAID, CompiledPolicy, LimitRule
from ratelimit.policy.compile.identities import CREATED, ORIGIN
from ratelimit.replay.columns import IdentityColumns
from ratelimit.replay.facts import fields_of
from ratelimit.replay.memo import Memo
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.traces import Batch

DAY_NS = 86_400 * 10**9
ACCOUNT = "account"
_PUBLIC = 0xE
"""Of a declared network's number: see `identity.origins`."""
_MOST_ROUTES = 100_000
_method_and_path = attrgetter("method", "path")


class NoPayer(ValueError):
    """A policy without an allowance by the day."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What is in the records.

    Args:
        payers: how many there are.
        largest: the best day of all, rounded down to a level.
        over_base: payers with a day beyond the limit's rate.
    """

    payers: int
    largest: int
    over_base: int


class LogRecords:
    """Records that grow line by line.

    Args:
        compiled: the policy; its first limit with `earned` and a rate by the day says who pays, and which
            requests count in which unit.
        open_store: called once, when the first time is known: its hash key is the installation's.

    Raises:
        NoPayer: the policy has no limit with `earned` and a rate by the day.
    """

    def __init__(self, compiled: CompiledPolicy, open_store: Callable[[int], EmbeddedStore]) -> None:
        self.fields = fields_of(compiled)
        self.rule = _rule_of(compiled)
        self.requests = self.counted = 0
        """Lines that were read, and those that count for a payer."""
        self.first_ns = self.last_ns = 0
        self._compiled = compiled
        self._open_store = open_store
        self._payer_at = self.rule.per[0]
        self._account_at, self._created_at, self._paid_at, self._origin_at = map(
            compiled.identity_index, (ACCOUNT, CREATED, PAID, ORIGIN)
        )
        self._place_at = place_of(compiled)
        self._day = -1
        self._used: dict[int, int] = {}
        """What each payer used on the day so far."""
        self._store: EmbeddedStore | None = None
        self._shared: SharedRecords | None = None
        self._bound: BoundPolicy
        self._columns: IdentityColumns
        self._unit = self.fields.attribute[self.rule.unit] if self.rule.unit_index else None
        self._matches: Memo

    @property
    def records(self) -> Records | None:
        """The records; None before the first line."""
        return None if self._shared is None else self._shared.memory

    @property
    def key(self) -> bytes:
        """The hash key that they are made with."""
        assert self._store is not None  # there are records
        return self._store.hasher.key

    def take(self, batch: Batch) -> None:
        """Take a batch of lines in, which are in order of time."""
        if self._shared is None:
            self.first_ns = batch.times_ns[0]
            self._begin(self.first_ns)
        self.requests += len(batch.records)
        self.last_ns = batch.times_ns[-1]
        assert self._shared is not None
        records = self._shared.memory
        matches: list[Matched] = list(map(self._matches.__getitem__, map(_method_and_path, batch.records)))
        rows = self._columns.rows(batch.records, matches)
        for record, row, matched, now_ns in zip(batch.records, rows, matches, batch.times_ns, strict=True):
            payer = _hash(row, self._payer_at)
            if payer == 0 or not self._counts(matched):
                continue
            self.counted += 1
            now_s, day = now_ns // 10**9, now_ns // DAY_NS
            if day != self._day:
                self._day, self._used = day, {}
            account, created_s = _hash(row, self._account_at), _hash(row, self._created_at)
            flags = records.see(payer, account, self._place(row), created_s, now_s)
            if self._paid_at >= 0:
                records.see_paid(payer, row[self._paid_at], flags, now_s)  # ABSENT is less than 0: not known
            used = self._used[payer] = self._used.get(payer, 0) + self._amount(record)
            records.note(payer, used, now_s)

    def totals(self) -> Totals:
        """Return what is in the records."""
        payers = largest = over = 0
        for piece in pieces_of(self._shared.memory) if self._shared is not None else ():
            for at in range(0, len(piece), RECORD_BYTES):
                if piece[at] & REGION == OF_PAYER:
                    best = floor_of(max(piece[at + 16 : at + 23]))
                    payers, largest, over = payers + 1, max(largest, best), over + (best > self.rule.quota)
        return Totals(payers, largest, over)

    def close(self) -> None:
        """Let go of the memory."""
        for each in (self._shared, self._store):
            if each is not None:
                each.close()

    def _begin(self, now_ns: int) -> None:
        self._store = self._open_store(now_ns)
        self._shared = SharedRecords.private(self._store, records_form(self._compiled.file.store.payers))
        self._bound = BoundPolicy(self._compiled, self._store, now_ns, diagnose=lambda *_: None)
        self._columns = IdentityColumns(self._bound, self.fields)
        self._matches = Memo(lambda key: self._bound.match_line(*key), _MOST_ROUTES)

    def _counts(self, matched: Matched) -> bool:
        return matched.plan is not None and any(rule.index == self.rule.index for rule in matched.plan.rules)

    def _place(self, row: list[int]) -> int:
        origin = _hash(row, self._origin_at)
        return 0 if origin & _PUBLIC else _hash(row, self._place_at)

    def _amount(self, record: Any) -> int:
        said = None if self._unit is None else getattr(record, self._unit)
        return self.rule.estimate if said is None else said


def _rule_of(compiled: CompiledPolicy) -> LimitRule:
    for rule in compiled.rules:
        if allowance_of(rule) is not None and rule.period_ns == DAY_NS and rule.tier is None:
            return rule
    raise NoPayer("the policy has no limit with `earned` and a rate by the day")


def _hash(row: list[int], at: int) -> int:
    """Return a position's number; 0 where it is absent, or was refused for what it held."""
    return max(row[at], 0) if at >= 0 else 0
