"""The loop over a trace: every line decided at its own time, against a store of its own.

What is decided is what the middleware would have decided: by the same bound policy, and by the compiled
decider that every door asks first (`deciding/compiled`). What takes Python there takes it here. A trace
has millions of lines, so the identities of most are found in columns, and a batch is decided in one call.

Where limits let wait or degrade, or steep rises are held, one record is decided after another
(`_decide_rows`). No challenge is passed here, as there is no application to ask; what waits does so in
virtual time (`waiting`).
"""

from __future__ import annotations

import gc
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from operator import attrgetter
from typing import Any

from ratelimit.allowance.history import History
from ratelimit.allowance.memory import SharedRecords, records_form
from ratelimit.allowance.records import Records
from ratelimit.allowance.stage import AllowancePart
from ratelimit.conduct.compile import ramp_of
from ratelimit.conduct.stage import ConductPart
from ratelimit.core.clusters.recogniser import Recogniser
from ratelimit.core.decision.schedule import Pace
from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.deciding.compiled import CompiledDecider
from ratelimit.deciding.decider import Decider, ask_here
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.deciding.stage import Decided
from ratelimit.decision import Reason
from ratelimit.errors import StoreError
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.replay.actors import Actors
from ratelimit.replay.batch import decide_batch, end_at_once
from ratelimit.replay.columns import IdentityColumns
from ratelimit.replay.facts import fields_of
from ratelimit.replay.memo import Memo
from ratelimit.replay.prepared import (
    ALLOWED,
    REFUSAL_END,
    REFUSED_UNNAMED,
    Prepared,
    let_wait,
    seconds,
)
from ratelimit.replay.rising import Rising
from ratelimit.replay.rows import rows_of
from ratelimit.replay.tally import Key, LimitTally
from ratelimit.replay.waiting import Lines, TraceLines, Waiter
from ratelimit.runtime.compiling import compiled_decider
from ratelimit.runtime.features import Bystander
from ratelimit.stores.contract import SHADOWED, Outcome
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.telemetry.counters import Counters
from ratelimit.traces import Batch, Fields
from ratelimit.traces.plain import PlainLines
from ratelimit.waiting.compile import queue_of, wait_ns_of
from ratelimit.waiting.stage import rules_of

_MOST_ROUTES = 100_000
_method_and_path = attrgetter("method", "path")

