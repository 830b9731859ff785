"""Chance visits of an account, and what they join: a company beside a campaign stays by itself."""

from __future__ import annotations

import random

import pytest

from ratelimit.correlation.classification import Verdict
from tests.correlation.sights import (
    HOUR_S,
    NS,
    START_S,
    Sight,
    campaign,
    clusters,
    correlator,
    crowd,
    exit_of,
    keys_of,
    rebuild,
    row,
    show,
    together,
    verdicts,
)

HOURS = 16
BAD = keys_of(f"bad-{number}" for number in range(150))
PEOPLE = keys_of(f"works-{number}" for number in range(120))


def company(rng: random.Random, *, exits: int, met: float, near: bool = False) -> list[Sight]:
    """Return a company that comes in one day: 15 payment methods, exits of its own, a home for each employee.

    Args:
        exits: of its own.
        met: the part of the homes that are exits of the campaign's, too.
        near: whether it is the home's network, and not the address itself.
    """
    found = []
    for number in range(120):
        name = f"works-{number}"
        home = f"25.{number // 250}.{number % 250}.9"
        if rng.random() < met:
            home = exit_of(rng.randrange(500))
            if near:
                home = home.rpartition(".")[0] + ".250"
        for _ in range(16):
            at = rng.randrange(exits)
            address = home if rng.random() < 0.15 else f"35.7.{at // 200}.{1 + at % 200}"
            seen = row(
                name, address=address, payment=f"cost centre {number % 15}", created_s=START_S - HOUR_S
            )
            found.append(Sight(START_S + rng.random() * HOURS * HOUR_S, name, seen))
    return found


@pytest.mark.parametrize("near", [False, True], ids=["address", "network"])
@pytest.mark.parametrize("exits", [4, 150])
def test_a_new_company_is_not_taken_into_a_campaign_that_employees_live_beside(
    exits: int, near: bool
) -> None:
    rng = random.Random(5)
    one = correlator()
    show(
        one,
        together(
            crowd(300, rng, hours=HOURS),
            campaign(150, rng, hours=HOURS),
            company(rng, exits=exits, met=0.5, near=near),
        ),
    )
    rebuild(one, START_S + HOURS * HOUR_S)
    assert BAD in clusters(one)
    said = verdicts(one)
    assert all(said[key] == Verdict.CERTAIN for key in BAD)
    assert not any(said.get(key) == Verdict.CERTAIN for key in PEOPLE)


def test_a_campaign_that_visits_a_companys_exits_does_not_take_it_in() -> None:
    rng = random.Random(6)
    one = correlator()
    visits = []
    for number in range(150):
        seen = row(
            f"bad-{number}",
            address=f"35.7.0.{1 + number % 4}",
            payment=f"bad card {number // 5}",
            created_s=START_S,
        )
        visits.append(Sight(START_S + rng.random() * HOURS * HOUR_S, f"bad-{number}", seen))
    show(one, together(campaign(150, rng, hours=HOURS), company(rng, exits=4, met=0.0), visits))
    rebuild(one, START_S + HOURS * HOUR_S)
    said = verdicts(one)
    assert sum(said.get(key) == Verdict.CERTAIN for key in BAD) >= 0.95 * len(BAD)
    assert not any(said.get(key) == Verdict.CERTAIN for key in PEOPLE)


@pytest.mark.parametrize("per_card", [2, 5, 50])
def test_an_actor_whose_payment_methods_meet_thinly_is_one(per_card: int) -> None:
    # Each address is seen with a few of its methods, and no two of these meet often.
    rng = random.Random(7)
    one = correlator()
    sights = campaign(150, rng, per_card=per_card, exits=500, hours=HOURS)
    show(one, together(crowd(300, rng, hours=HOURS), sights))
    rebuild(one, START_S + HOURS * HOUR_S)
    found = clusters(one)
    assert len(found[0] & BAD) >= 0.9 * len(BAD)
    assert sum(bool(them & BAD) for them in found) == 1


def test_what_is_forgotten_while_a_rebuild_is_under_way_joins_nothing() -> None:
    rng = random.Random(8)
    one = correlator(identifiers=1200)
    show(one, campaign(150, rng, hours=HOURS))
    for number, _ in enumerate(one.rebuild(int((START_S + HOURS * HOUR_S) * NS))):
        for part in range(40):
            # Fresh payment methods and addresses: those of the campaign make room.
            fresh = f"{number}/{part}"
            one.observe(
                row(fresh, address=f"70.{number % 250}.{part}.1", payment=fresh, created_s=START_S),
                int((START_S + HOURS * HOUR_S) * NS),
            )
    rebuild(one, START_S + HOURS * HOUR_S)
