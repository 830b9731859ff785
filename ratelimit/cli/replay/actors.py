"""The correlator in a replay: virtual time, whole columns, and what its clusters were admitted."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from ratelimit.budgets import Budgets
from ratelimit.cli.replay.prepared import UNNAMED, ending, named
from ratelimit.core.batch import decide_batch
from ratelimit.core.engine import Outcome
from ratelimit.core.sighting import Columns
from ratelimit.correlation import Correlator, Settings
from ratelimit.identity.fact import ABSENT
from ratelimit.known import Knowledge
from ratelimit.policy.compiled import CorrelationSpec

CHUNK = 256
"""Records decided before it is asked whether clusters are to be rebuilt.

Counted over the whole trace: the same records, whatever pieces it comes in and whichever way they go.
"""
NOBODY = 2**64 - 1
"""In a column, what stands for no cluster."""


class Actors:
    """Who is one actor, as a replay goes on.

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
        self._columns = Columns(spec.principal, spec.kinds, spec.created, spec.costly)
        self._correlator: Correlator | None = None
        self._left = 0
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
        self._correlator = Correlator(Settings(**self._spec.settings), now_ns, self._columns)  # type: ignore[arg-type]

    def know(self, knowledge: Knowledge) -> None:
        """Go by what the operator knows; after `begin`."""
        knowledge.tell(self.correlator)

    def decide(
        self,
        kinds: list[Any],
        columns: list[array[int]],
        times_ns: list[int],
        costs: list[Sequence[int] | None] | None,
    ) -> tuple[list[tuple[int, Outcome]], int]:
        """Decide a batch, each record in its cluster of that moment; see `decide_batch`."""
        refused: list[tuple[int, Outcome]] = []
        unlimited = 0
        start = 0
        while start < len(times_ns):
            if self._left == 0:
                self._rebuild(times_ns[start])
            stop = min(start + self._left, len(times_ns))
            self._left -= stop - start
            would: list[int] = []
            some, free = decide_batch(
                kinds, columns, times_ns, costs, self.correlator.core, self._at, start, stop, would
            )
            self.would_refuse.update([columns[self._at - 1][at] for at in would])
            refused += some
            unlimited += free
            start = stop
        return refused, unlimited

    def count(self, columns: list[array[int]], records: list[Any], refused: list[int]) -> None:
        """Count what clusters were admitted and refused in a batch."""
        column = columns[self._at - 2]
        self.admitted.update(column)
        turned_away = Counter([column[at] for at in refused])
        self.refused += turned_away
        self.admitted -= turned_away
        if self._name_of is not None:
            self.names.update(zip(columns[self._spec.principal[0]], map(self._name_of, records), strict=True))

    def name_clusters(self, lines: list[bytes], columns: list[array[int]]) -> None:
        """Write the clusters into a batch's decision lines."""
        column, likely, size = columns[self._at - 2], columns[self._at - 1], len(UNNAMED)
        if column.count(NOBODY) < len(column):
            for at, cluster in enumerate(column):
                if cluster != NOBODY:
                    lines[at] = lines[at][:-size] + ending(cluster, likely[at] == NOBODY)

    def pass_by(self, now_ns: int) -> None:
        """Note that a single record's turn has come, whether or not it is decided."""
        if self._left == 0:
            self._rebuild(now_ns)
        self._left -= 1

    def enter(self, row: list[int], record: Any, now_ns: int) -> None:
        """Let the correlator see a single record, and put its cluster into its row."""
        self.correlator.observe(row, now_ns)
        self.correlator.core.fill(row, self._at)
        if self._name_of is not None and (name := self._name_of(record)) is not None:
            self.names[row[self._spec.principal[0]]] = str(name)

    def leave(self, row: list[int], outcome: Outcome, line: bytes, *, counted_at: int) -> bytes:
        """Let the correlator know what became of a record; return its line with the cluster in it.

        Args:
            row: as it was decided.
            outcome: what was decided.
            line: what is written of it.
            counted_at: what a limit per cluster that applies to it counts by; -1 without any.
        """
        was_refused = not outcome.allowed
        if counted_at >= 0 and not was_refused and row[counted_at] == ABSENT:
            self.correlator.core.admit(row)
        cluster, likely = row[self._at - 2], row[self._at - 1]
        if cluster == ABSENT:
            return line
        (self.refused if was_refused else self.admitted)[cluster] += 1
        if not was_refused and likely != ABSENT and outcome.would_refuse(self._at - 1):
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
