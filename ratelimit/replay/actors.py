"""The correlator in a replay: virtual time, whole columns, and what its clusters were admitted."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from ratelimit.clustering.budgets import Budgets
from ratelimit.clustering.declarations import Declarations
from ratelimit.core.clusters.sighting import Columns
from ratelimit.core.decision import engine
from ratelimit.core.replay.batch import decide_batch, said
from ratelimit.correlation import Correlator
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.identity.fact import ABSENT
from ratelimit.policy.compile.compiled import CorrelationSpec
from ratelimit.replay.prepared import UNNAMED, ending, named
from ratelimit.stores.contract import Outcome
from ratelimit.traces.plain import column

CHUNK = 256
"""Records decided before it is asked whether clusters are to be rebuilt.

Counted over the whole trace: the same records, whatever pieces it comes in and whichever way they go.
"""
NOBODY = 2**64 - 1
"""In a column, what stands for no cluster."""


class Actors:
    """The actors that are found as a replay goes on.

    Args:
        spec: what the policy says of it.
        cluster_at: the position of the identity `cluster`.
        budgets: returns the limits per cluster, which are charged with what members had before.
        named_by: the attribute of records that names principals; None when names are not to be kept.
    """

    def __init__(
        self,
        spec: CorrelationSpec,
        cluster_at: int,
        named_by: str | None,
        budgets: Callable[[], Budgets],
    ) -> None:
        self._spec = spec
        self._at = cluster_at
        self._budgets = budgets
        self._columns = spec.columns()
        self._correlator: Correlator | None = None
        self._left = 0
        self._record: Any = None
        self._named_by = named_by
        self._name_of = None if named_by is None else attrgetter(named_by)
        self.names: dict[int, str] = {}
        """Principals as the trace gives them, by key; only on demand."""
        self.admitted: Counter[int] = Counter()
        self.refused: Counter[int] = Counter()
        """Requests by cluster."""
        self.would_refuse: Counter[int] = Counter()
        """Those admitted, of likely members, that limits which bind the certain had no room for."""

    @property
    def correlator(self) -> Correlator:
        """The correlator; there is one once the first time is known."""
        assert self._correlator is not None  # see begin
        return self._correlator

    def begin(self, now_ns: int) -> None:
        """Start with nothing known, at the trace's first time."""
        self._correlator = Correlator(self._spec.settings, now_ns, self._columns)

    def know(self, knowledge: Declarations) -> None:
        """Go by what the operator knows; after `begin`."""
        knowledge.tell(self.correlator)

    def decide(
        self,
        kinds: list[Any],
        columns: list[array[int]],
        times_ns: list[int],
        taken: list[array[int]],
    ) -> tuple[list[tuple[int, engine.Outcome]], int]:
        """Decide a batch, each record in its cluster of that moment; see `decide_batch`."""
        refused: list[tuple[int, engine.Outcome]] = []
        unlimited = 0
        start = 0
        while start < len(times_ns):
            if self._left == 0:
                self._rebuild(times_ns[start])
            stop = min(start + self._left, len(times_ns))
            self._left -= stop - start
            would: list[int] = []
            some, free = decide_batch(
                kinds, columns, times_ns, taken, self.correlator.core, self._at, start, stop, would
            )
            self.would_refuse.update([columns[self._at - 1][at] for at in would])
            refused += some
            unlimited += free
            start = stop
        return refused, unlimited

    def count(self, columns: list[array[int]], records: Sequence[Any], refused: list[int]) -> None:
        """Count what clusters were admitted and refused in a batch."""
        clusters = columns[self._at - 2]
        members = said(clusters)
        if members:
            turned_away = [clusters[at] for at in refused]
            self.refused.update(turned_away)
            self.admitted.update([clusters[at] for at in members])
            self.admitted.subtract(turned_away)
        if self._named_by is not None:
            names = column(records, self._named_by)
            self.names.update(zip(columns[self._spec.principal[0]], names, strict=True))

    def name_clusters(self, lines: list[bytes], columns: list[array[int]]) -> None:
        """Write the clusters into a batch's decision lines."""
        clusters, likely, size = columns[self._at - 2], columns[self._at - 1], len(UNNAMED)
        for at in said(clusters):
            lines[at] = lines[at][:-size] + ending(clusters[at], likely[at] == NOBODY)

    def pass_by(self, record: Any, now_ns: int) -> None:
        """Note that a single record's turn has come, whether or not limits decide it."""
        if self._left == 0:
            self._rebuild(now_ns)
        self._left -= 1
        self._record = record

    def recognise(self, ages: Columns | None) -> Recognised:
        """Return what the decider is told clusters by; `ages` marks the rows of new accounts."""
        return Recognised(self, ages)

    def enter(self, row: list[int], now_ns: int) -> None:
        """Let the correlator see the record that is next, and put its cluster into its row."""
        self.correlator.observe(row, now_ns)
        self.correlator.core.fill(row, self._at)
        if self._name_of is not None and (name := self._name_of(self._record)) is not None:
            self.names[row[self._spec.principal[0]]] = str(name)

    def leave(self, row: Sequence[int], was_refused: bool, counted_at: int) -> None:
        """Let the correlator know what became of a record.

        Args:
            row: as it was decided.
            was_refused: whether limits refused it.
            counted_at: what a limit per cluster that applies to it counts by; -1 without any.
        """
        if counted_at >= 0 and not was_refused and row[counted_at] == ABSENT:
            self.correlator.core.admit(row)
        cluster = row[self._at - 2]
        if cluster != ABSENT:
            (self.refused if was_refused else self.admitted)[cluster] += 1

    def named_line(self, row: Sequence[int], plan: RoutePlan, outcome: Outcome, line: bytes) -> bytes:
        """Return the line of a record that limits decided, with its cluster in it."""
        cluster, likely = row[self._at - 2], row[self._at - 1]
        if cluster == ABSENT:
            return line
        if outcome.allowed and likely != ABSENT and plan.would_refuse(outcome, self._at - 1):
            self.would_refuse[cluster] += 1
        return named(line, cluster, is_certain=likely == ABSENT)

    def _rebuild(self, now_ns: int) -> None:
        self._left = CHUNK
        correlator = self.correlator
        if correlator.core.owing:
            self._budgets().charge(correlator.core.debts(), now_ns)
        if correlator.is_due(now_ns):
            for _ in correlator.rebuild(now_ns):
                pass
            self._budgets().carry(correlator.carries, now_ns)
            correlator.carries.clear()


