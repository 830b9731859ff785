"""The loop over a trace: every line decided at its own time, against a store of its own.

What is decided is what the middleware would have decided: the same generation, plans
and hashes. The work is arranged by columns because a trace has millions of lines; what
columns cannot say is decided row by row (`_decide_rows`), and comes out the same.
"""

from __future__ import annotations

import gc
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

from ratelimit.cli.facts import fields_of, route_target
from ratelimit.cli.replay.actors import Actors
from ratelimit.cli.replay.columns import IdentityColumns, Memo
from ratelimit.cli.replay.prepared import ALLOWED, REFUSAL_END, REFUSED_UNNAMED, Prepared, seconds
from ratelimit.cli.replay.tally import LimitTally
from ratelimit.core.batch import decide_batch, mark_new
from ratelimit.core.engine import Outcome, Plan
from ratelimit.decision import Reason
from ratelimit.generation import Generation, Matched
from ratelimit.identity.access import ALLOWED as LISTED_ALLOW
from ratelimit.identity.fact import ABSENT, REFUSED
from ratelimit.policy.compiled import CompiledPolicy
from ratelimit.route_plan import RoutePlan
from ratelimit.stores.base import Store
from ratelimit.traces import Batch

_MOST_ROUTES = 100_000
_method_and_path = attrgetter("method", "path")

Kind = tuple[Plan | None, Sequence[int], Prepared | None]
"""A plan, what it takes by default, and the rest that is known of it."""

UNLIMITED: Kind = (None, (), None)

OpenStore = Callable[[int], Store]
"""Opens the replay's own store, given the time of the first line."""


