"""Use of an account before it was recognised: it is its actor's, counted once, and no other's."""

from __future__ import annotations

import random

import pytest

from ratelimit.correlation import Correlator
from ratelimit.correlation.classification import Verdict
from ratelimit.correlation.memory import transplant
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
    exit_of,
    key_of,
    keys_of,
    later,
    rebuild,
    row,
    together,
    verdicts,
)

HOURS = 16
KNOWN_S = START_S + HOURS * HOUR_S
BAD = keys_of(f"bad-{number}" for number in range(100))


def asked(one: Correlator, sight: Sight) -> bool:
    """Show one request; return whether it is decided in a cluster."""
    one.observe(sight.row, int(sight.at_s * NS))
    is_inside = one.cluster(sight.row) != -1
    if not sight.refused and not is_inside:
        one.core.admit(sight.row)
    return is_inside


def see(one: Correlator, sights: list[Sight]) -> None:
    """Show what is decided while no actor is known."""
    for sight in sights:
        asked(one, sight)


def newcomer(name: str, *, card: str, at_s: float = KNOWN_S, refused: bool = False) -> Sight:
    """Return a request of a new account at one of the actor's exits."""
    return Sight(at_s, name, row(name, address=exit_of(3), payment=card, created_s=KNOWN_S), refused=refused)


@pytest.fixture
def known() -> Correlator:
    """Return a correlator that has just found out about an actor, which has paid for what it had by then."""
    rng = random.Random(4)
    one = correlator()
    see(one, together(crowd(200, rng, hours=HOURS), campaign(100, rng, hours=HOURS)))
    rebuild(one, KNOWN_S)
    assert clusters(one) == [BAD]
    assert one.core.debts()
    return one


def own(one: Correlator) -> int:
    """Return what limits count the actor by."""
    return one.identities[one.core.label_of(key_of("bad-0"))]


def test_newcomer_brings_what_it_was_given(known: Correlator) -> None:
    for second in range(5):
        assert not asked(known, newcomer("late", card="late card", at_s=KNOWN_S + second))
    assert not known.core.owing
    assert asked(known, newcomer("late", card="bad card 3", at_s=KNOWN_S + 9))
    assert known.core.owing
    assert known.core.debts() == [(own(known), 5)]
    assert not known.core.owing
    assert known.core.debts() == []


def test_newcomer_known_by_its_first_request_brings_nothing(known: Correlator) -> None:
    assert asked(known, newcomer("late", card="bad card 3"))
    assert known.core.debts() == []


def test_what_was_refused_is_not_brought(known: Correlator) -> None:
    for second in range(5):
        asked(known, newcomer("late", card="late card", at_s=KNOWN_S + second, refused=second < 2))
    assert asked(known, newcomer("late", card="bad card 3", at_s=KNOWN_S + 9))
    assert known.core.debts() == [(own(known), 3)]


def test_stranger_owes_nothing(known: Correlator) -> None:
    see(known, later(crowd(40, random.Random(9), hours=1), HOURS * HOUR_S))
    assert known.core.debts() == []


def test_founders_bring_what_they_were_given_all_at_once() -> None:
    one = correlator()
    rng = random.Random(4)
    people, actor = crowd(200, rng, hours=HOURS), campaign(100, rng, hours=HOURS)
    see(one, together(people, actor))
    rebuild(one, KNOWN_S)
    ((identity, requests),) = one.core.debts()
    assert identity == own(one)
    # All within a day: hardly anything has faded.
    assert 0.7 * len(actor) <= requests <= len(actor)
    # And none of it again, neither when they come back nor with another rebuild.
    assert verdicts(one) == dict.fromkeys(BAD, Verdict.CERTAIN)
    for number in range(50):
        back = row(
            f"bad-{number}", address=exit_of(number), payment=f"bad card {number // 5}", created_s=START_S
        )
        asked(one, Sight(KNOWN_S + 60 + number, f"bad-{number}", back))
    rebuild(one, KNOWN_S + 300)
    assert one.core.debts() == []


def test_of_what_was_given_long_ago_little_is_left(known: Correlator) -> None:
    for second in range(100):
        asked(known, newcomer("late", card="late card", at_s=KNOWN_S + second))
    # Refused ever since: that is no reason to remember what was given.
    for second in range(100):
        asked(known, newcomer("late", card="late card", at_s=KNOWN_S + 3 * DAY_S + second, refused=True))
    assert asked(known, newcomer("late", card="bad card 3", at_s=KNOWN_S + 3 * DAY_S + 200))
    ((identity, requests),) = known.core.debts()
    assert identity == own(known)
    assert 8 <= requests <= 18  # an eighth


@pytest.mark.parametrize(("given", "pause_s", "days", "most"), [(100, 240, 3, 25), (10, 3600, 7, 1)])
def test_little_by_little_it_is_forgotten_as_well(
    known: Correlator, given: int, pause_s: int, days: int, most: int
) -> None:
    for second in range(given):
        asked(known, newcomer("late", card="late card", at_s=KNOWN_S + second))
    end_s = KNOWN_S + days * DAY_S
    for at_s in range(KNOWN_S + given, end_s, pause_s):
        asked(known, newcomer("late", card="late card", at_s=at_s, refused=True))
    assert asked(known, newcomer("late", card="bad card 3", at_s=end_s))
    assert sum(requests for _, requests in known.core.debts()) <= most


def owing(known: Correlator) -> Correlator:
    asked(known, newcomer("late", card="late card"))
    assert asked(known, newcomer("late", card="bad card 3", at_s=KNOWN_S + 9))
    assert known.core.owing
    return known


def test_a_cluster_that_takes_another_over_owes_what_it_owed(known: Correlator) -> None:
    label = owing(known).core.label_of(key_of("bad-0"))
    heir = known.core.open_label()
    known.core.name(heir, 12345)
    known.core.close_label(label)
    known.core.merge(0, known.evidence.principal_count, label, heir)
    assert known.core.debts() == [(12345, 1)]


def test_other_settings_change_no_debts(known: Correlator) -> None:
    owing(known)
    heir = correlator(KNOWN_S, covert=0.4)
    for _ in transplant(known, heir):
        pass
    assert heir.core.debts() == known.core.debts() != []


def test_debt_of_a_cluster_that_is_given_up_is_charged_to_none(known: Correlator) -> None:
    label = owing(known).core.label_of(key_of("bad-0"))
    known.core.close_label(label)
    assert known.core.debts() == []


@pytest.mark.parametrize("a_day", [5, 20, 200])
def test_victim_brings_nothing(a_day: int) -> None:
    """An account older than its cluster: what it asked before is its own."""
    one = correlator(START_S - 3 * DAY_S)
    rng = random.Random(4)
    victim = row("victim", address="20.9.9.9", payment="bad card 0")
    pace_s = DAY_S / a_day
    days = [
        Sight(START_S - 3 * DAY_S + pace_s * number, "victim", victim) for number in range(round(3.5 * a_day))
    ]
    see(one, together(crowd(200, rng, hours=HOURS), campaign(100, rng, hours=HOURS), days))
    rebuild(one, KNOWN_S)
    assert not one.core.label_of(key_of("victim"))
    one.core.debts()
    label = one.core.label_of(key_of("bad-50"))
    one.core.assign(key_of("victim"), label)
    for number in range(5):
        assert asked(one, Sight(KNOWN_S + pace_s * number, "victim", victim))
    rebuild(one, KNOWN_S + 5 * pace_s)
    assert one.core.debts() == []
