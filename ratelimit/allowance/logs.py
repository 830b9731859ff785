"""Records made of logs: payers, their accounts, places and days, as the limiter would have seen them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from ratelimit.allowance.compile import allowance_of, place_of, salt_of
from ratelimit.allowance.memory import SharedRecords, records_form
from ratelimit.allowance.picking import record_key
from ratelimit.allowance.records import Records, floor_of, level_of
from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.facts.numbers import CREATED, PAID
from ratelimit.lab.columns import IdentityColumns
from ratelimit.lab.records import fields_of
from ratelimit.lab.replay import Memo
from ratelimit.lab.traces import Batch
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.policy.compile.identities import ORIGIN
from ratelimit.stores.embedded.store import EmbeddedStore

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
        compiled: the policy. Limits with an allowance and a rate by the day say who pays, and which requests
            count in which unit.
        open_store: called once, when the first time is known: its hash key is the installation's.

    Raises:
        NoPayer: the policy has no limit with an allowance and a rate by the day.
    """

    def __init__(self, compiled: CompiledPolicy, open_store: Callable[[int], EmbeddedStore]) -> None:
        self.fields = fields_of(compiled)
        self._rules = _rules_of(compiled)
        self.rule = self._rules[0]
        """The first of these limits, which totals are of."""
        self.requests = self.counted = 0
        """Lines that were read, and those that count for a payer."""
        self.first_ns = self.last_ns = 0
        self._compiled = compiled
        self._open_store = open_store
        self._payer_at = self.rule.per[0]
        self._account_at, self._created_at, self._paid_at, self._origin_at = map(
            compiled.identity_index, (ACCOUNT, CREATED.place, PAID.place, ORIGIN)
        )
        self._place_at = place_of(compiled)
        self._day = -1
        self._used: dict[int, int] = {}
        """Units that each payer used on the day so far, by the key of its record."""
        self._best: dict[int, int] = {}
        """The best day of each payer, by the first limit."""
        self._salts: list[int] = []
        self._store: EmbeddedStore | None = None
        self._shared: SharedRecords | None = None
        self._bound: BoundPolicy
        self._columns: IdentityColumns
        self._units = [self.fields.attribute[rule.unit] if rule.unit_index else None for rule in self._rules]
        self._matches: Memo
        self._binding: dict[Matched, list[int]] = {}

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
            binding = self._binding_of(matched)
            if payer == 0 or not binding:
                continue
            self.counted += 1
            now_s, day = now_ns // 10**9, now_ns // DAY_NS
            if day != self._day:
                self._day, self._used = day, {}
            account, created_s = _hash(row, self._account_at), _hash(row, self._created_at)
            flags = records.see(payer, account, self._place(row), created_s, now_s)
            if self._paid_at >= 0:
                records.see_paid(payer, row[self._paid_at], flags, now_s)  # ABSENT is less than 0: not known
            for at in binding:
                key = record_key(payer, self._salts[at])
                used = self._used[key] = self._used.get(key, 0) + self._amount(record, at)
                records.note(key, used, now_s)
                if at == 0:
                    self._best[payer] = max(used, self._best.get(payer, 0))

    def totals(self) -> Totals:
        """Return what is in the records."""
        best = [floor_of(level_of(used)) for used in self._best.values()]
        return Totals(len(best), max(best, default=0), sum(used > self.rule.quota for used in best))

    def close(self) -> None:
        """Let go of the memory."""
        for each in (self._shared, self._store):
            if each is not None:
                each.close()

    def _begin(self, now_ns: int) -> None:
        self._store = self._open_store(now_ns)
        self._shared = SharedRecords.private(self._store, records_form(self._compiled.file.tuning.payers))
        self._bound = BoundPolicy(self._compiled, self._store, now_ns, diagnose=lambda *_: None)
        self._columns = IdentityColumns(self._bound, self.fields)
        self._salts = [salt_of(rule, self._store.hasher) for rule in self._rules]
        self._matches = Memo(lambda key: self._bound.match_line(*key), _MOST_ROUTES)

    def _binding_of(self, matched: Matched) -> list[int]:
        """Return which of the limits bind the requests of a route."""
        found = self._binding.get(matched)
        if found is None:
            bound = set() if matched.plan is None else {rule.index for rule in matched.plan.rules}
            found = [at for at, rule in enumerate(self._rules) if rule.index in bound]
            self._binding[matched] = found
        return found

    def _place(self, row: list[int]) -> int:
        origin = _hash(row, self._origin_at)
        return 0 if origin & _PUBLIC else _hash(row, self._place_at)

    def _amount(self, record: Any, at: int) -> int:
        unit = self._units[at]
        said = None if unit is None else getattr(record, unit)
        return self._rules[at].estimate if said is None else said


def _rules_of(compiled: CompiledPolicy) -> list[LimitRule]:
    found = [
        rule
        for rule in compiled.rules
        if allowance_of(rule) is not None and rule.period_ns == DAY_NS and rule.tier is None
    ]
    if not found:
        raise NoPayer("the policy has no limit with an allowance and a rate by the day")
    return found


def _hash(row: list[int], at: int) -> int:
    """Return a position's number; 0 where it is absent, or was refused for what it held."""
    return max(row[at], 0) if at >= 0 else 0