class Replay:
    """One trace against one policy.

    Args:
        compiled: the policy.
        open_store: called once, when the first time is known.
        write: takes chunks of decision lines; None when nobody wants them.
        correlates: whether clusters are looked for, if the policy says of what.
        names_members: whether members' names are kept as the trace gives them.
    """

    def __init__(
        self,
        compiled: CompiledPolicy,
        open_store: OpenStore,
        write: Callable[[bytes], Any] | None = None,
        *,
        correlates: bool = True,
        names_members: bool = False,
    ) -> None:
        self.compiled = compiled
        self.fields = fields_of(compiled)
        self.actors = self._actors(names_members) if correlates else None
        """Who is one actor; None when that is not asked."""
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
        self.store: Store | None = None
        self._generation: Generation | None = None

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
            lambda: self.generation.budgets,
        )

    @property
    def generation(self) -> Generation:
        """The policy at work; there is one once the first batch was taken."""
        assert self._generation is not None  # see take
        return self._generation

    @property
    def refused(self) -> int:
        """Requests refused, for whatever reason."""
        listed = sum(number for (allowed, _), number in self.outcomes.items() if not allowed)
        return listed + self.refused_by_limits

    @property
    def refused_by_limits(self) -> int:
        """Requests that a limit refused."""
        return self._crowded + sum(tally.refused for tally in self.tallies.values())

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
            if self.actors is not None and self.generation.knowledge is not None:
                self.actors.know(self.generation.knowledge)
        self.requests += len(batch.records)
        self.last_ns = batch.times_ns[-1]
        with _without_collector():
            for part in self._parts(batch):
                self._decide(part)

    def _bind(self, now_ns: int) -> None:
        assert self.store is not None  # set by take, just before
        self._generation = generation = Generation(
            self.compiled, self.store, now_ns, notice=lambda code: None
        )
        self._identities = IdentityColumns(generation, self.fields)
        self._ages = generation.ages
        self._matches = Memo(lambda key: generation.match(key[0].upper(), route_target(key[1])), _MOST_ROUTES)
        self._prepared = Memo(lambda plan: Prepared(plan, self.fields))
        self._kinds = Memo(lambda key: self._kind(self._matches[key]), _MOST_ROUTES)
        self._has_units = len(self.compiled.units) > 1

    def _parts(self, batch: Batch) -> Iterator[Batch]:
        """Yield the batch in pieces within which the listed calendar windows are current."""
        start = 0
        while start < len(batch.times_ns):
            now_ns = batch.times_ns[start]
            generation = self._generation
            assert generation is not None  # set by take
            if not generation.is_current(now_ns):
                self._bind(now_ns)
                continue
            end = len(batch.times_ns)
            if generation.until_ns is not None:
                end = bisect_left(batch.times_ns, generation.until_ns, start)
            yield Batch(batch.records[start:end], batch.times_ns[start:end])
            start = end

    def _decide(self, batch: Batch) -> None:
        found = self._identities.columns(batch.records)
        if found is None:
            self._decide_rows(batch)
        else:
            self._decide_columns(batch, *found)

    def _decide_columns(self, batch: Batch, columns: list[array[int]], listed: dict[int, int]) -> None:
        records = batch.records
        if self._ages is not None:
            mark_new(self._ages, columns, batch.times_ns)
        kinds: list[Kind] = list(map(self._kinds.__getitem__, map(_method_and_path, records)))
        if self._has_crowded:
            self._decide_rows(batch)
            return
        for at in listed:
            kinds[at] = UNLIMITED
        costs = self._costs(kinds, records) if self._has_units else None
        if self.actors is None:
            refused, unlimited = decide_batch(kinds, columns, batch.times_ns, costs)
        else:
            refused, unlimited = self.actors.decide(kinds, columns, batch.times_ns, costs)
            self.actors.count(columns, records, [at for at, _ in refused])
        lines = [ALLOWED] * len(records) if self._write is not None else []
        for at, outcome in refused:
            prepared = kinds[at][2]
            assert prepared is not None  # a plan refused
            line = self._refused(prepared, outcome, [column[at] for column in columns], records[at])
            if lines:
                lines[at] = line
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

    def _kind(self, matched: Matched) -> Kind:
        self._has_crowded |= matched.is_crowded
        if matched.plan is None:
            return UNLIMITED
        prepared: Prepared = self._prepared[matched.plan]
        return prepared.plan.plan, prepared.fixed_costs, prepared

    @staticmethod
    def _costs(kinds: list[Kind], records: list[Any]) -> list[Sequence[int] | None]:
        return [
            None if prepared is None or prepared.costs is None else prepared.costs(record)
            for (_, _, prepared), record in zip(kinds, records, strict=True)
        ]

    def _refused(self, prepared: Prepared, outcome: Outcome, row: Sequence[int], record: Any) -> bytes:
        """Count a refusal by limits, and return what is written of it."""
        binding = outcome.binding
        rule = prepared.plan.rules[binding]
        tally = self.tallies.get(rule.index)
        if tally is None:
            tally = self.tallies[rule.index] = LimitTally(rule)
        tally.add(row, record)
        return prepared.refusals[binding] + seconds(outcome.retry_after_ns(binding)) + REFUSAL_END

    def _decide_rows(self, batch: Batch) -> None:
        generation = self._generation
        assert generation is not None  # set by take
        records = batch.records
        matches: list[Matched] = list(map(self._matches.__getitem__, map(_method_and_path, records)))
        rows: list[list[int]] = self._identities.rows(records, matches)
        prepared_by_plan = self._prepared
        listed_at = generation.extractor.listed_at if generation.has_lists else -1
        lines: list[bytes] = []
        line = lines.append if self._write is not None else _nowhere
        admitted = unlimited = 0
        known: RoutePlan | None = None
        for record, now_ns, row, matched in zip(records, batch.times_ns, rows, matches, strict=True):
            if self.actors is not None:
                self.actors.pass_by(now_ns)
            if listed_at >= 0 and (listed := row[listed_at]):
                allowed = listed == LISTED_ALLOW
                self._count(allowed, Reason.ALLOW_LIST if allowed else Reason.DENY_LIST)
                line(ALLOWED if allowed else REFUSED_UNNAMED)
                continue
            plan = matched.plan
            if plan is None:
                plan = matched.plan_for(row)
                if plan is None:
                    unlimited += not matched.is_crowded
                    self._crowded += matched.is_crowded
                    line(REFUSED_UNNAMED if matched.is_crowded else ALLOWED)
                    continue
            if plan is not known:
                prepared: Prepared = prepared_by_plan[plan]
                known = plan
            if REFUSED in row:
                if any(row[at] == REFUSED for at in prepared.required):
                    self._count(False, Reason.IDENTITY)
                    line(REFUSED_UNNAMED)
                    continue
                # Missing, but of no concern to this plan, and the core takes hashes only.
                row = [ABSENT if identity == REFUSED else identity for identity in row]
            if self._ages is not None:
                self._ages.mark(row, now_ns)
            if self.actors is not None:
                self.actors.enter(row, record, now_ns)
            costs = prepared.costs
            outcome = prepared.decide(row, now_ns, prepared.fixed_costs if costs is None else costs(record))
            answer = ALLOWED
            if outcome.allowed:
                if prepared.has_slots:
                    outcome.release(now_ns)
                admitted += 1
            else:
                answer = self._refused(prepared, outcome, row, record)
            if self.actors is not None:
                answer = self.actors.leave(row, outcome, answer, counted_at=plan.counted_at)
            line(answer)
        self._count(True, Reason.LIMITS, admitted)
        self._count(True, Reason.UNLIMITED, unlimited)
        if self._write is not None:
            self._write(b"".join(lines))

    def _count(self, allowed: bool, reason: Reason, amount: int = 1) -> None:
        key = (allowed, reason)
        self.outcomes[key] = self.outcomes.get(key, 0) + amount


def _nowhere(line: bytes) -> None:
    """Take a line nobody wants."""


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
