"""How many principals chance alone would put into groups worth judging, on this very traffic.

Theory of operation. Every so many rebuilds who pays with what, and who roams, is dealt out
anew among the principals outside clusters (`core.null`), and the search for seeds is run
on that. Whom it finds are grouped by chance: their part of all is an upper bound of false
merges, since a group still has to pass as one actor. Above a bound the search is made
stricter by a whole step; below it, by a quarter of a step less each time: quick to
doubt, slow to trust again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace

from ratelimit.core.judge import Judge
from ratelimit.core.null import Null
from ratelimit.correlation.settings import Settings

MOST_STEPS = 4
EASING = 0.25
PRUNINGS = 3


class SelfCheck:
    """One check; iterate to run it, then ask.

    Args:
        core: evidence and labels, just rebuilt.
        settings: the numbers that seeds are looked for with.
        seed: makes the check repeatable.
    """

    def __init__(self, core: Judge, settings: Settings, seed: int) -> None:
        self._core = core
        self._settings = settings
        self._null = Null(core.evidence, seed)
        self._count = core.evidence.awake_count
        self.chance = 0
        """Principals in groups worth judging."""

    @property
    def rate(self) -> float:
        """`chance` as a part of the principals outside clusters."""
        return self.chance / max(1, self._null.outside)

    def __iter__(self) -> Iterator[None]:
        null = self._null
        yield from self._each(self._count, null.gather)
        yield from self._each(null.dealt_places, null.deal)
        yield from self._payers()
        yield from self._roamers()

    def _each(self, count: int, work: Callable[[int, int], object]) -> Iterator[None]:
        step = self._settings.slice_entries
        for start in range(0, count, step):
            work(start, start + step)
            yield

    def _sum(self, work: Callable[[int, int], int]) -> Generator[None, None, int]:
        found = 0
        step = self._settings.slice_entries
        for start in range(0, self._count, step):
            found += work(start, start + step)
            yield
        return found

    def _payers(self) -> Iterator[None]:
        null, settings = self._null, self._settings
        marked = yield from self._sum(lambda start, stop: null.suspect(start, stop, settings.suspect_sharing))
        if marked < settings.least_members:
            return
        share = payers_share(settings, marked, null.outside)
        yield from self._each(self._count, lambda start, stop: null.unite(start, stop, share, True))
        yield from self._total(settings.least_members, settings.least_payments)

    def _roamers(self) -> Iterator[None]:
        null, settings = self._null, self._settings
        share = settings.roamer_share
        yield from self._each(self._count, null.roamers)
        for _ in range(PRUNINGS):
            left = yield from self._sum(
                lambda start, stop: null.prune(start, stop, share, settings.roamer_meetings)
            )
            if left < settings.least_roamers:
                return
            yield from self._each(self._count, null.remark)
        yield from self._each(self._count, lambda start, stop: null.unite(start, stop, share, False))
        yield from self._total(settings.least_roamers, 0)

    def _total(self, members: int, methods: int) -> Iterator[None]:
        yield from self._each(self._count, self._null.tally)
        found = yield from self._sum(lambda start, stop: self._null.total(start, stop, members, methods))
        self.chance += found


def payers_share(settings: Settings, marked: int, outside: float) -> float:
    """Return what part of those at a place must be marked for it to be a meeting place."""
    return min(max(0.5, settings.suspect_share), max(settings.suspect_share, 4 * marked / max(1.0, outside)))


def stricter(settings: Settings, steps: float) -> Settings:
    """Return the numbers that seeds are looked for with after so many steps."""
    if steps <= 0:
        return settings
    # What makes a meeting place stays as it is: raised, it would part a real campaign from its exits.
    return replace(
        settings,
        least_payments=settings.least_payments + round(settings.null_payments * steps),
        least_roamers=round(settings.least_roamers * (1 + settings.null_step * steps)),
    )


def steps_after(steps: float, rate: float, settings: Settings) -> float:
    """Return how strict to be after a check with this outcome."""
    if rate > settings.null_most:
        return min(float(MOST_STEPS), steps + 1.0)
    return max(0.0, steps - EASING)
