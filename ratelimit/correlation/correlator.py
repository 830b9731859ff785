"""Evidence in, clusters out: what the limiter, a replay and the command line talk to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Literal

from ratelimit.core.clusters import methods
from ratelimit.core.clusters.cluster_index import BUDGET, YOUNG, ClusterIndex
from ratelimit.core.clusters.declared import split_shared_methods
from ratelimit.core.clusters.evidence import Evidence
from ratelimit.core.clusters.organisations import Organisations
from ratelimit.core.clusters.overrides import Overrides
from ratelimit.core.clusters.sighting import Columns
from ratelimit.correlation.classification import DECLARED, Classification, Statistics, Verdict, are_new
from ratelimit.correlation.explanation import Explanation, Override
from ratelimit.correlation.reason import explain
from ratelimit.correlation.rebuild import Rebuild
from ratelimit.correlation.settings import METHODS_A_BUDGET, Settings

NS = 1_000_000_000
MOST_LABELS = 4096
REBUILD_LEAST_S = 60
"""Seconds between rebuilds, at least, unless the policy asks for less."""
CHANGE = 0.12
"""A rebuild is due early when so many edges are new for each principal that is awake.

Those of certain members are not counted: they come fast, and say what is known.
"""
WALKED = 16_384
"""Identifiers or principals looked at in one slice to tell whose payment methods are."""
SPLIT_AT_ONCE = 4096
"""Principals looked at in one slice when a declaration makes old evidence void."""


class Correlator:
    """Finds the accounts that are one actor.

    Args:
        settings: the numbers.
        now_ns: when it starts.
        columns: where rows of identities have what it looks at.
    """

    def __init__(self, settings: Settings, now_ns: int, columns: Columns) -> None:
        self.settings = settings
        s = settings
        network_s, payment_s = s.network_kept_s, s.payment_kept_s
        self.evidence = Evidence(
            principals=s.principals,
            identifiers=s.identifiers,
            now_s=now_ns // NS,
            kept_s=(network_s, network_s, *(payment_s,) * 5, network_s),
            extras=columns.extras,
        )
        self.core = ClusterIndex(
            self.evidence,
            columns,
            clusters=s.clusters,
            new_s=s.new_s,
            records_s=s.records_s,
            young_s=s.young_s,
            methods_a_budget=METHODS_A_BUDGET,
        )
        self.observe = self.core.observe
        self.cluster = self.core.cluster
        self.kept: dict[int, tuple[Statistics, Classification]] = {}
        """By label, what was last found of each cluster."""
        self.identities: dict[int, int] = {}
        """The identities that limits count clusters by."""
        self.carries: list[tuple[int, int]] = []
        """Pairs of what limits count by: what was used under the first is to be charged to the second.

        The holder of the limits' state takes them after a rebuild, in this order, and clears the list.
        """
        self._successors: list[tuple[int, int]] = []
        self.rebuilds = 0
        self._rebuilt_ns = now_ns
        self._edges_then = 0
        self._informative_then = 0
        self._returns_then = 0
        self._overrides: Overrides | None = None
        self._organisations: Organisations | None = None
        self._has_new_declarations = False
        self.young = 0
        """Young clusters, as of the last rebuild."""
        self.grown_up_s = 0
        """When the first of these no longer is young, in seconds since 1970; 0 without any."""
        self.unlabelled = 0
        """Groups that looked like an actor in the last rebuild, and got no label for want of any."""

    def know(self, overrides: Overrides | None, organisations: Organisations | None = None) -> None:
        """Go by what the operator says; the next rebuild is due at once.

        May be called again at any time: clusters that were declared and still are go on.
        """
        if overrides is not None and self._overrides is not None:
            for label in range(1, self.core.most_clusters + 1):
                overrides.set_declared_only(label, self._overrides.is_declared_only(label))
        self._overrides = overrides
        self._organisations = organisations
        self._has_new_declarations = True
        self.core.set_overrides(overrides)
        self._set_cluster_overrides()

    def _set_cluster_overrides(self) -> None:
        """Find the actors of the accounts that the operator names."""
        overrides = self._overrides
        if overrides is not None:
            # A later word goes before an earlier one, of whichever of an actor's accounts either was said.
            confirmed, cleared = self._latest(overrides.confirm), self._latest(overrides.clear)
            overrides.set_clusters(
                [label for label, rank in confirmed.items() if rank >= cleared.get(label, 0)],
                [label for label, rank in cleared.items() if rank >= confirmed.get(label, 0)],
            )

    def _latest(self, ruled: Mapping[int, int]) -> dict[int, int]:
        """Return by cluster how late one of its accounts was ruled on last."""
        found: dict[int, int] = {}
        for key, rank in ruled.items():
            label = self.core.label_of(key)
            found[label] = max(rank, found.get(label, 0))
        return found

    def is_due(self, now_ns: int) -> bool:
        """Return whether enough has changed, or enough time passed, for a rebuild."""
        if self._has_new_declarations:
            return True
        passed_s = (now_ns - self._rebuilt_ns) // NS
        if passed_s < min(REBUILD_LEAST_S, self.settings.rebuild_s):
            return False
        evidence = self.evidence
        if self.grown_up_s and now_ns // NS >= self.grown_up_s:
            return True
        if passed_s >= self.settings.rebuild_s:
            return evidence.new_edges > self._edges_then or evidence.returns > self._returns_then
        fresh = evidence.informative_edges - self._informative_then
        return fresh >= CHANGE * evidence.awake_count and fresh > 0

    def rebuild(self, now_ns: int) -> Iterator[None]:
        """Yield between the slices of one rebuild."""
        self._rebuilt_ns = now_ns
        self._edges_then = self.evidence.new_edges
        self._informative_then = self.evidence.informative_edges
        self._returns_then = self.evidence.returns
        self.rebuilds += 1
        if self._has_new_declarations and self._organisations is not None:
            yield from self._split_shared_methods(self._organisations)
        self._has_new_declarations = False
        under_way = Rebuild(
            self.core,
            self.settings,
            self.kept,
            self._name,
            self._note_successor,
            self._forget,
            self._overrides,
        )
        yield from under_way
        self.unlabelled = under_way.unlabelled
        self._set_cluster_overrides()
        ends = [until_s for label in self.kept if (until_s := self.core.young_until_s(label))]
        self.young, self.grown_up_s = len(ends), min(ends, default=0)
        yield from self.own_methods()
        for label, successor in self._successors:
            if successor in self.kept and label in self.identities:
                self.carries.append((self.identities[label], self.identities[successor]))
        self._successors.clear()
        self._forget_closed()

    def abandon(self) -> None:
        """Take back what a rebuild left that was not carried through; does nothing after one that was.

        Members of clusters that it had opened or given up are in none until the next.
        """
        live = set(self.core.live())
        for label in live - self.kept.keys():
            self.core.close_label(label)
        self._forget_closed()
        self.core.release(0, self.evidence.principal_count)
        self._successors.clear()
        self.carries.clear()

    def _forget(self, label: int) -> None:
        """Forget a cluster that had to make room: its label is another's from now on."""
        del self.kept[label], self.identities[label]
        self._successors = [pair for pair in self._successors if label not in pair]

    def _forget_closed(self) -> None:
        for label in self.kept.keys() - set(self.core.live()):
            del self.kept[label], self.identities[label]

    def own_methods(self) -> Iterator[None]:
        """Say which payment methods are an actor's own."""
        for start in range(0, self.evidence.identifier_count, WALKED):
            methods.forget(self.core, start, start + WALKED)
            yield
        for start in range(0, self.evidence.principal_count, WALKED):
            methods.tally(self.core, start, start + WALKED)
            yield

    @property
    def now_ns(self) -> int:
        """The latest time seen, to the second."""
        return self.evidence.latest_s * NS

    def explain(self, key: int) -> Explanation | None:
        """Return why a principal is in its cluster, or in none; None when it is not remembered."""
        return explain(self, key)

    @property
    def exempt(self) -> Collection[int]:
        """The principals that the operator exempts from all clusters."""
        return () if self._overrides is None else self._overrides.exempt

    def is_exempt(self, key: int) -> bool:
        """Return whether the operator exempts a principal from all clusters."""
        return key in self.exempt

    def override_of(self, key: int) -> Override | None:
        """Return what the operator says of a principal, or of its actor."""
        overrides = self._overrides
        if overrides is None:
            return None
        if key in overrides.exempt:
            return "exempt"
        of_actor = overrides.override_of_cluster(self.core.label_of(key))
        if key in overrides.clear:
            return of_actor or "clear"
        if key in overrides.confirm:
            return of_actor or "confirm"
        if any(key in group for group in overrides.together):
            return "together"
        if any(key in group for group in overrides.apart):
            return "apart"
        return of_actor

    def override_of_cluster(self, label: int) -> Literal["clear", "confirm"] | None:
        """Return what the operator says of a cluster, by the accounts named in it."""
        return None if self._overrides is None else self._overrides.override_of_cluster(label)

    def _split_shared_methods(self, organisations: Organisations) -> Iterator[None]:
        for start in range(0, self.evidence.principal_count, SPLIT_AT_ONCE):
            split_shared_methods(self.evidence, organisations, start, start + SPLIT_AT_ONCE)
            yield

    def _name(self, label: int, statistics: Statistics, classification: Classification) -> None:
        if label not in self.kept:
            self.identities[label] = self._name_at(label)
        self.core.name(label, self.identities[label])
        if classification.verdict is Verdict.CERTAIN:
            is_new = classification is not DECLARED and are_new(statistics, self.settings)
            self.core.become_certain(label, is_new)
        self.kept[label] = (statistics, classification)

    def _note_successor(self, label: int, successor: int) -> None:
        """Note that `successor` is to be charged with what `label` has used."""
        if label in self.kept:
            self._successors.append((label, successor))

    def _name_at(self, number: int) -> int:
        # Unlike any before, also of an earlier run, and the same whenever the same is replayed.
        seed = self._rebuilt_ns * MOST_LABELS + number
        mixed = (seed ^ seed >> 29) * 0xBF58476D1CE4E5B9 % 2**64
        # There is room in it for the number of a young cluster's budget.
        return (mixed ^ mixed >> 32) & ~(YOUNG | BUDGET) or BUDGET + 1

    def members(self) -> dict[int, list[int]]:
        """Return the keys of each cluster's principals, by label."""
        found: dict[int, list[int]] = {label: [] for label in self.kept}
        for label, key, _ in self.core.members(0, self.evidence.principal_count):
            if label in found:
                found[label].append(key)
        return found
