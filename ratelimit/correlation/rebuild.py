"""The steps of a rebuild, each short enough for an event loop.

Theory of operation. Phases one after the other, each with memory of its own. The first finds accounts
at home (`core.clusters.homes`), the second payment methods that meet at exits of their own
(`core.clusters.pools`). The third joins those that mostly meet each other (`core.clusters.communities`).
The fourth says what the groups are like that they make (`core.clusters.groups`).
Then each group is classified, and goes on as the cluster that most of it was in. The operator's word
comes last.

An account that was silent for long is dormant and costs a rebuild nothing. It keeps its cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial

from ratelimit.core.clusters.cluster_index import ClusterIndex
from ratelimit.core.clusters.communities import Communities
from ratelimit.core.clusters.dormancy import expire_labels, mark_dormant
from ratelimit.core.clusters.groups import Groups
from ratelimit.core.clusters.homes import Homes
from ratelimit.core.clusters.overrides import Overrides
from ratelimit.core.clusters.pools import Pools
from ratelimit.core.clusters.programs import add_suspects
from ratelimit.correlation.classification import Classification, Statistics, Verdict, classify, cost
from ratelimit.correlation.enforcement import Enforcement
from ratelimit.correlation.settings import HOUR_S, Settings
from ratelimit.correlation.tenants import TENANTS, telling_programs

ADDRESS, NETWORK = 0, 1
YOUNG_S = 36 * HOUR_S
"""Until then a return after a few hours makes a home."""
SETTLED_S = 16 * HOUR_S
"""After that an account would have been seen at home."""
METHODS_MEET = 2
"""Payment methods that meet at an address of a pool."""
METHODS_NETWORK = 3
"""And in a network, where meeting says less."""
NETWORK_SHARE = 0.8
"""Part of a network's accounts that makes it a pool's: more than of an exit, since chance shares networks."""
LONERS_MEET = 2
LONER_SHARE = 0.3
"""Part of the visits of an account that pays by itself at exits that it shares with its like alone."""
KEPT_SHARE = 0.8
"""The part of `pool_share` that a cluster's payment method has to keep."""
MOST_TURNS = 12
"""The number of rounds, at most; later ones would change a few among thousands."""
MOST_IDLE = 3
"""In how many turns no communities may be joined before it is asked no more."""
NEVER = 2**32 - 1
FLEET = 6
"""Accounts on one payment method that are looked at as a group, if they are nowhere at home."""
GROUPS_AT_ONCE = 128
SLICE = 4096
"""Principals walked in one step; identifiers are walked faster."""
FASTER = 4

Weight = tuple[int, float]
"""A group's verdict and what it costs: the order in which labels are given where there are too few."""


