"""The loop over a trace: every line decided at its own time, against a store of its own.

What is decided is what the middleware would have decided: the same bound policy and the same
decider (`deciding/decider.py`), row by row (`_decide_rows`). A trace has millions of lines, so most
are decided in columns, by compiled code. A test holds both equal.

Where limits let wait or degrade, all is decided row by row. No challenge is passed here, as there is
no application to ask; what waits does so in virtual time (`waiting`).
In one file, since columns and rows count into the same totals, and a test compares the two.
"""

from __future__ import annotations

import gc
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from operator import attrgetter
from typing import Any

from ratelimit.conduct.compile import ramp_of
from ratelimit.conduct.stage import ConductPart
from ratelimit.core.decision.engine import Plan
from ratelimit.core.replay.batch import decide_batch, mark_new
from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.deciding.decider import Decider, ask_here
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.deciding.stage import Decided
from ratelimit.decision import Reason
from ratelimit.errors import StoreError
from ratelimit.lists.access import ALLOWED as LISTED_ALLOW
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.replay.actors import Actors, AgesAlone
from ratelimit.replay.columns import IdentityColumns
from ratelimit.replay.facts import fields_of
from ratelimit.replay.memo import Memo
from ratelimit.replay.prepared import (
    ALLOWED,
    REFUSAL_END,
    REFUSED_UNNAMED,
    Prepared,
    degraded,
    let_wait,
    seconds,
)
from ratelimit.replay.rising import Rising
from ratelimit.replay.rows import rows_of
from ratelimit.replay.tally import Key, LimitTally
from ratelimit.replay.waiting import Lines, Waiter, Waiting
from ratelimit.runtime.features import Bystander, Makers
from ratelimit.stores.contract import SHADOWED, Outcome
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.traces import Batch, Fields
from ratelimit.traces.plain import PlainLines
from ratelimit.waiting.compile import queue_of, wait_ns_of
from ratelimit.waiting.stage import rules_of

_MOST_ROUTES = 100_000
_method_and_path = attrgetter("method", "path")

Kind = tuple[Plan | None, Sequence[int], tuple[int, ...], Prepared | None]
"""A plan, what it takes by default, which units records tell of that, and the rest that is known of it."""

