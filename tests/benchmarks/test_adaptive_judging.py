"""Engines that judge: what a limit reaches beside the best fixed one, with a target and without."""

from __future__ import annotations

import pytest

from benchmarks.adaptive.catalogue import BY_NAME, JUDGES
from benchmarks.adaptive.contenders import Fixed
from benchmarks.adaptive.hosts import SERVER, Between
from benchmarks.adaptive.judging import best_of, judge, over_hosts
from benchmarks.adaptive.obeying import CALLERS, GO_ON_S, NEARLY, Way, least_tries, obeyed
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


SHORT = (Phase("calm", 6, 0.6), Phase("three times", 12, 3.0))


def test_fault_87_several_hosts_before_one_back_end_are_as_one():
    """Hazard: each host lets in what one of them may; each waits for the others, and nothing is answered."""
    engine = BY_NAME["small and quick"]
    one = over_hosts(engine, [1], 1, phases=SHORT)
    apart = over_hosts(engine, [1], 12, phases=SHORT)
    shared = over_hosts(engine, [1], 12, SERVER, SHORT)
    assert apart.good < one.good / 3
    assert shared.good > one.good - 0.07
    assert shared.late < one.late + 0.12
    assert shared.refused <= 0.01


@pytest.mark.parametrize(
    "between",
    [Between(delay_ms=60, loss=0.1), Between(dies_s=9), Between(cut_s=(7, 14)), Between(away_s=(8, 18))],
    ids=["loss and delay", "a host dies", "a host is cut off", "no server"],
)
def test_fault_87_hosts_that_do_not_hear_each_other_keep_their_parts(between: Between):
    engine = BY_NAME["one piece"]
    one, shared = over_hosts(engine, [1], 1, phases=SHORT), over_hosts(engine, [1], 12, between, SHORT)
    assert shared.good > one.good - 0.1


@pytest.mark.parametrize("in_seconds", [False, True], ids=["in ms", "in seconds"])
def test_fault_90_callers_that_obey_use_a_back_end_in_few_tries(in_seconds: bool):
    """Hazard: the pace of places that were free at first calls all back at once, five times over."""
    found = obeyed("small and quick", [1], Way("once", in_seconds=in_seconds))
    assert found.used > 0.9
    assert found.tries < 3


def test_the_least_tries_are_one_a_minute_until_the_turn():
    """Where a back end takes five minutes for all, callers of each minute need one more than those before."""
    found = least_tries(CALLERS / 300, 0.0, goes_on=False)
    answered = NEARLY * CALLERS
    assert found == pytest.approx(
        (600 + sum(120 * waits for waits in (1, 2, 3, 4)) + 120 * 4.75) / answered, 0.02
    )


def test_the_least_tries_are_one_where_all_are_inside_and_two_where_none_waits_for_a_minute():
    assert least_tries(10.0, CALLERS, goes_on=False) == pytest.approx(1.0, abs=0.06)
    assert least_tries(20.0, 0.0, goes_on=True) == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize("rate", [2.0, 5.0, 20.0])
def test_the_least_tries_of_callers_that_go_on_are_no_fewer_than_their_waits_make(rate: float):
    """All but those inside wait at each moment, and each of these comes once a minute."""
    inside = 10.0 * rate
    waiting_s = (CALLERS - inside) * (GO_ON_S - 3)
    assert least_tries(rate, inside, goes_on=True) >= 1 + waiting_s / 60 / (rate * GO_ON_S)
