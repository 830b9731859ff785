"""Homes: a proxy in one takes it from no account, and an exit that chance deals again is none."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from ratelimit.correlation.classification import Verdict
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
    assert beside_a_campaign(visits) == verdict


@pytest.mark.parametrize(
    ("elsewhere", "verdict"),
    [(range(0), Verdict.LIKELY), (range(17, 20), Verdict.LIKELY), (range(12, 20), Verdict.CERTAIN)],
    ids=["nowhere else", "mostly there", "mostly elsewhere"],
)
def test_a_newcomer_that_lives_at_an_exit_is_not_certain(elsewhere: range, verdict: Verdict) -> None:
    # The proxy in its home was first, and has more of the visits than it has.
    visits = together(lived(range(20, 24)), *(lived(range(n, n + 1), address=exit_of(n)) for n in elsewhere))
    assert beside_a_campaign(visits, neighbours()) == verdict


@pytest.mark.parametrize(("colleagues", "verdict"), [(1, Verdict.LIKELY), (6, Verdict.CERTAIN)])
def test_an_address_that_is_home_to_an_actor_is_a_hub(colleagues: int, verdict: Verdict) -> None:
    # Four of the actor's are mostly there already: with these, as many as make an actor.
    hub = [
        Sight(sight.at_s + 1, f"h{n}", row(f"h{n}", address=HOME, payment=f"bad card {n}", created_s=START_S))
        for n in range(colleagues)
        for sight in lived(range(20, 24))
    ]
    assert beside_a_campaign(lived(range(20, 24)), together(neighbours(), hub)) == verdict


def neighbours() -> list[Sight]:
    """Return people in the block of that exit, each in a home of its own."""
    return [
        Sight(START_S + hour * HOUR_S, f"n{n}", row(f"n{n}", address=f"43.0.{n}.9", payment=f"card {n}"))
        for n in range(100, 112)
        for hour in range(28)
    ]


def beside_a_campaign(visits: list[Sight], others: Sequence[Sight] = ()) -> Verdict:
    """Return the verdict on one account, where a campaign came after eight hours that crowds its home."""
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
    show(one, together(crowd(300, rng, hours=24), attack, crowding, visits, [*others]))
    rebuild(one, START_S + 28 * HOUR_S if others else START_S + 24 * HOUR_S)
    said = verdicts(one)
    assert sum(found == Verdict.CERTAIN for found in said.values()) >= 95
    return Verdict(said.get(key_of("v"), Verdict.NONE))


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


def street(payers: int, *, networks: int = 1, paid: bool = True, created_s: int = START_S) -> list[Sight]:
    """Return twelve people in the block of an actor's exits, each in a home of its own, for two days."""
    found = []
    for number in range(12):
        name = f"neighbour-{number}"
        seen = row(
            name,
            address=f"43.0.{200 + number % networks}.{number + 1}",
            payment=f"card {number % payers}" if paid else None,
            created_s=created_s,
        )
        found += [Sight(START_S + hour * HOUR_S, name, seen) for hour in range(0, 30, 2)]
    return found


@pytest.mark.parametrize(
    ("people", "is_residential"),
    [
        (street(12), True),
        (street(6), True),
        # Accounts of one payer in one network are one home, and in three networks they are three.
        (street(1), False),
        (street(1, networks=3), True),
        # Free accounts cost next to nothing: they say nothing of a block until they are old.
        (street(12, paid=False), False),
        (street(12, paid=False, created_s=START_S - 15 * 24 * HOUR_S), True),
    ],
    ids=["a card each", "six cards", "one card", "one card, three networks", "no card", "no card, old"],
)
def test_homes_of_one_payer_and_of_free_accounts_make_no_block_where_people_live(
    people: list[Sight], is_residential: bool
) -> None:
    rng = random.Random(4)
    exits = [f"43.0.{number}.1" for number in range(20)]
    attack = []
    for number in range(60):
        for _ in range(10):
            name, given = f"bad-{number}", {"payment": f"bad card {number // 5}", "created_s": START_S}
            at_s = START_S + rng.random() * 24 * HOUR_S
            attack.append(Sight(at_s, name, row(name, address=rng.choice(exits), **given)))
    passing = [
        Sight(START_S, f"p{n}", row(f"p{n}", address=f"43.0.{100 + n}.1", payment=f"p{n}")) for n in range(40)
    ]
    one = correlator()
    show(one, together(people, passing, attack), rebuilds=False)
    rebuild(one, START_S + 30 * HOUR_S)
    (group,) = [statistics for statistics, _ in one.kept.values() if statistics["accounts"] == 60]
    assert group["residential"] == (1.0 if is_residential else 0.0)
