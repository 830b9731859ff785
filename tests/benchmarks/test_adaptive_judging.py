"""Engines that judge: what a limit reaches beside the best fixed one, with a target and without."""

from __future__ import annotations

from benchmarks.adaptive.catalogue import BY_NAME, JUDGES
from benchmarks.adaptive.contenders import Fixed
from benchmarks.adaptive.judging import best_of, judge, over_hosts
from benchmarks.adaptive.phases import Phase

PHASES = (Phase("cold start", 6, 0.8), Phase("flash", 6, 3.0))
CONVOY = BY_NAME["lock convoy"]


def test_an_engine_that_gets_slower_with_load_judges_a_limit_that_is_too_high():
    best = best_of(CONVOY, [1], PHASES)
    found = {
        limit: judge(
            CONVOY, [1], best, learned=False, make=lambda _, limit=limit: Fixed(limit), phases=PHASES
        )
        for limit in (4, 200)
    }
    assert found[4].phases[1] > 0.9
    assert found[200].phases[1] < 0.1


def test_every_engine_is_answered_in_the_calm_by_a_limit_that_lets_all_in():
    """Hazard: an engine that cannot answer what its own capacity says judges nothing."""
    calm = (Phase("calm", 6, 0.5),)
    for back_end in JUDGES:
        best = best_of(back_end, [1], calm)
        found = judge(back_end, [1], best, learned=False, make=lambda _: Fixed(10**6), phases=calm)
        assert found.worst > 0.6, back_end.name


def test_hosts_do_not_know_of_each_other():
    assert over_hosts(BY_NAME["one piece"], [1], 1) > over_hosts(BY_NAME["one piece"], [1], 12)