class Rebuild:
    """One rebuild under way; iterate to run it.

    Args:
        core: evidence and clusters.
        settings: the numbers.
        kept: by label, clusters that there are and what was found of them.
        name: called with a label, its statistics and classification once a cluster is kept.
        note_successor: called with two labels when the second takes over members and use of the first.
        forget: called with the label of a cluster that has to make room for one that costs more.
        overrides: what the operator says of principals.
    """

    unlabelled = 0
    """Groups that looked like an actor, and got no label for want of any."""

    def __init__(
        self,
        core: ClusterIndex,
        settings: Settings,
        kept: Mapping[int, tuple[Statistics, Classification]],
        name: Callable[[int, Statistics, Classification], None],
        note_successor: Callable[[int, int], None],
        forget: Callable[[int], None],
        overrides: Overrides | None = None,
    ) -> None:
        self._core = core
        self._settings = settings
        self._kept = kept
        self._name = name
        self._note_successor = note_successor
        self._forget = forget
        self._enforcement = None if overrides is None else Enforcement(core, overrides, note_successor)
        s = settings
        self._homes = Homes(
            core.evidence,
            home_s=s.home_s,
            home_new_s=s.home_new_s,
            young_s=YOUNG_S,
            new_s=s.new_s,
            settled_s=SETTLED_S,
            records_s=s.records_s,
            is_paid=core.columns.has_payment,
        )
        self._by_program = not core.columns.has_payment and not core.columns.costly
        self._pools = Pools(
            core.evidence, window_s=s.window_s, costly=core.columns.costly, by_program=self._by_program
        )
        self._communities = Communities(self._pools)
        fleet = NEVER if self._by_program else FLEET
        self._groups = Groups(core, self._pools, fleet=fleet, hub=s.accounts)
        self._phases = self._homes, self._communities, self._pools, self._groups

    def __iter__(self) -> Iterator[None]:
        core = self._core
        core.begin()
        if self._enforcement is not None:
            self._enforcement.bind()
        try:
            yield from self._refresh()
            yield from self._find_homes()
            yield from self._find_pools()
            yield from self._classify_groups()
            yield from self._enforce()
            if core.live():
                # All at once: one by one, as they come back, they would keep the budget in debt for a day.
                yield from self._principals(core.collect)
            for phase in self._phases:
                yield from _in_parts(phase.give_back)
        finally:
            for phase in self._phases:
                phase.end()
            core.end()

    def _ranges(self, count: int, step: int) -> Iterator[tuple[int, int]]:
        # Once at least, since passes begin with emptying what they write to.
        for start in range(0, max(1, count), step):
            yield start, min(start + step, count)

    def _principals(self, work: Callable[[int, int], object]) -> Iterator[None]:
        """Run a pass over those awake."""
        for start, stop in self._ranges(self._core.evidence.awake_count, SLICE):
            work(start, stop)
            yield

    def _all_principals(self, work: Callable[[int, int], object]) -> Iterator[None]:
        """Run a pass over the dormant as well."""
        for start, stop in self._ranges(self._core.evidence.principal_count, FASTER * SLICE):
            work(start, stop)
            yield

    def _identifiers(self, work: Callable[[int, int], object]) -> Iterator[None]:
        for start, stop in self._ranges(self._core.evidence.identifier_count, FASTER * SLICE):
            work(start, stop)
            yield

    def _suspects(self, work: Callable[[int, int], object]) -> Iterator[None]:
        """Run a pass over the accounts in question."""
        for start, stop in self._ranges(self._pools.suspect_count, SLICE):
            work(start, stop)
            yield

    def _summed(
        self,
        walk: Callable[[Callable[[int, int], object]], Iterator[None]],
        work: Callable[[int, int], int],
    ) -> Generator[None, None, int]:
        total = 0

        def add(start: int, stop: int) -> None:
            nonlocal total
            total += work(start, stop)

        yield from walk(add)
        return total

    def _refresh(self) -> Iterator[None]:
        core, s = self._core, self._settings
        yield from self._principals(lambda start, stop: mark_dormant(core, start, stop, s.dormant_after_s))
        yield from self._all_principals(
            lambda start, stop: expire_labels(core, start, stop, s.payment_kept_s)
        )
        yield from self._identifiers(core.clear)
        yield from self._principals(core.gather)

    def _find_homes(self) -> Iterator[None]:
        """Say which accounts are at home somewhere, and how old all are."""
        homes = self._homes
        homes.begin()
        yield from self._principals(homes.vote)
        if self._by_program:
            yield from _in_parts(homes.give_back)  # an account that is an address is always at home
            return
        yield from self._identifiers(homes.reset_votes)
        yield from self._principals(homes.count_visits)
        yield from self._identifiers(homes.count_addresses)
        yield from self._principals(homes.find_homes)
        yield from self._identifiers(homes.classify_blocks)
        yield from _in_parts(homes.give_back)

    def _find_pools(self) -> Iterator[None]:
        """Find the payment methods that meet, and the accounts that pay by themselves and do."""
        pools, s = self._pools, self._settings
        pools.begin()
        yield from self._identifiers(pools.reset)
        if self._by_program:
            # Networks that one program fills, if it is hardly seen elsewhere.
            pools.begin_round(NETWORK, 1, s.pool_share, crowd=TENANTS)
            yield from self._prune_suspects(s.accounts)
            yield from _in_parts(pools.end_search)
            return
        pools.begin_round(ADDRESS, METHODS_MEET, s.pool_share)
        found = yield from self._prune_suspects(s.accounts)
        pools.begin_round(NETWORK, METHODS_NETWORK, NETWORK_SHARE)
        found += yield from self._prune_suspects(s.accounts)
        if found:
            # Groups that are mostly in networks which are hardly any others' but theirs are one.
            pools.begin_round(NETWORK, METHODS_NETWORK, NETWORK_SHARE)
            yield from self._identifiers(pools.restore_suspects)
            yield from self._principals(pools.list_suspects)
            yield from self._count()
            yield from self._suspects(pools.join)
            yield from self._join_methods()
        pools.begin_round(ADDRESS, LONERS_MEET, NETWORK_SHARE, alone=True)
        yield from self._prune_suspects(s.accounts)
        yield from _in_parts(pools.end_search)

    def _join_methods(self) -> Iterator[None]:
        """Find which payment methods belong together: those that mostly meet each other."""
        communities = self._communities
        communities.begin()
        for kind in (ADDRESS, NETWORK):
            communities.begin_round(kind)
            idle = 0
            for turn in range(MOST_TURNS):
                yield from self._vote()
                yield from self._suspects(partial(communities.choose, turn=turn))
                if not (yield from self._summed(self._identifiers, communities.close_separate)):
                    break
                yield from self._suspects(communities.verify)
                largest = 0.0
                for start, stop in self._ranges(self._core.evidence.identifier_count, FASTER * SLICE):
                    largest = max(largest, communities.largest(start, stop))
                    yield
                idle = 0 if largest else idle + 1
                if idle == MOST_IDLE:
                    break
                if largest:
                    # What is dense first: a half at first, then a quarter, ... or what there is.
                    yield from self._identifiers(partial(communities.join, least=min(largest / 2, 0.5**turn)))
                    yield from self._identifiers(communities.flatten)
        communities.begin_round(ADDRESS)
        yield from self._vote()
        yield from self._identifiers(communities.attach_addresses)
        yield from _in_parts(communities.give_back)

    def _vote(self) -> Iterator[None]:
        yield from self._identifiers(self._communities.reset)
        yield from self._suspects(self._communities.vote)

    def _count(self) -> Iterator[None]:
        yield from self._identifiers(self._pools.clear)
        yield from self._suspects(self._pools.count_places)

    def _prune_suspects(self, least: int) -> Generator[None, None, int]:
        """Ask which are left until nothing changes; return how many payment methods are."""
        pools, s = self._pools, self._settings
        found = yield from self._summed(self._identifiers, pools.find_suspects)
        if self._by_program:
            found += add_suspects(pools, (yield from telling_programs(pools, self._ranges)))
            yield
        if not found and not pools.alone:
            return 0
        yield from self._principals(pools.list_suspects)
        if pools.suspect_count < least:
            return 0
        kept = KEPT_SHARE * s.pool_share
        for _ in range(MOST_TURNS):
            yield from self._count()
            gone = yield from self._summed(
                self._suspects, lambda start, stop: pools.score(start, stop, LONER_SHARE)
            )
            if not pools.alone:
                gone = yield from self._summed(
                    self._identifiers,
                    lambda start, stop: pools.drop_suspects(start, stop, s.pool_share, kept),
                )
            if not gone:
                break
        else:
            yield from self._count()
        yield from self._suspects(pools.join)
        return (yield from self._summed(self._identifiers, pools.mark_pooled))

    def _classify_groups(self) -> Iterator[None]:
        """Say what the groups are, and which principals belong to communities."""
        groups, s = self._groups, self._settings
        self._pools.begin_round(ADDRESS, METHODS_MEET, s.pool_share)
        groups.begin()
        yield from self._principals(groups.count_members)
        least = min(FLEET, s.accounts)
        yield from self._principals(lambda start, stop: groups.number_groups(start, stop, least))
        yield from self._identifiers(groups.reset_votes)
        yield from self._principals(groups.tally)
        yield from self._identifiers(groups.count_addresses)
        yield from self._identifiers(groups.count_networks)
        labels, verdicts, found = yield from self._assign_labels()
        yield from self._principals(lambda start, stop: groups.assign_members(start, stop, labels, verdicts))
        yield from self._identifiers(lambda start, stop: groups.label_identifiers(start, stop, labels))
        yield from self._identifiers(lambda start, stop: groups.prune_networks(start, stop, NETWORK_SHARE))
        yield from self._all_principals(self._core.count)
        for label in self._core.live():
            is_kept = self._enforcement is not None and label not in found and self._enforcement.keeps(label)
            if self._core.size(label) == 0 and not is_kept:
                self._core.close_label(label)
                found.pop(label, None)
        for label, (statistics, classification) in found.items():
            if self._enforcement is not None:
                self._enforcement.passed(label, (statistics, classification))
            self._core.set_verdict(label, classification.verdict)
            self._name(label, statistics, classification)

    def _assign_labels(
        self,
    ) -> Generator[None, None, tuple[list[int], list[int], dict[int, tuple[Statistics, Classification]]]]:
        """Return by group its label and verdict; and by label what was found."""
        groups, core = self._groups, self._core
        self.unlabelled = groups.left_out
        classified: list[tuple[int, Statistics, Classification]] = []
        for group in range(1, groups.count + 1):
            statistics: Statistics = groups.statistics(group)
            former = self._kept.get(statistics["former"])
            classification = classify(
                statistics, self._settings, Verdict.NONE if former is None else former[1].verdict
            )
            if classification.verdict:
                classified.append((group, statistics, classification))
            if group % GROUPS_AT_ONCE == 0:
                yield
        # The cluster that most of a group was in goes on as the largest such group.
        classified.sort(key=lambda one: (-one[1]["votes"], -one[1]["accounts"], one[0]))
        successors: dict[int, int] = {}
        for group, statistics, _ in classified:
            if statistics["former"] in self._kept:
                successors.setdefault(statistics["former"], group)
        goes_on = {group: label for label, group in successors.items()}
        weights = {
            group: (classification.verdict, cost(statistics))
            for group, statistics, classification in classified
        }
        yield from self._make_room(weights, goes_on)
        labels, verdicts = [0] * (groups.count + 1), [0] * (groups.count + 1)
        found: dict[int, tuple[Statistics, Classification]] = {}
        classified.sort(key=lambda one: (one[0] not in goes_on, [-part for part in weights[one[0]]], one[0]))
        for group, statistics, classification in classified:
            label = goes_on.get(group) or core.open_label()
            if not label:
                self.unlabelled += 1
                continue
            former_label = statistics["former"]
            if former_label in self._kept and label != former_label:
                self._note_successor(former_label, label)
            labels[group], verdicts[group] = label, classification.verdict
            found[label] = (statistics, classification)
        return labels, verdicts, found

    def _make_room(self, weights: Mapping[int, Weight], goes_on: dict[int, int]) -> Iterator[None]:
        """Close clusters that cost less than groups for which there is no label; those that nobody ruled.

        Args:
            weights: by group what it weighs.
            goes_on: by group the cluster that it goes on as; what is closed is taken out.
        """
        core = self._core
        free = core.most_clusters - len(core.live())
        fresh = sorted((weight for group, weight in weights.items() if group not in goes_on), reverse=True)
        waiting = fresh[free:]
        if not waiting:
            return
        group_of = {label: group for group, label in goes_on.items()}
        ruled = set() if self._enforcement is None else self._enforcement.held
        held: list[tuple[Weight, int]] = []
        for label in core.live():
            if label in self._kept and label not in ruled:
                statistics, classification = self._kept[label]
                weight = weights.get(group_of.get(label, 0), (classification.verdict, cost(statistics)))
                held.append((weight, label))
        closed = []
        for (weight, label), costlier in zip(sorted(held), waiting, strict=False):
            if weight >= costlier:
                break
            closed.append(label)
        for label in closed:
            core.close_label(label)
            self._forget(label)
            goes_on.pop(group_of.get(label, 0), None)
        if closed:
            yield from self._all_principals(core.release)
            yield from self._identifiers(core.release_identifiers)

    def _enforce(self) -> Iterator[None]:
        if self._enforcement is None:
            return
        yield from self._enforcement.run(self._all_principals)
        if self._enforcement.has_moved:
            yield from self._all_principals(self._core.count)
        yield from self._all_principals(self._core.release)
        for label, (statistics, classification) in self._enforcement.found():
            self._core.set_verdict(label, classification.verdict)
            self._name(label, statistics, classification)


def _in_parts(give_back: Callable[[], bool]) -> Iterator[None]:
    while give_back():
        yield
    yield