UNLIMITED: Kind = (None, (), (), None)

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
    ) -> None:
        self.compiled = compiled
        self.fields = fields_of(compiled) if fields is None else fields
        self.actors = self._actors(names_members) if correlates else None
        """The actors; None when they are not asked for."""
        self.requests = 0
        self.outcomes: dict[tuple[bool, Reason], int] = {}
        """Requests by whether they were admitted, and why."""
        self.first_ns: int | None = None
        self.last_ns = 0
        self.tallies: dict[int, LimitTally] = {}
        self._crowded = 0
        self._has_crowded = False
        """Refusals by index of the rule that decided."""
        self._open_store = open_store
        self._write = write
        self.store: EmbeddedStore | None = None
        self._bound: BoundPolicy | None = None
        self._asked: list[int] = []
        """The row that limits were asked about last, its cluster in it."""
        self._is_asked_again = False
        """True if the correlator has seen the record already."""
        self._decider = Decider(self, ask=self._ask)
        self.acted: Counter[tuple[str, str]] = Counter()
        """Requests that limits let wait, degraded or challenged, by limit and action."""
        self._acts = any(
            (wait_ns_of(rule) or rule.first == "degrade") and not rule.shadow for rule in compiled.rules
        )
        self.rising = Rising(ramp_of(compiled))
        queue = queue_of(compiled)
        self._waiting = None if queue is None or not self._acts else Waiting(queue)
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
    def refused(self) -> int:
        """Requests refused, for whatever reason."""
        listed = sum(number for (allowed, _), number in self.outcomes.items() if not allowed)
        return listed + self.refused_by_limits

    @property
    def refused_by_limits(self) -> int:
        """Requests that a limit refused."""
        return self._crowded + sum(tally.refused for tally in self.tallies.values())

    def finish(self) -> None:
        """Decide what still waits: the trace is at its end."""
        if self._waiting is not None and self._bound is not None:
            self._resume(1 << 63)
        self._lines.flush()

    def close(self) -> None:
        """Let go of the store."""
        if self.store is not None:
            self.store.close()

    def take(self, batch: Batch) -> None:
        """Decide a batch."""
        if self.first_ns is None:
            self.first_ns = batch.times_ns[0]
            self.store = self._open_store(self.first_ns)
            if self.actors is not None:
                self.actors.begin(self.first_ns)
            self._bind(self.first_ns)
            if self.actors is not None and self.bound.knowledge is not None:
                self.actors.know(self.bound.knowledge)
        self.requests += len(batch.records)
        self.last_ns = batch.times_ns[-1]
        with _without_collector():
            for part in self._parts(batch):
                self._decide(part)

    def _bind(self, now_ns: int) -> None:
        assert self.store is not None  # set by take, just before
        ramps = self.rising.ramps
        known: Makers = {}
        if ramps is not None:
            known = {ConductPart: lambda host: ConductPart(host, ramps=lambda spec: ramps)}
        features = Bystander(self.store.clock, known).parts.makers
        self._bound = bound = BoundPolicy(
            self.compiled, self.store, now_ns, diagnose=_ignore, features=features
        )
        self._identities = IdentityColumns(bound, self.fields)
        self._ages = bound.ages
        if self.actors is not None:
            bound.recognition = self.actors.recognise(bound.ages)
        elif bound.ages is not None:
            bound.recognition = AgesAlone(bound.ages)
        self._matches = Memo(lambda key: bound.match_line(*key), _MOST_ROUTES)
        self._prepared = Memo(lambda plan: Prepared(plan, self.compiled.units[1:]))
        self._kinds = Memo(lambda key: self._kind(self._matches[key]), _MOST_ROUTES)
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
        found = self._identities.columns(batch.records)
        if found is None or self._acts or self.rising.ramps is not None:
            self._decide_rows(batch)
        else:
            self._decide_columns(batch, *found)

    def _decide_columns(self, batch: Batch, columns: list[array[int]], listed: dict[int, int]) -> None:
        records = batch.records
        if self._ages is not None:
            mark_new(self._ages, columns, batch.times_ns)
        kinds: list[Kind] = self._kinds_of(records)
        if self._has_crowded:
            self._decide_rows(batch)
            return
        for at in listed:
            kinds[at] = UNLIMITED
        rows = rows_of(records, self.fields)
        taken = [rows.amounts(self.fields.attribute[unit]) for unit in self.compiled.units[1:]]
        if self.actors is None:
            refused, unlimited = decide_batch(kinds, columns, batch.times_ns, taken)
        else:
            refused, unlimited = self.actors.decide(kinds, columns, batch.times_ns, taken)
            self.actors.count(columns, records, [at for at, _ in refused])
        lines = [ALLOWED] * len(records) if self._write is not None else []
        by_limit: dict[tuple[Prepared, int], list[int]] = {}
        for at, outcome in refused:
            prepared = kinds[at][3]
            assert prepared is not None  # a plan refused
            by_limit.setdefault((prepared, outcome.binding), []).append(at)
            line = self._refusal(prepared, outcome) if lines or prepared.challenge else b""  # it counts
            if lines:
                lines[at] = line
        for (prepared, binding), places in by_limit.items():
            parts = [[columns[part][at] for at in places] for part in prepared.per[binding]]
            keys = list(zip(*parts, strict=True)) if parts else [()] * len(places)
            self._tally(prepared, binding, keys, partial(_nth, records, places))
        for at, on in listed.items():
            self._count(on == LISTED_ALLOW, Reason.ALLOW_LIST if on == LISTED_ALLOW else Reason.DENY_LIST)
            if lines and on != LISTED_ALLOW:
                lines[at] = REFUSED_UNNAMED
        self._count(True, Reason.LIMITS, len(records) - unlimited - len(refused))
        self._count(True, Reason.UNLIMITED, unlimited - len(listed))
        if lines and self.actors is not None:
            self.actors.name_clusters(lines, columns)
        if self._write is not None:
            self._write(b"".join(lines))

    def _kinds_of(self, records: Sequence[Any]) -> list[Kind]:
        kind = self._kinds.__getitem__
        if isinstance(records, PlainLines):
            member = self.fields.member
            return records.spans.pairs(member["method"], member["path"], kind)
        return list(map(kind, map(_method_and_path, records)))

    def _kind(self, matched: Matched) -> Kind:
        self._has_crowded |= matched.is_crowded
        if matched.plan is None:
            return UNLIMITED
        prepared: Prepared = self._prepared[matched.plan]
        return prepared.plan.accelerated, prepared.fixed_costs, prepared.units, prepared

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
            return prepared.challenges[binding] + seconds(outcome.retry_after_ns(binding)) + REFUSAL_END
        return prepared.refusals[binding] + seconds(outcome.retry_after_ns(binding)) + REFUSAL_END

    def _decide_rows(self, batch: Batch) -> None:
        bound, actors, decide = self.bound, self.actors, self._decider.decide
        records = batch.records
        matches: list[Matched] = list(map(self._matches.__getitem__, map(_method_and_path, records)))
        rows: list[list[int]] = self._identities.rows(records, matches)
        lines = self._lines
        for record, now_ns, row, matched in zip(records, batch.times_ns, rows, matches, strict=True):
            if self._waiting is not None:
                self._resume(now_ns)
            if actors is not None:
                actors.pass_by(record, now_ns)
            self._is_asked_again = False
            costs = self._costs_in(record) if self._has_units else None
            if self._waiting is not None:
                looked = decide(bound, matched, row, now_ns, costs, charge=False)
                self._is_asked_again = True
                if self._waits(self._waiting, bound, matched, looked, costs, record, now_ns):
                    continue
            waited = self.rising.line(bound.payer(row), now_ns)
            lines.add(self._line(decide(bound, matched, row, now_ns, costs), record, now_ns, waited))
        lines.flush()

    def _line(self, decided: Decided, record: Any, now_ns: int, waited: bytes = ALLOWED) -> bytes:
        """Count what was decided of a record, and return what is written: `waited`, if it was admitted."""
        allowed, reason, plan, outcome = decided
        if plan is None or outcome is None:
            self._crowded += not allowed and reason is Reason.LIMITS
            return ALLOWED if allowed else REFUSED_UNNAMED
        answer = waited
        if allowed:
            if plan.holds_slots:
                outcome.release(now_ns)  # a trace does not say how long a request took
            self._count(True, Reason.LIMITS)
            answer = self._degraded(plan, outcome, waited) if self._acts else waited
        else:
            prepared, binding = self._prepared[plan], outcome.binding
            key = tuple([self._asked[place] for place in prepared.per[binding]])
            self._tally(prepared, binding, [key], lambda nth: record)
            answer = self._refusal(prepared, outcome)
        if self.actors is not None:
            answer = self.actors.named_line(self._asked, plan, outcome, answer)
        return answer

    def _degraded(self, plan: RoutePlan, outcome: Outcome, otherwise: bytes) -> bytes:
        """Return what is written of a request that passes: with less, where a limit says so."""
        line = otherwise
        for at, rule in reversed(list(enumerate(plan.rules))):
            if rule.first == "degrade" and not rule.shadow and outcome.state(at) == SHADOWED:
                self.acted[rule.name, rule.first] += 1
                line = degraded(rule.name, outcome.retry_after_ns(at))
        return line

    def _waits(
        self,
        waiting: Waiting,
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
            self._is_asked_again = True
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

    @property
    def counters(self) -> Replay:
        """The counter of decisions: this."""
        return self

    def decided(self, allowed: bool, reason: Reason) -> None:
        """Count a decision that no limit had a part in; those of limits are counted with their limit."""
        if reason is not Reason.LIMITS:
            self._count(allowed, reason)

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
        if self.actors is not None and not self._is_asked_again:
            self.actors.enter(row, now_ns)
        self._asked = row
        return ask_here(plan, row, now_ns, costs, charge)

    def _count(self, allowed: bool, reason: Reason, amount: int = 1) -> None:
        key = (allowed, reason)
        self.outcomes[key] = self.outcomes.get(key, 0) + amount


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
