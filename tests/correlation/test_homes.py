"""Homes: a proxy in one takes it from no account, and an exit that chance deals again is none."""

from __future__ import annotations

import random

import pytest

from ratelimit.correlation.judgement import Verdict
from tests.correlation.sights import (
    HOUR_S,
    START_S,
    Sight,
    campaign,
    correlator,
    crowd,
    exit_of,
    key_of,
    rebuild,
    row,
    show,
    together,
    verdicts,
)

HOME = exit_of(3)
"""An exit of the actor's, in a person's home."""


def lived(hours: range, *, address: str = HOME) -> list[Sight]:
    """Return a new account at an address, each hour; its card is one that was stolen."""
    given = {"payment": "bad card 3", "created_s": START_S}
    return [Sight(START_S + hour * HOUR_S, "v", row("v", address=address, **given)) for hour in hours]


@pytest.mark.parametrize(
    ("visits", "verdict"),
    [
        (lived(range(24)), Verdict.NONE),
        # It was there after the actor's accounts, and has no more of the visits than others.
        (lived(range(20, 24)), Verdict.CERTAIN),
        # It moved on: what was its home is no more than one exit of many.
        (
            together(lived(range(5)), *(lived(range(n, n + 1), address=exit_of(n)) for n in range(5, 24))),
            Verdict.CERTAIN,
        ),
    ],
    ids=["there first", "there later", "moved on"],
)
def test_a_home_that_a_proxy_is_in_stays_the_home_of_who_was_there_first(
    visits: list[Sight], verdict: Verdict
) -> None:
    rng = random.Random(1)
    attack = [
        Sight(sight.at_s + 8 * HOUR_S, sight.account, sight.row) for sight in campaign(100, rng, hours=16)
    ]
    crowding = [
        Sight(START_S + hour * HOUR_S + 60, name, row(name, address=HOME, payment=card, created_s=START_S))
        for hour in range(9, 24)
        for name, card in ((f"bad-{n}", f"bad card {n // 5}") for n in range(0, 100, 25))
    ]
    one = correlator()
    show(one, together(crowd(300, rng, hours=24), attack, crowding, visits))
    rebuild(one, START_S + 24 * HOUR_S)
    said = verdicts(one)
    assert said.get(key_of("v"), Verdict.NONE) == verdict
    assert sum(found == Verdict.CERTAIN for found in said.values()) >= 95


@pytest.mark.parametrize(
    ("homeward", "verdict"),
    [
        # Chance deals it an exit of the same day, where no other account has been since.
        ({16, 23}, Verdict.CERTAIN),
        # It mostly is elsewhere, and comes back four times.
        ({2, 9, 16, 23}, Verdict.NONE),
    ],
    ids=["twice, by chance", "at home now and then"],
)
def test_an_exit_that_chance_deals_again_is_no_home(homeward: set[int], verdict: Verdict) -> None:
    rng = random.Random(2)
    attack = campaign(100, rng, hours=24)
    own = "94.1.2.3"
    visits = together(
        *(
            lived(range(hour, hour + 1), address=own if hour in homeward else exit_of(hour))
            for hour in range(24)
        )
    )
    one = correlator()
    show(one, together(crowd(300, rng, hours=24), attack, visits))
    rebuild(one, START_S + 24 * HOUR_S)
    assert verdicts(one).get(key_of("v"), Verdict.NONE) == verdict
