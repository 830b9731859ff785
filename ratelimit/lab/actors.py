"""The correlator in a replay: virtual time, whole columns, and what its clusters were admitted."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ratelimit.clustering.budgets import Budgets
from ratelimit.core.clusters.recogniser import AtOnce
from ratelimit.core.replay.columns import said
from ratelimit.correlation import Correlator
from ratelimit.deciding.compiled import CompiledDecider
from ratelimit.deciding.matched import Matched
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.identity.fact import ABSENT
from ratelimit.lab.batch import decide_batch
from ratelimit.lab.columns import Identities
from ratelimit.lab.traces import column
from ratelimit.policy.compile.compiled import CorrelationSpec
from ratelimit.stores.contract import Outcome

if TYPE_CHECKING:
    from ratelimit.lab.batch import Refused, Slowly

CHUNK = 256
"""Records decided before it is asked whether clusters are to be rebuilt.

Counted over the whole trace: the same records, whatever pieces it comes in and whichever way they go.
"""
NOBODY = 2**64 - 1
"""In a column, what stands for no cluster."""
UNNAMED = b'"cluster": null, "verdict": null}\n'
ALLOWED = b'{"action": "allow", "limit": null, "retry_after": null, ' + UNNAMED


class Actors:
    """The actors that are found as a replay goes on.

    Args:
        spec: what the policy says of it.
        cluster_at: the position of the identity `cluster`.
        named_by: the attribute of records that names principals; None when names are not to be kept.
        budgets: returns the limits per cluster, which are charged with what members had before.
    """

    def __init__(
        self, spec: CorrelationSpec, cluster_at: int, named_by: str | None, budgets: Callable[[], Budgets]
    ) -> None:
        self._spec = spec
        self._at = cluster_at
        self._budgets = budgets
        self._correlator: Correlator | None = None
        self._recogniser: AtOnce | None = None
        self._left = 0
        self._record: Any = None
        self._named_by = named_by
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
        self._correlator = Correlator(self._spec.settings, now_ns, self._spec.columns())

    def recognise(self) -> AtOnce:
        """Return what lets the correlator see requests, and puts clusters into them."""
        self._recogniser = AtOnce(self.correlator.core, self._at)
        return self._recogniser

    def enter(self, row: list[int], now_ns: int) -> None:
        """Let the correlator see a record that Python decides, unless it has, and put its cluster in."""
        assert self._recogniser is not None  # see recognise
        self._recogniser.enter_row(row, now_ns)

    def decide(
        self,
        decider: CompiledDecider,
        matches: list[Matched],
        identities: Identities,
        times_ns: list[int],
        taken: list[array[int]],
        slowly: Slowly,
    ) -> tuple[Refused, list[int]]:
        """Decide a batch, each record in its cluster of that moment; see `decide_batch`."""
        refused: Refused = []
        unnamed: list[int] = []
        likely = identities.columns[self._at - 1]
        start = 0
        while start < len(times_ns):
            if self._left == 0:
                self._rebuild(times_ns[start])
            stop = min(start + self._left, len(times_ns))
            self._left -= stop - start
            some, others, would = decide_batch(
                decider, matches, *identities, times_ns, taken, slowly, start, stop
            )
            self.would_refuse.update([likely[at] for at in would])
            refused += some
            unnamed += others
            start = stop
        return refused, unnamed

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
        clusters, likely = columns[self._at - 2], columns[self._at - 1]
        for at in said(clusters):
            line, is_certain = lines[at], likely[at] == NOBODY
            if line is ALLOWED:  # as most are
                lines[at] = _admitted(clusters[at], is_certain)
            else:
                lines[at] = line[: -len(UNNAMED)] + _ending(clusters[at], is_certain)

    def pass_by(self, record: Any, now_ns: int) -> None:
        """Note that a single record's turn has come, whether or not limits decide it."""
        if self._left == 0:
            self._rebuild(now_ns)
        self._left -= 1
        self._record = record
        if self._recogniser is not None:
            self._recogniser.is_entered = False

    def counted_line(self, row: Sequence[int], plan: RoutePlan, outcome: Outcome, line: bytes) -> bytes:
        """Count a single record for its cluster; return its line with the cluster in it."""
        cluster, likely = row[self._at - 2], row[self._at - 1]
        if self._named_by is not None and (name := getattr(self._record, self._named_by)) is not None:
            self.names[row[self._spec.principal[0]]] = str(name)
        if cluster == ABSENT:
            return line
        (self.admitted if outcome.allowed else self.refused)[cluster] += 1
        if outcome.allowed and likely != ABSENT and plan.would_refuse(outcome, self._at - 1):
            self.would_refuse[cluster] += 1
        return line[: -len(UNNAMED)] + _ending(cluster, likely == ABSENT)

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


@lru_cache(maxsize=4096)
def _ending(cluster: int, is_certain: bool, /) -> bytes:
    """Return how the lines of a cluster's members end."""
    return b'"cluster": "%016x", "verdict": "%b"}\n' % (cluster, b"certain" if is_certain else b"likely")


@lru_cache(maxsize=4096)
def _admitted(cluster: int, is_certain: bool, /) -> bytes:
    """Return the line of a request that passes, of a cluster's member."""
    return ALLOWED[: -len(UNNAMED)] + _ending(cluster, is_certain)