OpenStore = Callable[[int], EmbeddedStore]
"""Opens the replay's own store, given the time of the first line."""


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
        self.actors = self._actors(names_members) if correlates else None
        """The actors; None when they are not asked for."""
        self.requests = 0
        self.first_ns: int | None = None
        self.last_ns = 0
        self.tallies: dict[int, LimitTally] = {}
        """Refusals by index of the rule that decided."""
        self._counters: Counters | None = None
        self._closed: dict[tuple[bool, Reason], int] | None = None
        self._open_store = open_store
        self._write = write
        self.store: EmbeddedStore | None = None
        self._bound: BoundPolicy | None = None
        self._records: SharedRecords | None = None
        self.history = history
        self.imported = 0
        """Payers that were known before the first line."""
        self._asked: list[int] = []
        """The row that limits were asked about last, its cluster in it."""
        self._decider = Decider(self, ask=self._ask)
        self.acted: Counter[tuple[str, str]] = Counter()
        """Requests that limits let wait, degraded or challenged, by limit and action."""
        self._acts = any(
            (wait_ns_of(rule) or rule.following.admits) and not rule.shadow for rule in compiled.rules
        )
        self.rising = Rising(ramp_of(compiled))
        queue = queue_of(compiled)
        self._waiting = None if queue is None or not self._acts else TraceLines(queue)
        self._lines = Lines(_ignore if write is None else write)

    def _actors(self, names_members: bool) -> Actors | None:
        spec = self.compiled.correlation
        if spec is None:
            return None
        # Of several identities that make a principal together, none is its name.
        named = names_members and len(spec.principal) == 1
        name = self.compiled.identities[spec.principal[0]].name
        return Actors(
            spec,
            self.compiled.cluster,
            self.fields.attribute[name] if named else None,
            lambda: self.bound.budgets,
        )

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

    @property
    def refused_by_limits(self) -> int:
        """Requests that a limit refused."""
        return self.outcomes.get((False, Reason.LIMITS), 0)

    def finish(self) -> None:
        """Decide what still waits: the trace is at its end."""
        if self._waiting is not None and self._bound is not None:
            self._resume(1 << 63)
        self._lines.flush()

    def close(self) -> None:
        """Let go of the store; what was counted can still be asked."""
        self._closed = self.outcomes
        for each in (self._records, self.store):
            if each is not None:
                each.close()

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

    def _payers(self) -> Records:
        """Return the records of payers: those of a history, and the trace's own from its first line on."""
        assert self.store is not None  # set by take
        assert self.first_ns is not None  # likewise
        if self._records is None:
            self._records = SharedRecords.private(self.store, records_form(self.compiled.file.tuning.payers))
            if self.history is not None:
                first_s = self.first_ns // 1_000_000_000
                self.imported = self.history.put_into(self._records.memory, first_s)
        return self._records.memory

    def _bind(self, now_ns: int) -> None:
        assert self.store is not None  # set by take, just before
        ramps = self.rising.ramps
        known: dict[Any, Any] = {AllowancePart: lambda host: AllowancePart(host, self._payers)}
        if ramps is not None:
            known[ConductPart] = lambda host: ConductPart(host, ramps=lambda spec: ramps)
        features = Bystander(self.store.clock, known).parts.makers
        is_first = self._bound is None
        self._bound = bound = BoundPolicy(
            self.compiled, self.store, now_ns, diagnose=_ignore, features=features
        )
        watch: Recogniser | None = None
        if self.actors is not None:
            if is_first and bound.knowledge is not None:
                self.actors.know(bound.knowledge)
            watch = self.actors.recognise()
        bound.recognition = watch
        pace = Pace(1)
        pace.is_kept_up = True
        bound.decider = compiled_decider(
            bound,
            watch=watch,
            table=self.store.table,
            cells=self.counters.cells,
            pace=pace,
            keep_up=self.keep_up,
            clock=self.store.clock,
        )
        self._identities = IdentityColumns(bound, self.fields)
        self._matches = Memo(lambda key: bound.match_line(*key), _MOST_ROUTES)
        self._prepared = Memo(lambda plan: Prepared(plan, self.compiled.units[1:]))
        self._has_units = len(self.compiled.units) > 1

    def _parts(self, batch: Batch) -> Iterator[Batch]:
        """Yield the batch in pieces within which the listed calendar windows are current."""
        start = 0
        while start < len(batch.times_ns):
            now_ns = batch.times_ns[start]
            bound = self._bound
            assert bound is not None  # set by take
            if not bound.is_current(now_ns):
                self._bind(now_ns)
                continue
            end = len(batch.times_ns)
            if bound.until_ns is not None:
                end = bisect_left(batch.times_ns, bound.until_ns, start)
            yield Batch(batch.records[start:end], batch.times_ns[start:end])
            start = end

    def _decide(self, batch: Batch) -> None:
        matches = self._matches_of(batch.records)
        decider = self.bound.decider
        if decider is None or self._acts or self.rising.ramps is not None:
            self._decide_rows(batch, matches)
        else:
            self._decide_columns(decider, batch, matches)

    def _decide_columns(self, decider: CompiledDecider, batch: Batch, matches: list[Matched]) -> None:
        records, times_ns = batch.records, batch.times_ns
        identities = self._identities.columns(records, matches)
        columns = identities.columns
        rows = rows_of(records, self.fields)
        taken = [rows.amounts(self.fields.attribute[unit]) for unit in self.compiled.units[1:]]

        def slowly(at: int, row: list[int]) -> tuple[bool, RoutePlan | None, Outcome | None]:
            costs = self._costs_in(records[at]) if self._has_units else None
            self._asked = row
            allowed, _, plan, outcome = self._decider.decide(
                self.bound, matches[at], row, times_ns[at], costs
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
        if lines:
            for at in unnamed:
                lines[at] = REFUSED_UNNAMED
            if self.actors is not None:
                self.actors.name_clusters(lines, columns)
        if self._write is not None:
            self._write(b"".join(lines))

    def _matches_of(self, records: Sequence[Any]) -> list[Matched]:
        found = self._matches.__getitem__
        if isinstance(records, PlainLines):
            member = self.fields.member
            return records.spans.pairs(member["method"], member["path"], found)
        return list(map(found, map(_method_and_path, records)))

    def _tally(
        self, prepared: Prepared, binding: int, keys: Sequence[Key], record: Callable[[int], Any]
    ) -> None:
        """Count refusals by a limit, for what it counts by."""
        rule = prepared.plan.rules[binding]
        tally = self.tallies.get(rule.index)
        if tally is None:
            tally = self.tallies[rule.index] = LimitTally(rule)
        tally.add(keys, record)

    def _refusal(self, prepared: Prepared, outcome: Outcome) -> bytes:
        """Return what is written of a refusal by limits; count one that asks for more than to wait."""
        binding = outcome.binding
        challenge = prepared.challenge
        if challenge is not None and challenge.refusing(outcome):
            rule = prepared.plan.rules[binding]
            self.acted[rule.name, rule.first] += 1
            return prepared.steps[binding] + seconds(outcome.retry_after_ns(binding)) + REFUSAL_END
        return prepared.refusals[binding] + seconds(outcome.retry_after_ns(binding)) + REFUSAL_END

    def _decide_rows(self, batch: Batch, matches: list[Matched]) -> None:
        bound, actors, lines = self.bound, self.actors, self._lines
        records = batch.records
        rows: list[list[int]] = self._identities.rows(records, matches)
        for record, now_ns, row, matched in zip(records, batch.times_ns, rows, matches, strict=True):
            if self._waiting is not None:
                self._resume(now_ns)
            if actors is not None:
                actors.pass_by(record, now_ns)
            costs = self._costs_in(record) if self._has_units else None
            account, decided, waited = bound.payer(row), None, ALLOWED
            if self._waiting is None or self.rising.ramps is None:
                waited = self.rising.line(account, now_ns)
                decided = self._decide_compiled(bound, matched, row, now_ns, costs)
            if decided is None and self._waiting is not None:
                looked = self._decider.decide(bound, matched, row, now_ns, costs, charge=False)
                if self._waits(self._waiting, bound, matched, looked, costs, record, now_ns):
                    continue
                waited = self.rising.line(account, now_ns)
            if decided is None:
                decided = self._decider.decide(bound, matched, row, now_ns, costs)
            lines.add(self._line(decided, record, now_ns, waited))
        lines.flush()

    def _decide_compiled(
        self, bound: BoundPolicy, matched: Matched, row: list[int], now_ns: int, costs: dict[str, int] | None
    ) -> Decided | None:
        """Decide a row as doors do first; None where it takes Python."""
        if bound.decider is None:
            return None
        self._asked = row
        return bound.decider.decide_row(matched, row, now_ns, costs)

    def _line(self, decided: Decided, record: Any, now_ns: int, waited: bytes = ALLOWED) -> bytes:
        """Count what was decided of a record, and return what is written: `waited`, if it was admitted."""
        allowed, _, plan, outcome = decided
        if plan is None or outcome is None:
            return ALLOWED if allowed else REFUSED_UNNAMED
        answer = waited
        if allowed:
            end_at_once(plan, outcome, now_ns)
            answer = self._admitted(plan, outcome, waited) if self._acts else waited
        else:
            prepared, binding = self._prepared[plan], outcome.binding
            key = tuple([self._asked[place] for place in prepared.per[binding]])
            self._tally(prepared, binding, [key], lambda nth: record)
            answer = self._refusal(prepared, outcome)
        if self.actors is not None:
            self.actors.count_row(self._asked, is_refused=not allowed)
            answer = self.actors.named_line(self._asked, plan, outcome, answer)
        return answer

    def _admitted(self, plan: RoutePlan, outcome: Outcome, otherwise: bytes) -> bytes:
        """Return what is written of a request that passes: with less, where a limit says so."""
        line = otherwise
        for at, rule in reversed(list(enumerate(plan.rules))):
            if rule.following.admits and not rule.shadow and outcome.state(at) == SHADOWED:
                self.acted[rule.name, rule.first] += 1
                line = self._prepared[plan].steps[at] + seconds(outcome.retry_after_ns(at)) + REFUSAL_END
        return line

    def _waits(
        self,
        waiting: TraceLines,
        bound: BoundPolicy,
        matched: Matched,
        looked: Decided,
        costs: dict[str, int] | None,
        record: Any,
        now_ns: int,
    ) -> bool:
        """Let a request wait that was looked at; False if it is to be decided now."""
        plan, outcome = looked[2:]
        if plan is None or outcome is None:
            return False
        row = list(self._asked)
        found = waiting.bounds(plan, outcome, row, now_ns)
        if found is None:
            return False
        at, ends_ns, principal = found
        waiter = Waiter(
            bound, matched, row, costs, record, now_ns, ends_ns, principal, at, self._lines.later()
        )
        waiting.add(waiter, now_ns + max(1, outcome.retry_after_ns(at)))
        return True

    def _resume(self, until_ns: int) -> None:
        """Ask those again that wait, as far as they are due."""
        waiting, decide = self._waiting, self._decider.decide
        assert waiting is not None  # see take
        for now_ns, waiter in waiting.due(until_ns):
            asked = (waiter.bound, waiter.matched, waiter.row, now_ns, waiter.costs)
            _, _, plan, outcome = decide(*asked, charge=False)
            if plan is not None and outcome is not None and not outcome.allowed:
                rules = rules_of(plan)
                at = None if rules is None else rules.refusing(outcome)
                due_ns = now_ns + (0 if at is None else max(1, outcome.retry_after_ns(at)))
                if at is not None and due_ns <= waiter.ends_ns:
                    waiting.add(waiter, due_ns)
                    continue
            rule = None if plan is None else plan.rules[waiter.limit]
            line = ALLOWED
            if rule is not None and outcome is not None and outcome.allowed:
                self.acted[rule.name, "wait"] += 1
                line = let_wait(rule.name, now_ns - waiter.began_ns)
            waiter.line[0] = self._line(decide(*asked), waiter.record, now_ns, line)

    def _costs_in(self, record: Any) -> dict[str, int]:
        """Return what a record says it took; the estimate counts for what it does not say."""
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


def _nth(records: Sequence[Any], places: list[int], nth: int) -> Any:
    return records[places[nth]]


def _ignore(line: bytes) -> None:
    """Take a line that is not wanted."""


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
