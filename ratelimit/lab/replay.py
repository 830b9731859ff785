"""The loop over a trace: every line decided at its own time, against a store of its own.

What is decided is what the middleware would have decided: by the same bound policy, and by the compiled
decider that every door asks first (`deciding/compiled`). What takes Python there takes it here. A trace
has millions of lines, so the identities of most are found in columns, and a batch is decided in one call.

Where limits let wait or degrade, or steep rises are held, one record is decided after another
(`_decide_rows`). No challenge is passed here, as there is no application to ask. What waits does so in
virtual time: it is asked again at the time for which its limits promise room, before any request of the trace
that comes later, first come, first served. What waits has charged nothing. Decisions are written in the order
of the trace, so what comes behind a request that waits is held until that one is decided.
"""

from __future__ import annotations

import gc
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from json import dumps
from mmap import mmap
from operator import attrgetter
from typing import Any

from ratelimit.allowance.history import History
from ratelimit.allowance.memory import SharedRecords, records_form
from ratelimit.allowance.records import Records
from ratelimit.allowance.stage import AllowancePart
from ratelimit.challenge.stage import ChallengeStage
from ratelimit.clock import ManualClock
from ratelimit.conduct.compile import Ramp, ramp_of
from ratelimit.conduct.ramps import Ramps
from ratelimit.conduct.stage import ConductPart
from ratelimit.core.decision.schedule import Pace
from ratelimit.core.sharing.conduct import ConductMemory, conduct_bytes
from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.deciding.compiled import CompiledDecider
from ratelimit.deciding.decider import Decider, ask_here
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.deciding.stage import Decided
from ratelimit.decision import Reason
from ratelimit.errors import StoreError
from ratelimit.lab.actors import ALLOWED, UNNAMED, Actors
from ratelimit.lab.batch import decide_batch, end_at_once
from ratelimit.lab.columns import IdentityColumns, Rows
from ratelimit.lab.records import Fields, fields_of
from ratelimit.lab.traces import Batch, PlainLines
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.runtime.compiling import compiled_decider
from ratelimit.runtime.features import Bystander
from ratelimit.stores.contract import SHADOWED, Outcome
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.stores.factory import private_store
from ratelimit.telemetry.counters import Counters
from ratelimit.waiting.compile import queue_of, wait_ns_of
from ratelimit.waiting.stage import rules_of

MOST_KEYS = 100_000
REFUSED_UNNAMED = b'{"action": "refuse", "limit": null, "retry_after": null, ' + UNNAMED
_REFUSAL_END = b", " + UNNAMED
_method_and_path = attrgetter("method", "path")

Key = tuple[int, ...]
OpenStore = Callable[[int], EmbeddedStore]
"""Opens the replay's own store, given the time of the first line."""


class Memo(dict[Any, Any]):
    """Results by argument; emptied when full, so that a trace cannot fill memory."""

    def __init__(self, function: Callable[[Any], Any], most: int = 100_000) -> None:
        super().__init__()
        self._function = function
        self._most = most

    def __missing__(self, key: Any) -> Any:
        value = self._function(key)
        if len(self) >= self._most:
            self.clear()
        self[key] = value
        return value


