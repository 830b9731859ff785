"""Ages of the accounts that pay with one method: an organisation hires, an attacker registers."""

from __future__ import annotations

import random

import pytest

from ratelimit.correlation.classification import Verdict
from tests.correlation.sights import (
    DAY_S,
    START_S,
    Sight,
    campaign,
    correlator,
    crowd,
    hashed,
    key_of,
    rebuild,
    row,
    show,
    together,
    verdicts,
)

HOURS = 6
PER_CARD = 6


def customers(cards: int, on_each: int, rng: random.Random, *, at_home: bool) -> list[Sight]:
    """Return accounts of a year, so many on each of the campaign's first cards, at its exits or at home."""
    there = campaign(cards * on_each, rng, hours=HOURS, per_card=on_each, created_s=START_S - 400 * DAY_S)
    for sight in there:
        name = f"customer {sight.account}"
        if at_home:
            number = int(sight.account.removeprefix("bad-"))
            card = f"bad card {number // on_each}"
            home = f"95.{number // 250}.{number % 250}.9"
            sight.row[:] = row(name, address=home, payment=card, created_s=START_S - 400 * DAY_S)
        else:
            sight.row[0] = key_of(name)
    return there


@pytest.mark.parametrize(
    ("customers_on_each", "at_home", "verdict"),
    [
        (3, False, Verdict.CERTAIN),
        # Half of a young organisation is new, more on some cards, at exits of a campaign.
        (4, False, Verdict.LIKELY),
        # Cards that were stolen: the customers are not where the thief is.
        (6, True, Verdict.CERTAIN),
        (7, True, Verdict.LIKELY),
    ],
    ids=["three at the exits", "four at the exits", "six at home", "seven at home"],
)
def test_customers_vouch_for_their_card_and_twice_where_the_others_are(
    customers_on_each: int, at_home: bool, verdict: Verdict
) -> None:
    rng = random.Random(3)
    attack = campaign(240, rng, hours=HOURS, per_card=PER_CARD)
    old = customers(5, customers_on_each, rng, at_home=at_home)
    one = correlator()
    show(one, together(crowd(300, rng, hours=HOURS), attack, old))
    rebuild(one, START_S + HOURS * 3600)
    said = verdicts(one)
    assert [said[key_of(f"bad-{number}")] for number in range(5 * PER_CARD)] == [verdict] * 5 * PER_CARD
    assert said[key_of("bad-239")] == Verdict.CERTAIN
    assert not any(said.get(key_of(f"customer bad-{number}")) == Verdict.CERTAIN for number in range(35))


@pytest.mark.parametrize(("new", "verdict"), [(230, Verdict.CERTAIN), (170, Verdict.LIKELY)])
def test_two_of_three_accounts_of_a_certain_actor_are_new(new: int, verdict: Verdict) -> None:
    rng = random.Random(4)
    fresh = campaign(new, rng, hours=HOURS)
    old = campaign(100, rng, hours=HOURS, created_s=START_S - 400 * DAY_S)
    for sight in old:
        number = int(sight.account.removeprefix("bad-"))
        sight.row[0] = key_of(f"old {number}")
        sight.row[3] = hashed("payment", f"old card {number // 5}")  # cards are asked above, here the group
    one = correlator()
    show(one, together(crowd(300, rng, hours=HOURS), fresh, old))
    rebuild(one, START_S + HOURS * 3600)
    assert verdicts(one)[key_of("bad-0")] == verdict
