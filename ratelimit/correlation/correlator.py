"""Evidence in, clusters out: what the limiter, a replay and the command line talk to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from ratelimit.core.clusters import methods
from ratelimit.core.clusters.declared import strike
from ratelimit.core.clusters.evidence import Evidence
from ratelimit.core.clusters.judge import Judge
from ratelimit.core.clusters.organisations import Organisations
from ratelimit.core.clusters.rulings import Rulings
from ratelimit.core.clusters.sighting import Columns
from ratelimit.correlation.explanation import Explanation, Ruling
from ratelimit.correlation.judgement import Judgement, Statistics
from ratelimit.correlation.reason import explain
from ratelimit.correlation.rebuild import Rebuild
from ratelimit.correlation.settings import Settings

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
STRUCK = 4096
"""Principals looked at in one slice when a declaration makes old evidence void."""


class Correlator:
    """Judges which accounts are one actor.

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
        self.core = Judge(self.evidence, columns, clusters=s.clusters, new_s=s.new_s, records_s=s.records_s)
        self.observe = self.core.observe
        self.cluster = self.core.cluster
        self.kept: dict[int, tuple[Statistics, Judgement]] = {}
        """By label, what was last found of each cluster."""
        self.identities: dict[int, int] = {}
        """What limits count each cluster by."""
        self.carries: list[tuple[int, int]] = []
        """Pairs of what limits count by: what was used under the first is to be charged to the second.

        The holder of the limits' state takes them after a rebuild, in this order, and clears the list.
        """
        self._heirs: list[tuple[int, int]] = []
        self.rebuilds = 0
        self._rebuilt_ns = now_ns
        self._edges_then = 0
        self._telling_then = 0
        self._returns_then = 0
        self._rulings: Rulings | None = None
        self._organisations: Organisations | None = None
        self._is_told = False
        self.unlabelled = 0
        """Groups that looked like an actor in the last rebuild, and got no label for want of any."""

    def know(self, rulings: Rulings | None, organisations: Organisations | None = None) -> None:
        """Go by what the operator says; the next rebuild is due at once.

        May be called again at any time: clusters that were declared and still are go on.
        """
        if rulings is not None and self._rulings is not None:
            for label in range(1, self.core.most_clusters + 1):
                rulings.seal(label, self._rulings.is_sealed(label))
        self._rulings = rulings
        self._organisations = organisations
        self._is_told = True
        self.core.rule(rulings)
        self._decree()

    def _decree(self) -> None:
        """Find the actors of the accounts that the operator names."""
        rulings = self._rulings
        if rulings is not None:
            label_of = self.core.label_of
            rulings.decree(set(map(label_of, rulings.confirm)), set(map(label_of, rulings.clear)))

    def is_due(self, now_ns: int) -> bool:
        """Return whether enough has changed, or enough time passed, for a rebuild."""
        if self._is_told:
            return True
        passed_s = (now_ns - self._rebuilt_ns) // NS
        if passed_s < min(REBUILD_LEAST_S, self.settings.rebuild_s):
            return False
        evidence = self.evidence
        if passed_s >= self.settings.rebuild_s:
            return evidence.new_edges > self._edges_then or evidence.returns > self._returns_then
        fresh = evidence.telling_edges - self._telling_then
        return fresh >= CHANGE * evidence.awake_count and fresh > 0

    def rebuild(self, now_ns: int) -> Iterator[None]:
        """Yield between the slices of one rebuild."""
        self._rebuilt_ns = now_ns
        self._edges_then = self.evidence.new_edges
        self._telling_then = self.evidence.telling_edges
        self._returns_then = self.evidence.returns
        self.rebuilds += 1
        if self._is_told and self._organisations is not None:
            yield from self._strike(self._organisations)
        self._is_told = False
        under_way = Rebuild(
            self.core, self.settings, self.kept, self._name, self._descend, self._forget, self._rulings
        )
        yield from under_way
        self.unlabelled = under_way.unlabelled
        self._decree()
        yield from self.own_methods()
        for label, heir in self._heirs:
            if heir in self.kept and label in self.identities:
                self.carries.append((self.identities[label], self.identities[heir]))
        self._heirs.clear()
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
        self._heirs.clear()
        self.carries.clear()

    def _forget(self, label: int) -> None:
        """Forget a cluster that had to make room: its label is another's from now on."""
        del self.kept[label], self.identities[label]
        self._heirs = [pair for pair in self._heirs if label not in pair]

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

    def ruling_of(self, key: int) -> Ruling | None:
        """Return what the operator says of a principal, or of its actor."""
        rulings = self._rulings
        if rulings is None:
            return None
        if key in rulings.exempt:
            return "exempt"
        if key in rulings.clear:
            return "clear"
        if key in rulings.confirm:
            return "confirm"
        if any(key in group for group in rulings.together):
            return "together"
        if any(key in group for group in rulings.apart):
            return "apart"
        return rulings.decree_of(self.core.label_of(key))

    def decree_of(self, label: int) -> Literal["clear", "confirm"] | None:
        """Return what the operator says of a cluster, by the accounts named in it."""
        return None if self._rulings is None else self._rulings.decree_of(label)

    def _strike(self, organisations: Organisations) -> Iterator[None]:
        for start in range(0, self.evidence.principal_count, STRUCK):
            strike(self.evidence, organisations, start, start + STRUCK)
            yield

    def _name(self, label: int, statistics: Statistics, judgement: Judgement) -> None:
        if label not in self.kept:
            self.identities[label] = self._name_at(label)
        self.core.name(label, self.identities[label])
        self.kept[label] = (statistics, judgement)

    def _descend(self, label: int, heir: int) -> None:
        """Note that `heir` is to be charged with what `label` has used."""
        if label in self.kept:
            self._heirs.append((label, heir))

    def _name_at(self, number: int) -> int:
        # Unlike any before, also of an earlier run, and the same whenever the same is replayed.
        seed = self._rebuilt_ns * MOST_LABELS + number
        mixed = (seed ^ seed >> 29) * 0xBF58476D1CE4E5B9 % 2**64
        return (mixed ^ mixed >> 32) % (2**64 - 2) + 1

    def members(self) -> dict[int, list[int]]:
        """Return the keys of each cluster's principals, by label."""
        found: dict[int, list[int]] = {label: [] for label in self.kept}
        for label, key, _ in self.core.members(0, self.evidence.principal_count):
            if label in found:
                found[label].append(key)
        return found
