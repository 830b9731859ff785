"""The steps of a rebuild, each short enough for an event loop.

Theory of operation. Phases one after the other, each with memory of its own. The first finds accounts
at home (`core.clusters.homes`), the second payment methods that meet at exits of their own
(`core.clusters.pools`). The third joins those that mostly meet each other (`core.clusters.communities`).
The fourth says what the groups are like that they make (`core.clusters.groups`).
Then each group is judged, and goes on as the cluster that most of it was in. The operator's word comes last.

An account that was silent for long is dormant and costs a rebuild nothing. It keeps its cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial

from ratelimit.core.clusters.communities import Communities
from ratelimit.core.clusters.dormancy import lull, wane
from ratelimit.core.clusters.groups import Groups
from ratelimit.core.clusters.homes import Homes
from ratelimit.core.clusters.judge import Judge
from ratelimit.core.clusters.pools import Pools
from ratelimit.core.clusters.programs import accuse
from ratelimit.core.clusters.rulings import Rulings
from ratelimit.correlation.enforcement import Enforcement
from ratelimit.correlation.judgement import Judgement, Statistics, Verdict, cost, judge
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
LONERS_MEET = 2
LONER_SHARE = 0.3
"""Part of the visits of an account that pays by itself at exits that it shares with its like alone."""
KEPT_SHARE = 0.8
"""What of `pool_share` a payment method has to keep that belongs to a cluster already."""
MOST_TURNS = 12
"""How often it is asked again which are left; what still changes then is a few among thousands."""
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
        kept: by label, clusters that there are and what was said of them.
        name: called with a label, its statistics and judgement once a cluster is kept.
        descend: called with two labels when the second takes members over from the first, and what it used.
        forget: called with the label of a cluster that has to make room for one that costs more.
        rulings: what the operator says of principals.
    """

    unlabelled = 0
    """Groups that looked like an actor, and got no label for want of any."""

    def __init__(
        self,
        core: Judge,
        settings: Settings,
        kept: Mapping[int, tuple[Statistics, Judgement]],
        name: Callable[[int, Statistics, Judgement], None],
        descend: Callable[[int, int], None],
        forget: Callable[[int], None],
        rulings: Rulings | None = None,
    ) -> None:
        self._core = core
        self._settings = settings
        self._kept = kept
        self._name = name
        self._descend = descend
        self._forget = forget
        self._enforcement = None if rulings is None else Enforcement(core, rulings, descend)
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

    def __iter__(self) -> Iterator[None]:
        core = self._core
        core.begin()
        if self._enforcement is not None:
            self._enforcement.bind()
        try:
            yield from self._gather()
            yield from self._house()
            yield from self._seek()
            yield from self._judge()
            yield from self._enforce()
            if core.live():
                # All at once: one by one, as they come back, they would keep the budget in debt for a day.
                yield from self._principals(core.collect)
        finally:
            for phase in (self._homes, self._communities, self._pools, self._groups):
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

    def _everybody(self, work: Callable[[int, int], object]) -> Iterator[None]:
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

    def _gather(self) -> Iterator[None]:
        core, s = self._core, self._settings
        yield from self._principals(lambda start, stop: lull(core, start, stop, s.dormant_after_s))
        yield from self._everybody(lambda start, stop: wane(core, start, stop, s.payment_kept_s))
        yield from self._identifiers(core.clear)
        yield from self._principals(core.gather)

    def _house(self) -> Iterator[None]:
        """Say which accounts are at home somewhere, and how old all are."""
        homes = self._homes
        homes.begin()
        yield from self._principals(homes.vote)
        if self._by_program:
            homes.end()  # an account that is an address is always at home
            return
        yield from self._identifiers(homes.settle_votes)
        yield from self._principals(homes.weigh)
        yield from self._identifiers(homes.survey)
        yield from self._principals(homes.find_homes)
        yield from self._identifiers(homes.settle_blocks)
        homes.end()

    def _seek(self) -> Iterator[None]:
        """Find the payment methods that meet, and the accounts that pay by themselves and do."""
        pools, s = self._pools, self._settings
        pools.begin()
        yield from self._identifiers(pools.forget)
        if self._by_program:
            # Networks that one program fills, if it is hardly seen elsewhere.
            pools.look(NETWORK, 1, s.pool_share, crowd=TENANTS)
            yield from self._sift(s.accounts)
            pools.end_search()
            return
        pools.look(ADDRESS, METHODS_MEET, s.pool_share)
        found = yield from self._sift(s.accounts)
        pools.look(NETWORK, METHODS_NETWORK, s.network_share)
        found += yield from self._sift(s.accounts)
        if found:
            # Groups that are mostly in networks which are hardly any others' but theirs are one.
            pools.look(NETWORK, METHODS_NETWORK, s.network_share)
            yield from self._identifiers(pools.recall)
            yield from self._principals(pools.sort)
            yield from self._count()
            yield from self._suspects(pools.unite)
            yield from self._gather_methods()
        pools.look(ADDRESS, LONERS_MEET, s.network_share, alone=True)
        yield from self._sift(s.accounts)
        pools.end_search()

    def _gather_methods(self) -> Iterator[None]:
        """Find which payment methods belong together: those that mostly meet each other."""
        them = self._communities
        them.begin()
        for kind in (ADDRESS, NETWORK):
            them.look(kind)
            idle = 0
            for turn in range(MOST_TURNS):
                yield from self._polled()
                yield from self._suspects(partial(them.choose, turn=turn))
                if not (yield from self._summed(self._identifiers, them.mingle)):
                    break
                yield from self._suspects(them.verify)
                largest = 0.0
                for start, stop in self._ranges(self._core.evidence.identifier_count, FASTER * SLICE):
                    largest = max(largest, them.largest(start, stop))
                    yield
                idle = 0 if largest else idle + 1
                if idle == MOST_IDLE:
                    break
                if largest:
                    # What is dense first: a half at first, then a quarter, ... or what there is.
                    yield from self._identifiers(partial(them.join, least=min(largest / 2, 0.5**turn)))
                    yield from self._identifiers(them.flatten)
        them.look(ADDRESS)
        yield from self._polled()
        yield from self._identifiers(them.settle)
        them.end()

    def _polled(self) -> Iterator[None]:
        yield from self._identifiers(self._communities.forget)
        yield from self._suspects(self._communities.poll)

    def _count(self) -> Iterator[None]:
        yield from self._identifiers(self._pools.clear)
        yield from self._suspects(self._pools.meet)

    def _sift(self, least: int) -> Generator[None, None, int]:
        """Ask which are left until nothing changes; return how many payment methods are."""
        pools, s = self._pools, self._settings
        found = yield from self._summed(self._identifiers, pools.question)
        if self._by_program:
            found += accuse(pools, (yield from telling_programs(pools, self._ranges)))
            yield
        if not found and not pools.alone:
            return 0
        yield from self._principals(pools.sort)
        if pools.suspect_count < least:
            return 0
        kept = KEPT_SHARE * s.pool_share
        for _ in range(MOST_TURNS):
            yield from self._count()
            gone = yield from self._summed(
                self._suspects, lambda start, stop: pools.weigh(start, stop, LONER_SHARE)
            )
            if not pools.alone:
                gone = yield from self._summed(
                    self._identifiers, lambda start, stop: pools.acquit(start, stop, s.pool_share, kept)
                )
            if not gone:
                break
        else:
            yield from self._count()
        yield from self._suspects(pools.unite)
        return (yield from self._summed(self._identifiers, pools.prove))

    def _judge(self) -> Iterator[None]:
        """Say what the groups are, and which principals belong to them."""
        groups, s = self._groups, self._settings
        self._pools.look(ADDRESS, METHODS_MEET, s.pool_share)
        groups.begin()
        yield from self._principals(groups.enroll)
        least = min(FLEET, s.accounts)
        yield from self._principals(lambda start, stop: groups.number_groups(start, stop, least))
        yield from self._identifiers(groups.forget_votes)
        yield from self._principals(groups.tally)
        yield from self._identifiers(groups.survey)
        yield from self._identifiers(groups.survey_networks)
        labels, verdicts, found = yield from self._sentence()
        yield from self._principals(lambda start, stop: groups.appoint(start, stop, labels, verdicts))
        yield from self._identifiers(lambda start, stop: groups.claim(start, stop, labels))
        yield from self._identifiers(lambda start, stop: groups.claim_networks(start, stop, s.network_share))
        yield from self._everybody(self._core.count)
        for label in self._core.live():
            is_kept = self._enforcement is not None and label not in found and self._enforcement.keeps(label)
            if self._core.size(label) == 0 and not is_kept:
                self._core.close_label(label)
                found.pop(label, None)
        for label, (statistics, judgement) in found.items():
            if self._enforcement is not None:
                self._enforcement.passed(label, (statistics, judgement))
            self._core.sentence(label, judgement.verdict)
            self._name(label, statistics, judgement)

    def _sentence(
        self,
    ) -> Generator[None, None, tuple[list[int], list[int], dict[int, tuple[Statistics, Judgement]]]]:
        """Return by group its label and verdict; and by label what was found."""
        groups, core = self._groups, self._core
        self.unlabelled = groups.left_out
        judged: list[tuple[int, Statistics, Judgement]] = []
        for group in range(1, groups.count + 1):
            statistics: Statistics = groups.statistics(group)
            former = self._kept.get(statistics["former"])
            judgement = judge(
                statistics, self._settings, Verdict.NONE if former is None else former[1].verdict
            )
            if judgement.verdict:
                judged.append((group, statistics, judgement))
            if group % GROUPS_AT_ONCE == 0:
                yield
        # The cluster that most of a group was in goes on as the largest such group.
        judged.sort(key=lambda one: (-one[1]["votes"], -one[1]["accounts"], one[0]))
        heirs: dict[int, int] = {}
        for group, statistics, _ in judged:
            if statistics["former"] in self._kept:
                heirs.setdefault(statistics["former"], group)
        goes_on = {group: label for label, group in heirs.items()}
        weights = {group: (judgement.verdict, cost(statistics)) for group, statistics, judgement in judged}
        yield from self._make_room(weights, goes_on)
        labels, verdicts = [0] * (groups.count + 1), [0] * (groups.count + 1)
        found: dict[int, tuple[Statistics, Judgement]] = {}
        judged.sort(key=lambda one: (one[0] not in goes_on, [-part for part in weights[one[0]]], one[0]))
        for group, statistics, judgement in judged:
            label = goes_on.get(group) or core.open_label()
            if not label:
                self.unlabelled += 1
                continue
            former_label = statistics["former"]
            if former_label in self._kept and label != former_label:
                self._descend(former_label, label)
            labels[group], verdicts[group] = label, judgement.verdict
            found[label] = (statistics, judgement)
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
                statistics, judgement = self._kept[label]
                weight = weights.get(group_of.get(label, 0), (judgement.verdict, cost(statistics)))
                held.append((weight, label))
        closed = []
        for (weight, label), dearer in zip(sorted(held), waiting, strict=False):
            if weight >= dearer:
                break
            closed.append(label)
        for label in closed:
            core.close_label(label)
            self._forget(label)
            goes_on.pop(group_of.get(label, 0), None)
        if closed:
            yield from self._everybody(core.release)
            yield from self._identifiers(core.disclaim)

    def _enforce(self) -> Iterator[None]:
        if self._enforcement is None:
            return
        yield from self._enforcement.run(self._everybody)
        if self._enforcement.has_moved:
            yield from self._everybody(self._core.count)
        yield from self._everybody(self._core.release)
        for label, (statistics, judgement) in self._enforcement.found():
            self._core.sentence(label, judgement.verdict)
            self._name(label, statistics, judgement)
