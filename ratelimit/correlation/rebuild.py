"""The steps of a rebuild, each short enough for an event loop.

Theory of operation. Groups are looked for on the evidence of now: payment methods of
several principals that meet at addresses where few others are seen. A group gets a
provisional cluster, or goes on as the one that most of it was in. Then all clusters are
tried: their profiles are counted, every principal is put where it fits best, and a
cluster is kept if it passes as one actor. Nothing is decided by a seed alone.

Who was silent for long is dormant and costs a rebuild nothing. It keeps its cluster; a cluster
of which too few are awake to judge it waits for the others as it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from functools import partial

from ratelimit.core.judge import Judge
from ratelimit.core.rulings import Rulings
from ratelimit.correlation.enforcement import Enforcement
from ratelimit.correlation.judgement import CROWD, SMALL, Judgement, Profile, judge, meeting_ratios
from ratelimit.correlation.parts import parts_of
from ratelimit.correlation.selfcheck import payers_share
from ratelimit.correlation.settings import Settings
from ratelimit.correlation.tenants import mark_tenants

Size = tuple[int, int, dict[int, int]]
"""How many principals and payment methods, and how many of the principals were in which cluster."""
Root = tuple[int, int]
Groups = dict[Root, Size]

MOST_CLIENTS = 32
SLOWER = 8
"""How many times fewer entries a slice has that makes objects of them, or compares them with clusters."""
AT_ONCE = 128
"""Groups looked at in one slice."""
PRUNINGS = 3
GROWTH = 1.05
SETTLED = 0.005
REFINEMENTS = 3
SEEDS = 64
CRUMB = 0.05
RETAINED = 0.25
"""Part of a group told apart by its clients that has to be left: of any crowd chance makes a few alike."""


class Rebuild:
    """One rebuild under way; iterate to run it.

    Args:
        core: evidence and labels.
        settings: the numbers.
        kept: labels of clusters that have passed before.
        name: called with a label, its profile and judgement once a cluster is kept.
        rulings: what the operator says of principals.
        seeding: the numbers that new groups are looked for with, where they differ.
        descend: called with two labels when the second takes members over from the first, and what it used.
    """

    def __init__(
        self,
        core: Judge,
        settings: Settings,
        kept: Collection[int],
        name: Callable[[int, Profile, Judgement], None],
        descend: Callable[[int, int], None],
        rulings: Rulings | None = None,
        seeding: Settings | None = None,
    ) -> None:
        self._kept = kept
        self.is_growing = False
        """Whether clusters gained a good part of their members: worth another look soon."""
        self._core = core
        self._settings = settings
        self._seeding = settings if seeding is None else seeding
        self._name = name
        self._descend = descend
        self._least: dict[int, float] = {}
        """How many members a new cluster must have, by label."""
        self._enforcement = None if rulings is None else Enforcement(core, rulings, descend)

    def __iter__(self) -> Iterator[None]:
        core = self._core
        core.begin()
        before = self._members()
        if self._enforcement is not None:
            self._enforcement.bind()
        try:
            yield from self._gather()
            yield from self._seed_payers()
            yield from self._seed_roamers()
            if not core.columns.has_payment:
                yield from self._seed_tenants()
            if core.live():
                # Only now: seeds use the memory that these counts are kept in.
                yield from self._profile()
                yield from self._refine(REFINEMENTS)
                yield from self._judge()
            yield from self._enforce()
            if core.live():
                # All at once: one by one, as they come back, they would keep the budget in debt for a day.
                yield from self._principals(core.collect)
            self.is_growing = self._members() > GROWTH * before + self._settings.least_members
        finally:
            core.end()

    def _members(self) -> int:
        return sum(self._core.profile(label)["size"] for label in self._core.live())

    def _ranges(self, count: int, *, slowly: bool = False) -> Iterator[tuple[int, int]]:
        """Yield the ranges of one pass; shorter ones where each entry takes long."""
        step = self._settings.slice_entries
        if slowly:
            step = max(1, step // SLOWER)
        # Once at least, since passes begin with emptying what they write to.
        for start in range(0, max(1, count), step):
            yield start, min(start + step, count)

    def _principals(self, work: Callable[[int, int], object]) -> Iterator[None]:
        """Run a pass over those awake."""
        for start, stop in self._ranges(self._core.evidence.awake_count):
            work(start, stop)
            yield

    def _everybody(self, work: Callable[[int, int], object]) -> Iterator[None]:
        """Run a pass over the dormant as well."""
        for start, stop in self._ranges(self._core.evidence.principal_count):
            work(start, stop)
            yield

    def _identifiers(self, work: Callable[[int, int], object]) -> Iterator[None]:
        for start, stop in self._ranges(self._core.evidence.identifier_count):
            work(start, stop)
            yield

    def _gather(self) -> Iterator[None]:
        core, silent_s = self._core, self._settings.dormant_after_s
        yield from self._principals(lambda start, stop: core.lull(start, stop, silent_s))
        yield from self._identifiers(core.clear)
        yield from self._principals(core.gather)

    def _profile(self) -> Iterator[None]:
        """Count the clusters' members at identifiers, and their profiles."""
        core = self._core
        live = core.live()
        if not live:
            return
        yield from self._identifiers(core.recount)
        yield from self._principals(core.vote)
        yield from self._identifiers(core.settle)
        for members_pass in (core.tally, core.bridge, core.support):
            yield from self._principals(members_pass)
        for label in live:
            profile: Profile = core.profile(label)
            pays = profile["sharing"] >= 0.5 * profile["size"] or not core.columns.has_payment
            core.need(label, 1 if pays else 2, *meeting_ratios(profile["met"]))

    def _refine(self, times: int) -> Iterator[None]:
        for turn in range(times):
            moved = yield from self._assign(everybody=turn == 0)
            yield from self._profile()
            if moved <= SETTLED * self._members():
                return

    def _assign(self, *, everybody: bool) -> Generator[None, None, int]:
        moved = 0
        for start, stop in self._ranges(self._core.evidence.awake_count, slowly=True):
            moved += self._core.assign(start, stop, everybody)
            yield
        return moved

    def _judge(self) -> Iterator[None]:
        # Only now: a seed brings bystanders along, and they would speak for or against the whole.
        core = self._core
        yield from self._assign(everybody=False)
        kept = yield from self._conclude()
        yield from self._merge(kept)
        # Of clusters that were kept before, some members may be dormant.
        is_lost = not set(core.live()).issuperset(self._kept)
        yield from (self._everybody if is_lost else self._principals)(core.release)
        yield from self._profile()

    def _enforce(self) -> Iterator[None]:
        if self._enforcement is None:
            return
        yield from self._enforcement.run(self._everybody)
        if self._enforcement.has_moved:
            yield from self._profile()
        for label, judgement in self._enforcement.judgements():
            self._name(label, self._core.profile(label), judgement)

    def _merge(self, profiles: dict[int, Profile]) -> Iterator[None]:
        core = self._core
        for label, profile in sorted(profiles.items(), key=lambda item: item[1]["size"]):
            rival = profile["rival"]
            if (
                rival in profiles
                and profiles[rival]["size"] >= profile["size"]
                and profile["rivals"] >= self._settings.merge_share * profile["size"]
            ):
                core.close(label)
                self._descend(label, rival)
                yield from self._everybody(partial(core.merge, label=label, into=rival))
                # Whoever pointed at this one is asked again next time.
                del profiles[label]

    def _conclude(self) -> Generator[None, None, dict[int, Profile]]:
        core = self._core
        kept = {}
        asleep: list[int] = []
        for label in core.live():
            profile: Profile = core.profile(label)
            judgement = judge(profile, self._settings, is_kept=label in self._kept)
            if label not in self._kept and profile["size"] < self._least.get(label, 0):
                judgement = Judgement(0.0, CROWD)
            waits = False
            if judgement.confidence > 0.0:
                if self._enforcement is not None:
                    self._enforcement.passed(label, judgement)
                self._name(label, profile, judgement)
                kept[label] = profile
            elif self._enforcement is None or not self._enforcement.keeps(label):
                if label in self._kept and judgement.why == SMALL:
                    asleep = asleep or (yield from self._asleep())
                    waits = self._is_worth_waiting(profile["size"] + asleep[label])
                if not waits:
                    core.close(label)
            core.wait(label, waits)
        return kept

    def _asleep(self) -> Generator[None, None, list[int]]:
        """Return how many members of each cluster are dormant."""
        counts = [0] * (self._core.most_clusters + 1)
        yield from self._everybody(lambda start, stop: self._core.sleepers(start, stop, counts))
        return counts

    def _is_worth_waiting(self, size: int) -> bool:
        # Given up, it would begin anew with nothing used. But labels are for those who are here.
        least = self._settings.least_members * (1 - self._settings.kept_ease)
        return size >= least and 2 * len(self._core.live()) <= self._core.most_clusters

    def _seed_payers(self) -> Iterator[None]:
        core, settings = self._core, self._seeding
        marked = 0
        for start, stop in self._ranges(core.evidence.awake_count):
            marked += core.suspect(start, stop, settings.suspect_sharing)
            yield
        if marked < settings.least_members:
            return
        share = payers_share(settings, marked, core.outside["size"])
        rare = settings.rare_client
        yield from self._principals(lambda start, stop: core.unite(start, stop, share, True, rare))
        parts = yield from self._parts()
        groups = yield from self._groups(settings.least_members, parts)
        labels = yield from self._labels(groups, settings.least_members, settings.least_payments)
        if labels:
            yield from self._principals(lambda start, stop: core.adopt(start, stop, labels, parts))

    def _seed_roamers(self) -> Iterator[None]:
        core, settings = self._core, self._seeding
        share = settings.roamer_share
        yield from self._principals(core.roamers)
        for _ in range(PRUNINGS):
            left = 0
            for start, stop in self._ranges(core.evidence.awake_count):
                left += core.prune(start, stop, share, settings.roamer_meetings)
                yield
            if left < settings.least_roamers:
                return
            yield from self._principals(core.remark)
        yield from self._principals(lambda start, stop: core.unite(start, stop, share, False))
        groups = yield from self._groups(settings.least_roamers, {})
        labels = yield from self._labels(groups, settings.least_roamers, 0)
        if labels:
            yield from self._principals(lambda start, stop: core.adopt(start, stop, labels, {}))

    def _seed_tenants(self) -> Iterator[None]:
        core, settings = self._core, self._settings
        ranges = list(self._ranges(core.evidence.awake_count, slowly=True))
        yield from mark_tenants(core, ranges, settings.least_tenants)
        found = yield from self._groups(settings.least_members, {})
        labels = yield from self._labels(found, settings.least_members, 0)
        if labels:
            yield from self._principals(lambda start, stop: core.adopt(start, stop, labels, {}))

    def _parts(self) -> Generator[None, None, dict[int, int]]:
        """Tell apart actors who share exits: clients of one actor occur together on its payment methods.

        Return the part of each combination of clients; 0 for what no part claims.
        """
        core = self._core
        popular: list[tuple[int, int]] = []
        for start, stop in self._ranges(core.evidence.identifier_count):
            popular += core.popular(start, stop, self._settings.rare_client)
            yield
        popular.sort(key=lambda item: (-item[0], item[1]))
        clients = [position for _, position in popular[:MOST_CLIENTS]]
        for start, stop in self._ranges(core.evidence.awake_count, slowly=True):
            core.mask(start, stop, clients)
            yield
        masks: Counter[int] = Counter()
        for start, stop in self._ranges(core.numbered):
            masks.update(core.masks(start, stop))
            yield
        return (yield from parts_of(masks, len(clients), self._settings.client_overlap))

    def _groups(self, least: int, parts: Mapping[int, int]) -> Generator[None, None, Groups]:
        yield from self._principals(self._core.size_trees)
        found: Groups = {}
        seen: set[int] = set()
        for start, stop in self._ranges(self._core.evidence.awake_count, slowly=True):
            self._core.groups(start, stop, least, parts, found, seen)
            yield
        return found

    def _labels(self, groups: Groups, members: int, payments: int) -> Generator[None, None, dict[Root, int]]:
        """Open a cluster for each group worth refining; for each part of one that is several actors."""

        def is_worth(size: Size) -> bool:
            return size[0] >= members and size[1] >= payments

        wanted: list[tuple[Size, list[Root]]] = []
        by_root: dict[int, list[Root]] = {}
        homes: dict[int, tuple[int, Root]] = {}  # of clusters there were: where most of their members are now
        for number, key in enumerate(groups):
            by_root.setdefault(key[0], []).append(key)
            for cluster, count in groups[key][2].items():
                homes[cluster] = max(homes.get(cluster, (0, key)), (count, key))
            if number % AT_ONCE == 0:
                yield
        for number, keys in enumerate(by_root.values()):
            if number % AT_ONCE == 0:
                yield
            together = _sum(groups[key] for key in keys)
            is_crowd = 2 * sum(together[2].values()) < together[0]
            # A crumb of what is known for one actor is no actor; in a crowd it may be.
            least = 0 if is_crowd else CRUMB * together[0]
            alone = [key for key in keys if key[1] and is_worth(groups[key]) and groups[key][0] >= least]
            others = together[0] - sum(groups[key][0] for key in alone)
            if len(alone) > 1 or (alone and is_crowd and others > groups[alone[0]][0]):
                wanted += [(groups[key], [key]) for key in alone]
            elif is_worth(together):
                # One actor: what its own clients do not claim is its own as well.
                wanted.append((together, keys))
        wanted.sort(key=lambda item: -item[0][0])
        labels: dict[Root, int] = {}
        taken: set[int] = set()
        for size, keys in wanted[:SEEDS]:
            # The cluster most of them were in goes on under its own label, if most of it is here.
            former = max(size[2].items(), key=lambda item: (item[1], -item[0]), default=(0, 0))[0]
            goes_on = former and homes[former][1] in keys and former not in taken
            label = former if goes_on else self._core.open()
            if not label:
                break
            if former and label != former:
                self._descend(former, label)
            taken.add(label)
            labels |= dict.fromkeys(keys, label)
            if len(keys) == 1 and keys[0][1]:
                self._least[label] = RETAINED * size[0]
        return labels


def _sum(sizes: Iterable[Size]) -> Size:
    principals, payments, clusters = 0, 0, Counter[int]()
    for size in sizes:
        principals += size[0]
        payments += size[1]
        clusters.update(size[2])
    return principals, payments, clusters