class AgesAlone:
    """The decider's recognition where no clusters are looked for: marks new accounts, and no more."""

    tells_age = True

    def __init__(self, ages: Columns) -> None:
        self._ages = ages

    def fill(self, row: list[int], /) -> None:
        """Leave the row as it is: clusters are not known."""

    def mark(self, row: list[int], now_ns: int, /) -> bool:
        """Mark a row of a new account; return whether it is one."""
        return self._ages.mark(row, now_ns)

    def observe(self, row: Sequence[int], refused: bool, now_ns: int, counted_at: int = -1, /) -> bool:
        """Take nothing."""
        return False


class Recognised:
    """The decider's recognition in a replay: see `deciding.stage.Recognition`.

    Clusters are put into a row when its limits are asked (`Actors.enter`), and not before. For only
    what limits decide is evidence, and a newcomer joins its cluster with its first request.
    """

    def __init__(self, actors: Actors, ages: Columns | None) -> None:
        self._actors = actors
        self._ages = ages

    @property
    def tells_age(self) -> bool:
        """True if a limit asks for new accounts."""
        return self._ages is not None

    def fill(self, row: list[int], /) -> None:
        """Leave the row as it is: see above."""

    def mark(self, row: list[int], now_ns: int, /) -> bool:
        """Mark a row of a new account; return whether it is one."""
        return self._ages is not None and self._ages.mark(row, now_ns)

    def observe(self, row: Sequence[int], refused: bool, now_ns: int, counted_at: int = -1, /) -> bool:
        """Pass on what became of a row."""
        self._actors.leave(row, refused, counted_at)
        return True
