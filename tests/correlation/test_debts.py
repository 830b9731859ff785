"""What an account was given before it was recognised is its actor's: counted once, and nobody else's."""

from __future__ import annotations

import random

import pytest

from ratelimit.correlation import Correlator
from ratelimit.correlation.correlator import part_of
from ratelimit.correlation.memory import transplant
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
    together,
)

KNOWN_S = START_S + 6 * HOUR_S


def asked(one: Correlator, sight: Sight) -> bool:
    """Show one request; return whether it is decided in a cluster."""
    one.observe(sight.row, False, int(sight.at_s * NS))
    is_inside = one.cluster(sight.row) != -1
    if sight.refused:
        one.core.refuse(sight.row)
    elif not is_inside:
        one.core.admit(sight.row)
    return is_inside


def see(one: Correlator, sights: list[Sight]) -> None:
    """Show what is decided while nobody is known."""
    for sight in sights:
        asked(one, sight)


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


@pytest.fixture
def known() -> Correlator:
    """Return a correlator that has just found out about an actor, which has paid for what it had by then."""
    rng = random.Random(4)
    one = correlator()
    # Some of the actor's use the client that most people do.
    blend = campaign(40, rng, name="mix")
    for sight in blend:
        sight.row[4] = hashed("client", "build-0")
    see(one, together(crowd(400, rng), campaign(100, rng), blend))
    rebuild(one, KNOWN_S)
    assert one.core.label_of(hashed("account", "bad-0"))
    assert one.core.debts()
    return one


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


def test_founders_bring_what_they_were_given_all_at_once() -> None:
    one = correlator()
    rng = random.Random(4)
    actor = campaign(100, rng)
    see(one, together(crowd(400, rng), actor))
    rebuild(one, KNOWN_S)
    members = one.members()
    ((identity, requests),) = one.core.debts()
    assert identity == own(one)
    # All within six hours: hardly anything has faded.
    assert 0.85 * len(actor) <= requests <= len(actor)
    assert sum(len(keys) for keys in members.values()) == 100
    # And none of it again, neither when they come back nor with another rebuild.
    for number in range(50):
        back = row(
            f"bad-{number}", address="99.1.1.1", payment=f"bad card {number // 5}", client="bad build 0"
        )
        assert asked(one, Sight(KNOWN_S + 60 + number, f"bad-{number}", back))
    rebuild(one, KNOWN_S + 300)
    assert one.core.debts() == []


def test_of_what_was_given_long_ago_little_is_left(known: Correlator) -> None:
    stranger, label = row("stranger", address="99.1.1.1"), known.core.label_of(hashed("account", "bad-0"))
    for second in range(100):
        asked(known, Sight(KNOWN_S + second, "stranger", stranger))
    # Refused ever since: that is no reason to remember what was given.
    for second in range(100):
        asked(known, Sight(KNOWN_S + 3 * DAY_S + second, "stranger", stranger, refused=True))
    known.core.place(hashed("account", "stranger"), label)
    assert asked(known, Sight(KNOWN_S + 3 * DAY_S + 200, "stranger", stranger))
    ((identity, requests),) = known.core.debts()
    assert identity == own(known)
    assert 8 <= requests <= 18  # an eighth


@pytest.mark.parametrize(("given", "pause_s", "days", "most"), [(100, 240, 3, 25), (10, 3600, 7, 1)])
def test_little_by_little_it_is_forgotten_as_well(
    known: Correlator, given: int, pause_s: int, days: int, most: int
) -> None:
    stranger, label = row("stranger", address="99.1.1.1"), known.core.label_of(hashed("account", "bad-0"))
    for second in range(given):
        asked(known, Sight(KNOWN_S + second, "stranger", stranger))
    end_s = KNOWN_S + days * DAY_S
    for at_s in range(int(KNOWN_S) + given, int(end_s), pause_s):
        asked(known, Sight(at_s, "stranger", stranger, refused=True))
    known.core.place(hashed("account", "stranger"), label)
    assert asked(known, Sight(end_s, "stranger", stranger))
    assert sum(requests for _, requests in known.core.debts()) <= most


def test_budgets_of_one_cluster_share_its_debts(known: Correlator) -> None:
    label = known.core.label_of(hashed("account", "bad-0"))
    known.core.name(label, own(known), 3)
    parts = [part_of(own(known), part) for part in range(3)]
    shares = dict.fromkeys(parts, 0)
    # Mostly there is less than one request for each: none pays for the others all the same.
    for number, requests in enumerate((7, 2, 2, 1, 1, 2)):
        stranger = row(f"stranger-{number}", address="99.1.1.1")
        for second in range(requests):
            assert not asked(known, Sight(KNOWN_S + second, "", stranger))
        known.core.place(hashed("account", f"stranger-{number}"), label)
        asked(known, Sight(KNOWN_S + 60, "", stranger))
        for identity, amount in known.core.debts():
            shares[identity] += amount
    assert list(shares.values()) == [5, 5, 5]


def test_whoever_takes_a_cluster_over_owes_what_it_owed(known: Correlator) -> None:
    assert [asked(known, sight) for sight in newcomer("late", 6)][-1]
    label = known.core.label_of(hashed("account", "bad-0"))
    heir = known.core.open()
    known.core.name(heir, 12345, 1)
    known.core.close(label)
    known.core.merge(0, known.evidence.principal_count, label, heir)
    ((identity, requests),) = known.core.debts()
    assert identity == 12345
    assert requests >= 1


def test_other_settings_change_no_debts(known: Correlator) -> None:
    assert [asked(known, sight) for sight in newcomer("late", 6)][-1]
    heir = correlator(int(KNOWN_S), join=6.0)
    for _ in transplant(known, heir):
        pass
    assert heir.core.debts() == known.core.debts() != []


def test_debt_of_a_cluster_that_is_given_up_is_nobodys(known: Correlator) -> None:
    label = known.core.label_of(hashed("account", "bad-0"))
    assert [asked(known, sight) for sight in newcomer("late", 6)][-1]
    assert known.core.owing
    known.core.close(label)
    assert known.core.debts() == []


@pytest.mark.parametrize("a_day", [5, 20, 200])
def test_victim_brings_nothing(a_day: int) -> None:
    """Whoever is older than its cluster, at its own pace throughout: what it asked before is its own."""
    one = correlator(START_S - 3 * DAY_S)
    rng = random.Random(4)
    victim = row("victim", address="20.9.9.9", payment="bad card 0")
    pace_s = DAY_S / a_day
    days = [
        Sight(START_S - 3 * DAY_S + pace_s * number, "victim", victim)
        for number in range(round(3.25 * a_day))
    ]
    see(one, together(crowd(400, rng), campaign(100, rng), days))
    rebuild(one, KNOWN_S)
    one.core.debts()
    label = one.core.label_of(hashed("account", "bad-0"))
    one.core.place(hashed("account", "victim"), label)
    assert one.core.label_of(hashed("account", "victim")) == label
    for number in range(5):
        asked(one, Sight(KNOWN_S + pace_s * number, "victim", victim))
    rebuild(one, KNOWN_S + 5 * pace_s)
    assert one.core.debts() == []
