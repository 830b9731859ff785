"""How requests follow each other, when somebody rests, since when it is there: evidence that is free."""

from __future__ import annotations

import random

import pytest

from ratelimit.core.evidence import PRINCIPAL_BYTES
from ratelimit.correlation import Correlator
from ratelimit.correlation.judgement import ELSEWHERE, meeting_ratios
from tests.correlation.sights import (
    DAY_S,
    HOUR_S,
    NS,
    START_S,
    Sight,
    campaign,
    clusters,
    correlator,
    crowd,
    keys_of,
    rebuild,
    row,
    show,
    together,
)

EXITS = 40


def exit_address(number: int) -> str:
    """Return the address of one of the exits that `campaign` uses."""
    return f"43.{number}.{number % 9}.{1 + number % 250}"


def tenants(accounts: int, rng: random.Random, *, in_sessions: bool, name: str = "tenant") -> list[Sight]:
    """Return others who rent the campaign's exits: a card each, six hours, one of its two clients.

    Args:
        in_sessions: six requests within some minutes from one exit, as people ask; else one by
            one, each from another exit.
    """
    sights = []
    for number in range(accounts):
        account = f"{name}-{number}"
        for begin_s in (rng.random() * 6 * HOUR_S for _ in range(2)):
            exit_ = rng.randrange(EXITS)
            for request in range(6):
                at_s = begin_s + 40 * request if in_sessions else rng.random() * 6 * HOUR_S
                exit_ = exit_ if in_sessions else rng.randrange(EXITS)
                given = {"payment": f"card of {account}", "client": f"bad build {number % 2}"}
                address = exit_address(exit_)
                sights.append(Sight(START_S + at_s, account, row(account, address=address, **given)))
    return sights


def found(one: Correlator, name: str, accounts: int) -> int:
    """Return how many of some accounts are in clusters."""
    keys = keys_of({f"{name}-{number}" for number in range(accounts)})
    return len(keys & set().union(*clusters(one), set()))


@pytest.mark.parametrize("in_sessions", [True, False])
def test_who_rents_the_same_exits_is_told_by_its_rhythm(in_sessions: bool) -> None:
    rng = random.Random(4)
    bad = campaign(100, rng, per_card=1, exits=EXITS)
    one = correlator()
    show(one, together(crowd(400, rng), bad, tenants(30, rng, in_sessions=in_sessions)))
    rebuild(one, START_S + 6 * HOUR_S)
    assert found(one, "bad", 100) >= 95
    # With a client of the campaign's, its exits and a card each, only how they ask says who they are.
    assert (found(one, "tenant", 30) == 0) if in_sessions else (found(one, "tenant", 30) >= 25)


def test_age_speaks_against_whoever_was_here_before() -> None:
    rng = random.Random(5)
    one = correlator()
    people = crowd(400, rng, hours=20)
    later = [
        Sight(sight.at_s + 19 * HOUR_S, sight.account, sight.row) for sight in campaign(100, rng, hours=1)
    ]
    # Of two more accounts on the campaign's last card one was there all day, and one is as new as the rest.
    for account, hours in (("early", 20), ("late", 1)):
        for request in range(12):
            at_s = START_S + (20 - hours) * HOUR_S + (request + 0.5) * hours * HOUR_S / 12
            address = exit_address(rng.randrange(EXITS))
            given = {"payment": "bad card 19", "client": "bad build 1"}
            people.append(Sight(at_s, account, row(account, address=address, **given)))
    show(one, together(people, later))
    rebuild(one, START_S + 20 * HOUR_S)
    early, late = (one.core.explain(row(name)[0]) for name in ("early", "late"))
    assert late is not None
    assert early is None or early["behaviour"] < late["behaviour"] - 1.0


def test_rest_tells_who_sleeps_from_who_never_does() -> None:
    rng = random.Random(6)
    one = correlator()
    bad = campaign(100, rng, hours=48, requests=60)
    people = []
    for number in range(300):
        name = f"sleeper-{number}"
        for day in range(2):
            for _ in range(30):
                at_s = START_S + day * DAY_S + (8 + 14 * rng.random()) * HOUR_S
                given = {"payment": f"card of {name}", "client": f"build-{number % 30}"}
                address = f"20.{number // 250}.{number % 250}.7"
                people.append(Sight(at_s, name, row(name, address=address, **given)))
    # One account of the campaign keeps to the hours of people.
    for day in range(2):
        for _ in range(30):
            at_s = START_S + day * DAY_S + (8 + 14 * rng.random()) * HOUR_S
            given = {"payment": "bad card 19", "client": "bad build 0"}
            address = exit_address(rng.randrange(EXITS))
            people.append(Sight(at_s, "rested", row("rested", address=address, **given)))
    show(one, together(people, bad))
    rebuild(one, START_S + 2 * DAY_S)
    rested = one.core.explain(row("rested")[0])
    usual = [fit["behaviour"] for n in range(100) if (fit := one.core.explain(row(f"bad-{n}")[0]))]
    assert len(usual) >= 95
    assert rested is None or rested["behaviour"] < sorted(usual)[len(usual) // 2] - 1.0


@pytest.mark.parametrize(
    ("accounts", "per_card", "after_s", "is_due"),
    [(20, 5, 200, True), (20, 5, 100, False), (20, 1, 200, False), (10, 5, 200, False)],
)
def test_newcomers_who_pay_as_several_do_are_looked_at_soon(
    accounts: int, per_card: int, after_s: int, is_due: bool
) -> None:
    one = correlator()
    show(one, crowd(2000, random.Random(7), requests=1), rebuilds=False)
    then_s = START_S + 6 * HOUR_S
    rebuild(one, then_s)
    for number in range(accounts):
        given = {"payment": f"new card {number // per_card}", "client": "new"}
        one.observe(row(f"new-{number}", address=f"50.{number}.1.1", **given), False, int((then_s + 50) * NS))
    assert one.is_due(int((then_s + after_s) * NS)) == is_due


@pytest.mark.parametrize("met", [0.0, 0.02, 0.3, 0.9, 1.0])
def test_a_meeting_speaks_for_and_none_against(met: float) -> None:
    where_met, where_not = meeting_ratios(met)
    assert where_met > 0 > where_not
    # By chance, one address in so many less is a meeting: nobody gains by having more addresses.
    chance = min(0.9, max(0.02, met)) / ELSEWHERE
    assert chance * where_met + (1 - chance) * where_not < 0


def test_none_met_says_more_where_most_meet() -> None:
    assert meeting_ratios(0.9)[1] < meeting_ratios(0.3)[1] < meeting_ratios(0.05)[1]


def test_a_principal_takes_what_memory_was_planned_for() -> None:
    assert PRINCIPAL_BYTES <= 164
