"""The steps of a rebuild, each short enough for an event loop.

Theory of operation. What clusters there are is tried again on the evidence of now: their
profiles are counted, and every principal is put where it fits best. Then new groups
are looked for among those outside: payment methods of several principals that meet at
addresses where few others are seen. A group gets a provisional cluster, is refined
the same way, and kept if it passes as one actor. Nothing is decided by a seed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from functools import partial

from ratelimit.core.judge import Judge
from ratelimit.correlation.judgement import Judgement, Profile, judge
from ratelimit.correlation.settings import Settings

Size = tuple[int, int, dict[int, int]]
"""How many principals and payment methods, and how many of the principals were in which cluster."""
Groups = dict[int, Size]
Parts = dict[tuple[int, int], Size]
Root = int | tuple[int, int]

REFINEMENTS = 3
SEEDS = 64


class Rebuild:
    """One rebuild under way; iterate to run it.

    Args:
        core: evidence and labels.
        settings: the numbers.
        kept: labels of clusters that have passed before.
        name: called with a label, its profile and judgement once a cluster is kept.
    """

    def __init__(
        self,
        core: Judge,
        settings: Settings,
        kept: Container[int],
        name: Callable[[int, Profile, Judgement], None],
    ) -> None:
        self._kept = kept
        self._core = core
        self._settings = settings
        self._name = name

    def __iter__(self) -> Iterator[None]:
        core = self._core
        core.begin()
        try:
            yield from self._count()
            yield from self._seed()
            if core.live():
                yield from self._refine(REFINEMENTS)
                yield from self._judge()
        finally:
            core.end()

    def _ranges(self, count: int) -> Iterator[tuple[int, int]]:
        step = self._settings.slice_entries
        for start in range(0, count, step):
            yield start, start + step

    def _principals(self, work: Callable[[int, int], object]) -> Iterator[None]:
        for start, stop in self._ranges(max(1, self._core.evidence.principal_count)):
            work(start, stop)
            yield

    def _identifiers(self, work: Callable[[int, int], object]) -> Iterator[None]:
        for start, stop in self._ranges(max(1, self._core.evidence.identifier_count)):
            work(start, stop)
            yield

    def _count(self) -> Iterator[None]:
        core = self._core
        yield from self._identifiers(core.clear)
        yield from self._principals(core.gather)
        yield from self._identifiers(core.settle)
        yield from self._principals(core.tally)
        yield from self._principals(core.share)
        yield from self._principals(core.bridge)
        yield from self._principals(core.support)
        for label in core.live():
            met = core.profile(label)["met"]
            core.need(label, 1, max(self._settings.least_support, self._settings.usual_support * met))

    def _refine(self, times: int) -> Iterator[None]:
        core = self._core
        for _ in range(times):
            yield from self._principals(core.assign)
            yield from self._count()

    def _judge(self) -> Iterator[None]:
        # Only now: a seed brings bystanders along, and they would speak for or against the whole.
        core = self._core
        yield from self._principals(core.assign)
        yield from self._merge(self._conclude())
        yield from self._principals(core.release)
        yield from self._count()

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
                yield from self._principals(partial(core.merge, label=label, into=rival))
                # Whoever pointed at this one is asked again next time.
                del profiles[label]

    def _conclude(self) -> dict[int, Profile]:
        kept = {}
        for label in self._core.live():
            profile: Profile = self._core.profile(label)
            judgement = judge(profile, self._settings, is_kept=label in self._kept)
            if judgement.confidence <= 0.0:
                self._core.close(label)
            else:
                self._name(label, profile, judgement)
                kept[label] = profile
        return kept

    def _seed(self) -> Iterator[None]:
        core, settings = self._core, self._settings
        marked = 0
        for start, stop in self._ranges(core.evidence.principal_count):
            marked += core.suspect(start, stop, settings.suspect_sharing)
            yield
        if marked < settings.least_members:
            return
        background = marked / max(1.0, core.outside["size"])
        share = min(0.5, max(settings.suspect_share, 4 * background))
        yield from self._principals(lambda start, stop: core.unite(start, stop, share))
        yield from self._principals(lambda start, stop: core.divide(start, stop, settings.rare_client))
        labels = self._labels(core.groups(False), core.groups(True))
        if not labels:
            return
        yield from self._principals(lambda start, stop: core.adopt(start, stop, labels))
        yield from self._count()

    def _labels(self, groups: Groups, parts: Parts) -> dict[Root, int]:
        """Open a cluster for each group worth refining; for each part of one that is several actors."""
        settings = self._settings

        def is_worth(size: Size) -> bool:
            return size[0] >= settings.least_members and size[1] >= settings.least_payments

        wanted: list[tuple[Size, Root]] = []
        for root, size in groups.items():
            if not is_worth(size):
                continue
            large = [
                (part, key)
                for key, part in parts.items()
                if key[0] == root and is_worth(part) and part[0] >= settings.least_part * size[0]
            ]
            wanted += large if len(large) > 1 else [(size, root)]
        wanted.sort(key=lambda item: -item[0][0])
        labels: dict[Root, int] = {}
        taken: set[int] = set()
        for size, key in wanted[:SEEDS]:
            # The cluster most of them were in goes on under its own label.
            known = max(size[2].items(), key=lambda item: (item[1], -item[0]), default=(0, 0))[0]
            label = known if known and known not in taken else self._core.open()
            if not label:
                break
            taken.add(label)
            labels[key] = label
        return labels
