"""What an account was given before it was recognised is its actor's: counted once, and nobody else's."""

from __future__ import annotations

import random

import pytest

from ratelimit.correlation import Correlator
from ratelimit.correlation.correlator import part_of
from tests.correlation.sights import (
    DAY_S,
    HOUR_S,
    NS,
    START_S,
    Sight,
    campaign,
    correlator,
    crowd,
    hashed,
    rebuild,
    row,
    show,
    together,
)

KNOWN_S = START_S + 6 * HOUR_S


def asked(one: Correlator, sight: Sight) -> bool:
    """Show one request; return whether it is decided in a cluster."""
    one.observe(sight.row, sight.refused, int(sight.at_s * NS))
    if sight.refused:
        one.core.refuse(sight.row)
    return one.cluster(sight.row) != -1


def newcomer(name: str, times: int, *, refused: int = 0, at_s: float = KNOWN_S) -> list[Sight]:
    """Return requests of an account on a card nobody has used, from the actor's exits."""
    given = {"payment": f"card of {name}", "client": "bad build 0" if name.endswith("!") else "build-0"}
    return [
        Sight(
            at_s + 1800 * number,
            name,
            row(name, address=f"43.{7 * number % 40}.{7 * number % 40 % 9}.{1 + 7 * number % 40}", **given),
            refused=number < refused,
        )
        for number in range(times)
    ]


def world(seed: int = 4) -> Correlator:
    """Return a correlator that has just found out about an actor of a hundred accounts."""
    rng = random.Random(seed)
    one = correlator()
    # Some of the actor's use the client that most people do.
    blend = campaign(40, rng, name="mix")
    for sight in blend:
        sight.row[4] = hashed("client", "build-0")
    show(one, together(crowd(400, rng), campaign(100, rng), blend), rebuilds=False)
    rebuild(one, KNOWN_S)
    assert one.core.label_of(hashed("account", "bad-0"))
    return one


@pytest.fixture
def known() -> Correlator:
    return world()


def own(one: Correlator) -> int:
    """Return what limits count the actor by."""
    return one.identities[one.core.label_of(hashed("account", "bad-0"))]


def test_newcomer_brings_what_it_was_given(known: Correlator) -> None:
    inside = [asked(known, sight) for sight in newcomer("late", 6)]
    free = inside.index(True)
    assert free >= 1
    assert inside == [False] * free + [True] * (6 - free)
    assert known.core.owing
    assert known.core.debts() == [(own(known), free)]
    assert not known.core.owing
    assert known.core.debts() == []


def test_newcomer_known_by_its_first_request_brings_nothing(known: Correlator) -> None:
    assert [asked(known, sight) for sight in newcomer("own!", 2)] == [True, True]
    assert known.core.debts() == []


def test_what_was_refused_is_not_brought(known: Correlator) -> None:
    inside = [asked(known, sight) for sight in newcomer("late", 6, refused=1)]
    assert known.core.debts() == [(own(known), inside.index(True) - 1)]


def test_stranger_owes_nothing(known: Correlator) -> None:
    for sight in crowd(40, random.Random(9), hours=1):
        asked(known, Sight(sight.at_s + 6 * HOUR_S, "x", sight.row))
    assert known.core.debts() == []


def test_founder_brings_what_it_was_given_when_it_comes_back() -> None:
    one = world()
    back = row("bad-0", address="99.1.1.1", payment="bad card 0", client="bad build 0")
    for _ in range(3):
        assert asked(one, Sight(KNOWN_S + 60, "bad-0", back))
    ((identity, requests),) = one.core.debts()
    assert identity == own(one)
    # All within six hours: hardly anything has faded, and none of it is counted again.
    assert 8 <= requests <= 16
    assert asked(one, Sight(KNOWN_S + 120, "bad-0", back))
    assert one.core.debts() == []


def test_of_what_was_given_long_ago_little_is_left() -> None:
    one = world()
    back = row("bad-0", address="99.1.1.1", payment="bad card 0", client="bad build 0")
    assert asked(one, Sight(KNOWN_S + 2 * DAY_S, "bad-0", back))
    ((_, requests),) = one.core.debts()
    assert 2 <= requests <= 6  # a quarter, and the request just made


def test_budgets_of_one_cluster_share_its_debt(known: Correlator) -> None:
    label = known.core.label_of(hashed("account", "bad-0"))
    known.core.name(label, own(known), 3)
    for number in range(4):
        back = row(f"bad-{number}", address="99.1.1.1", payment="bad card 0", client="bad build 0")
        assert asked(known, Sight(KNOWN_S + 60, f"bad-{number}", back))
    debts = known.core.debts()
    assert [identity for identity, _ in debts] == [part_of(own(known), part) for part in range(3)]
    amounts = [requests for _, requests in debts]
    assert max(amounts) - min(amounts) <= 1
    assert 30 <= sum(amounts) <= 64


def test_debt_of_a_cluster_that_is_given_up_is_nobodys(known: Correlator) -> None:
    label = known.core.label_of(hashed("account", "bad-0"))
    back = row("bad-0", address="99.1.1.1", payment="bad card 0", client="bad build 0")
    assert asked(known, Sight(KNOWN_S + 60, "bad-0", back))
    assert known.core.owing
    known.core.close(label)
    assert known.core.debts() == []


def test_victim_that_keeps_its_own_pace_brings_nothing() -> None:
    one = correlator(START_S - 2 * DAY_S)
    rng = random.Random(4)
    # Here for two days before the campaign begins, on a card that the campaign then uses as well.
    for day in range(-2, 0):
        for number in range(10):
            at_s = START_S + day * DAY_S + number * 3600
            one.observe(row("victim", address="20.9.9.9", payment="bad card 0"), False, int(at_s * NS))
    show(one, together(crowd(400, rng), campaign(100, rng)), rebuilds=False)
    rebuild(one, KNOWN_S)
    label = one.core.label_of(hashed("account", "bad-0"))
    one.core.place(hashed("account", "victim"), label)
    assert one.core.label_of(hashed("account", "victim")) == label
    back = Sight(KNOWN_S + 12 * HOUR_S, "victim", row("victim", address="20.9.9.9", payment="bad card 0"))
    assert not asked(one, back)
    assert one.core.debts() == []