@dataclass(slots=True)
class LimitTally:
    """Refusals of one limit, by key."""

    rule: LimitRule
    refused: int = 0
    keys: Counter[Key] = field(default_factory=Counter)
    shown: dict[Key, Any] = field(default_factory=dict)
    """One record for each key, to name its caller."""
    forgotten: int = 0
    """Keys dropped for want of room; counts of the others stay exact as far as they go."""

    @property
    def callers(self) -> int:
        """Keys that were refused."""
        return len(self.keys) + self.forgotten

    def add(self, keys: Sequence[Key], record: Callable[[int], Any]) -> None:
        """Count refusals by what the limit counts by; `record` returns one of those refused by its place."""
        self.refused += len(keys)
        self.keys.update(keys)
        if len(self.keys) > len(self.shown):
            for at, key in enumerate(keys):
                if key not in self.shown:
                    self.shown[key] = record(at)
            if len(self.keys) > MOST_KEYS:
                kept = self.keys.most_common(MOST_KEYS // 2)
                self.forgotten += len(self.keys) - len(kept)
                self.keys = Counter(dict(kept))
                self.shown = {key: self.shown[key] for key, _ in kept}


class Prepared:
    """How the refusals of a plan are counted and written."""

    __slots__ = ("challenge", "per", "refusals", "rules", "steps")

    def __init__(self, plan: RoutePlan) -> None:
        self.rules = plan.rules
        self.challenge = plan.find(ChallengeStage)
        """The plan's limits that challenge; None where none does."""
        self.per = [rule.per for rule in plan.rules]
        self.refusals = [_prefix("refuse", rule.name) for rule in plan.rules]
        self.steps = [_prefix(rule.first, rule.name) for rule in plan.rules]
        """What is written of a request that had no room, by rule."""


@dataclass(slots=True)
class Waiter:
    """One request that waits."""

    asked: tuple[BoundPolicy, Matched, list[int]]
    costs: dict[str, int] | None
    record: Any
    began_ns: int
    ends_ns: int
    principal: Hashable
    limit: int
    """The position of the rule that it waits for."""
    line: list[bytes | None]
    """The place where its decision goes."""


class Replay:
    """One trace against one policy.

    Args:
        compiled: the policy.
        open_store: called once, when the first time is known.
        write: takes chunks of decision lines; None when they are not wanted.
        correlates: whether clusters are looked for, if the policy says of what.
        names_members: whether members' names are kept as the trace gives them.
        fields: what records have, where more than this policy's is read.
        history: the records of payers that it begins with; None: the trace's own, from its first line on.
    """

    def __init__(
        self,
        compiled: CompiledPolicy,
        open_store: OpenStore,
        write: Callable[[bytes], Any] | None = None,
        *,
        correlates: bool = True,
        names_members: bool = False,
        fields: Fields | None = None,
        history: History | None = None,
    ) -> None:
        self.compiled = compiled
        self.fields = fields_of(compiled) if fields is None else fields
        self.actors: Actors | None = None
        """The actors; None when they are not asked for."""
        if correlates and (spec := compiled.correlation) is not None:
            # Of several identities that make a principal together, none is its name.
            name = compiled.identities[spec.principal[0]].name
            named_by = self.fields.attribute[name] if names_members and len(spec.principal) == 1 else None
            self.actors = Actors(spec, compiled.cluster, named_by, lambda: self.bound.budgets)
        self.requests = 0
        self.first_ns: int | None = None
        self.last_ns = 0
        self.tallies: dict[int, LimitTally] = {}
        """Refusals by index of the rule that decided."""
        self.history = history
        self.imported = 0
        """Payers that were known before the first line."""
        self.acted: Counter[tuple[str, str]] = Counter()
        """Requests that limits let wait, degraded or challenged, by limit and action."""
        self.store: EmbeddedStore | None = None
        self.ramps = _ramps(ramp_of(compiled))
        """What tells how steep a rise is; None where nothing is held."""
        self.held = 0
        """Requests that were held, or in shadow would have been."""
        self._counters: Counters | None = None
        self._closed: dict[tuple[bool, Reason], int] | None = None
        self._open_store = open_store
        self._write = write
        self._bound: BoundPolicy | None = None
        self._records: SharedRecords | None = None
        self._asked: list[int] = []
        """The row that limits were asked about last, its cluster in it."""
        self._decider = Decider(self, ask=self._ask)
        self._acts = any(
            (wait_ns_of(rule) or rule.following.admits) and not rule.shadow for rule in compiled.rules
        )
        self._queue = queue_of(compiled) if self._acts else None
        self._waiting: list[tuple[int, int, Waiter]] = []
        """A heap of those that wait: when they are asked again, and in which order they came."""
        self._waits_of: Counter[Hashable] = Counter()
        self._waited = 0
        self._lines: deque[list[bytes | None]] = deque()
        """The lines to write, in order; None where one is not known yet."""

    @property
    def bound(self) -> BoundPolicy:
        """The policy at work; there is one once the first batch was taken."""
        assert self._bound is not None  # see take
        return self._bound

    @property
    def counters(self) -> Counters:
        """What counts decisions; there is one once the first batch was taken."""
        assert self._counters is not None  # see take
        return self._counters

    @property
    def outcomes(self) -> dict[tuple[bool, Reason], int]:
        """Requests by whether they were admitted, and why."""
        if self._counters is None or self._closed is not None:
            return self._closed or {}
        return self._counters.decisions()

    @property
    def refused(self) -> int:
        """Requests refused, for whatever reason."""
        return sum(number for (allowed, _), number in self.outcomes.items() if not allowed)

    def take(self, batch: Batch) -> None:
        """Decide a batch."""
        if self.first_ns is None:
            self.first_ns = batch.times_ns[0]
            self.store = self._open_store(self.first_ns)
            self.store.table.forget_callers()  # a replay counts refusals itself
            self._counters = Counters(self.store.table)
            if self.actors is not None:
                self.actors.begin(self.first_ns)
            self._bind(self.first_ns)
        self.requests += len(batch.records)
        self.last_ns = batch.times_ns[-1]
        with _without_collector():
            for part in self._parts(batch):
                self._decide(part)

    def finish(self) -> None:
        """Decide what still waits: the trace is at its end."""
        self._resume(1 << 63)
        self._flush()

    def close(self) -> None:
        """Let go of the store; what was counted can still be asked."""
        self._closed = self.outcomes
        for each in (self._records, self.store):
            if each is not None:
                each.close()

    def _payers(self) -> Records:
        """Return the records of payers: those of a history, and the trace's own from its first line on."""
        assert self.store is not None  # set by take
        assert self.first_ns is not None  # likewise
        if self._records is None:
            self._records = SharedRecords.private(self.store, records_form(self.compiled.file.tuning.payers))
            if self.history is not None:
                self.imported = self.history.put_into(self._records.memory, self.first_ns // 1_000_000_000)
        return self._records.memory

    def _bind(self, now_ns: int) -> None:
        assert self.store is not None  # set by take, just before
        ramps, actors, store = self.ramps, self.actors, self.store
        known: dict[Any, Any] = {AllowancePart: lambda host: AllowancePart(host, self._payers)}
        if ramps is not None:
            known[ConductPart] = lambda host: ConductPart(host, ramps=lambda spec: ramps)
        features = Bystander(store.clock, known).parts.makers
        is_first = self._bound is None
        bound = BoundPolicy(self.compiled, store, now_ns, diagnose=lambda line: None, features=features)
        self._bound = bound
        if actors is not None and is_first and bound.knowledge is not None:
            bound.knowledge.tell(actors.correlator)
        bound.recognition = None if actors is None else actors.recognise()
        pace = Pace(1)
        pace.is_kept_up = True
        bound.decider = compiled_decider(
            bound,
            watch=bound.recognition,
            table=store.table,
            cells=self.counters.cells,
            pace=pace,
            keep_up=self.keep_up,
            clock=store.clock,
        )
        self._identities = IdentityColumns(bound, self.fields)
        self._matches = Memo(lambda key: bound.match_line(*key))
        self._prepared = Memo(Prepared)

    def _parts(self, batch: Batch) -> Iterator[Batch]:
        """Yield the batch in pieces within which the listed calendar windows are current."""
        start = 0
        while start < len(batch.times_ns):
            now_ns = batch.times_ns[start]
            if not self.bound.is_current(now_ns):
                self._bind(now_ns)
                continue
            end = len(batch.times_ns)
            if self.bound.until_ns is not None:
                end = bisect_left(batch.times_ns, self.bound.until_ns, start)
            yield Batch(batch.records[start:end], batch.times_ns[start:end])
            start = end

    def _decide(self, batch: Batch) -> None:
        matches, decider = self._matches_of(batch.records), self.bound.decider
        if decider is None or self._acts or self.ramps is not None:
            self._decide_rows(batch, matches)
        else:
            self._decide_columns(decider, batch, matches)

    def _matches_of(self, records: Sequence[Any]) -> list[Matched]:
        found = self._matches.__getitem__
        if isinstance(records, PlainLines):
            member = self.fields.member
            return records.spans.pairs(member["method"], member["path"], found)
        return list(map(found, map(_method_and_path, records)))

    # -- a batch at once ---------------------------------------------------------------------------

    def _decide_columns(self, decider: CompiledDecider, batch: Batch, matches: list[Matched]) -> None:
        records, times_ns = batch.records, batch.times_ns
        identities = self._identities.columns(records, matches)
        columns, rows = identities.columns, Rows(records, self.fields)
        taken = [rows.made("amounts", self.fields.attribute[unit]) for unit in self.compiled.units[1:]]

        def slowly(at: int, row: list[int]) -> tuple[bool, RoutePlan | None, Outcome | None]:
            self._asked = row
            allowed, _, plan, outcome = self._decider.decide(
                self.bound, matches[at], row, times_ns[at], self._costs_in(records[at])
            )
            row[:] = self._asked
            return allowed, plan, outcome

        if self.actors is None:
            refused, unnamed, _ = decide_batch(decider, matches, *identities, times_ns, taken, slowly)
        else:
            refused, unnamed = self.actors.decide(decider, matches, identities, times_ns, taken, slowly)
            self.actors.count(columns, records, [at for at, _, _ in refused])
        lines = [ALLOWED] * len(records) if self._write is not None else []
        by_limit: dict[tuple[Prepared, int], list[int]] = {}
        for at, plan, outcome in refused:
            prepared = self._prepared[plan]
            by_limit.setdefault((prepared, outcome.binding), []).append(at)
            line = self._refusal(prepared, outcome) if lines or prepared.challenge else b""  # it counts
            if lines:
                lines[at] = line
        for (prepared, binding), places in by_limit.items():
            parts = [[columns[part][at] for at in places] for part in prepared.per[binding]]
            keys = list(zip(*parts, strict=True)) if parts else [()] * len(places)
            self._tally(prepared, binding, keys, partial(_nth, records, places))
        if self._write is not None:
            for at in unnamed:
                lines[at] = REFUSED_UNNAMED
            if self.actors is not None:
                self.actors.name_clusters(lines, columns)
            self._write(b"".join(lines))

    def _tally(
        self, prepared: Prepared, binding: int, keys: Sequence[Key], record: Callable[[int], Any]
    ) -> None:
        """Count refusals by a limit, for what it counts by."""
        rule = prepared.rules[binding]
        if rule.index not in self.tallies:
            self.tallies[rule.index] = LimitTally(rule)
        self.tallies[rule.index].add(keys, record)

    def _refusal(self, prepared: Prepared, outcome: Outcome) -> bytes:
        """Return what is written of a refusal by limits; count one that asks for more than to wait."""
        binding, begin = outcome.binding, prepared.refusals
        if prepared.challenge is not None and prepared.challenge.refusing(outcome):
            rule, begin = prepared.rules[binding], prepared.steps
            self.acted[rule.name, rule.first] += 1
        return begin[binding] + _seconds(outcome.retry_after_ns(binding)) + _REFUSAL_END

    # -- one record after another ------------------------------------------------------------------

    def _decide_rows(self, batch: Batch, matches: list[Matched]) -> None:
        bound, records, ask = self.bound, batch.records, self._decider.decide
        rows = self._identities.rows(records, matches)
        for record, now_ns, row, matched in zip(records, batch.times_ns, rows, matches, strict=True):
            self._resume(now_ns)
            if self.actors is not None:
                self.actors.pass_by(record, now_ns)
            costs, account = self._costs_in(record), bound.payer(row)
            decided: Decided | None = None
            line = None
            if self._queue is None or self.ramps is None:
                line = self._rising(account, now_ns)
                if bound.decider is not None:
                    self._asked = row
                    decided = bound.decider.decide_row(matched, row, now_ns, costs)
            if decided is None and self._queue is not None:
                looked = ask(bound, matched, row, now_ns, costs, charge=False)
                if self._waits(bound, matched, looked, costs, record, now_ns):
                    continue
                line = self._rising(account, now_ns)
            if decided is None:
                decided = ask(bound, matched, row, now_ns, costs)
            self._lines.append([self._line(decided, record, now_ns, line or ALLOWED)])
        self._flush()

    def _rising(self, account: int, now_ns: int) -> bytes:
        """Return what is written of a request if limits let it through.

        It is decided at the instant that it came, as if it had been held before.
        """
        if self.ramps is None:
            return ALLOWED
        held_ns = self.ramps.delay_ns(account, now_ns)
        self.held += held_ns > 0
        return _let_wait(None, held_ns) if held_ns and not self.ramps.is_shadow else ALLOWED

    def _line(self, decided: Decided, record: Any, now_ns: int, line: bytes) -> bytes:
        """Count what was decided of a record, and return what is written: `line`, if it was admitted."""
        allowed, _, plan, outcome = decided
        if plan is None or outcome is None:
            return ALLOWED if allowed else REFUSED_UNNAMED
        prepared = self._prepared[plan]
        if allowed:
            end_at_once(plan, outcome, now_ns)
            for at, rule in reversed(list(enumerate(plan.rules))) if self._acts else ():
                if rule.following.admits and not rule.shadow and outcome.state(at) == SHADOWED:
                    self.acted[rule.name, rule.first] += 1
                    line = prepared.steps[at] + _seconds(outcome.retry_after_ns(at)) + _REFUSAL_END
        else:
            binding = outcome.binding
            key = tuple([self._asked[place] for place in prepared.per[binding]])
            self._tally(prepared, binding, [key], lambda nth: record)
            line = self._refusal(prepared, outcome)
        if self.actors is not None:
            return self.actors.counted_line(self._asked, plan, outcome, line)
        return line

    def _waits(
        self,
        bound: BoundPolicy,
        matched: Matched,
        looked: Decided,
        costs: dict[str, int] | None,
        record: Any,
        now_ns: int,
    ) -> bool:
        """Let a request wait that was looked at; False if it is to be decided now."""
        plan, outcome = looked[2:]
        waits = None if plan is None else rules_of(plan)
        if waits is None or outcome is None or outcome.allowed or self._queue is None:
            return False
        at = waits.refusing(outcome)
        if at is None:
            return False
        row, wait_ns = list(self._asked), waits.wait_ns(outcome, at)
        principal = waits.principal(row, outcome.key(at))
        is_full = len(self._waiting) >= self._queue.total
        is_full = is_full or self._waits_of[principal] >= self._queue.per_principal
        if is_full or outcome.retry_after_ns(at) > wait_ns:
            return False
        line: list[bytes | None] = [None]
        self._lines.append(line)
        waiter = Waiter((bound, matched, row), costs, record, now_ns, now_ns + wait_ns, principal, at, line)
        self._add(waiter, now_ns + max(1, outcome.retry_after_ns(at)))
        return True

    def _add(self, waiter: Waiter, due_ns: int) -> None:
        self._waited += 1
        self._waits_of[waiter.principal] += 1
        heappush(self._waiting, (due_ns, self._waited, waiter))

    def _resume(self, until_ns: int) -> None:
        """Ask those again that wait, as far as they are due."""
        decide = self._decider.decide
        while self._waiting and self._waiting[0][0] <= until_ns:
            now_ns, _, waiter = heappop(self._waiting)
            self._waits_of[waiter.principal] -= 1
            if not self._waits_of[waiter.principal]:
                del self._waits_of[waiter.principal]
            asked = (*waiter.asked, now_ns, waiter.costs)
            _, _, plan, outcome = decide(*asked, charge=False)
            line = ALLOWED
            if plan is not None and outcome is not None:
                rules = rules_of(plan)
                at = None if outcome.allowed or rules is None else rules.refusing(outcome)
                if at is not None:
                    due_ns = now_ns + max(1, outcome.retry_after_ns(at))
                    if due_ns <= waiter.ends_ns:
                        self._add(waiter, due_ns)
                        continue
                if outcome.allowed:
                    name = plan.rules[waiter.limit].name
                    self.acted[name, "wait"] += 1
                    line = _let_wait(name, now_ns - waiter.began_ns)
            waiter.line[0] = self._line(decide(*asked), waiter.record, now_ns, line)

    def _flush(self) -> None:
        """Write the lines that are known."""
        known: list[bytes] = []
        while self._lines and (line := self._lines[0][0]) is not None:
            known.append(line)
            self._lines.popleft()
        if known and self._write is not None:
            self._write(b"".join(known))

    def _costs_in(self, record: Any) -> dict[str, int] | None:
        """Return what a record says it took; the estimate counts for what it does not say."""
        if len(self.compiled.units) == 1:
            return None
        found = ((unit, getattr(record, self.fields.attribute[unit])) for unit in self.compiled.units[1:])
        return {unit: amount for unit, amount in found if amount is not None}

    # -- what the decider uses ---------------------------------------------------------------------

    def keep_up(self, now_ns: int) -> None:
        """Do nothing: clusters are rebuilt by the number of records, whichever way they are decided."""

    def store_failed(self, error: StoreError) -> None:
        """Give up: the store is this process' own memory.

        Raises:
            StoreError: always.
        """
        raise error

    def _ask(
        self, plan: RoutePlan, row: list[int], now_ns: int, costs: Sequence[int], charge: bool
    ) -> Outcome:
        """Ask limits, after the correlator has seen the record: a newcomer joins with its first request."""
        if self.actors is not None:
            self.actors.enter(row, now_ns)
        self._asked = row
        return ask_here(plan, row, now_ns, costs, charge)


def replay_of(policy: Policy, write: Callable[[bytes], Any] | None = None, **more: Any) -> Replay:
    """Return a replay by a policy in private memory; `seed` is that of its hashes, where it has no key."""
    seed = more.pop("seed", 0)
    return Replay(
        policy.compiled, lambda now_ns: private_store(policy, ManualClock(now_ns), seed=seed), write, **more
    )


def _ramps(spec: Ramp | None) -> Ramps | None:
    if spec is None:
        return None
    return Ramps(spec, ConductMemory(mmap(-1, conduct_bytes()), boot_id=b"", fingerprint=bytes(16)), None)


def _nth(records: Sequence[Any], places: list[int], nth: int) -> Any:
    return records[places[nth]]


def _prefix(action: str, limit: str | None) -> bytes:
    """Return the line of a limit's action, or of one by none, up to the seconds to wait."""
    return f'{{"action": "{action}", "limit": {dumps(limit)}, "retry_after": '.encode()


def _let_wait(limit: str | None, waited_ns: int) -> bytes:
    """Return the line of a request that passed after a wait for a limit, or held by none."""
    return _prefix("wait", limit) + b'null, "waited": ' + _seconds(waited_ns) + _REFUSAL_END


def _seconds(wait_ns: int) -> bytes:
    """Return nanoseconds as exact decimal seconds; `null` for a wait that cannot help."""
    if wait_ns < 0:
        return b"null"
    whole, rest = divmod(wait_ns, 1_000_000_000)
    return (b"%d.%09d" % (whole, rest)).rstrip(b"0") if rest else b"%d" % whole


@contextmanager
def _without_collector() -> Iterator[None]:
    """Keep the cycle collector out: a batch makes a million objects and not one cycle."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
