"""Accounts that come after their actor was found: which of them belong to it at once, and which wait."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ratelimit.correlation import Correlator
from ratelimit.correlation.classification import Verdict
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
    show,
    together,
    verdicts,
)

HOURS = 16
KNOWN_S = START_S + HOURS * HOUR_S
BAD = keys_of(f"bad-{number}" for number in range(100))


def settled(**changed: Any) -> Correlator:
    """Return a correlator that has found an actor among people."""
    rng = random.Random(1)
    one = correlator(**changed)
    show(one, together(crowd(300, rng, hours=HOURS), campaign(100, rng, hours=HOURS)))
    rebuild(one, KNOWN_S)
    assert clusters(one) == [BAD]
    return one


def ask(one: Correlator, account: str, at_s: float = KNOWN_S, **given: Any) -> int:
    """Show a request; return what is said of its account then."""
    seen = row(account, **given)
    one.observe(seen, int(at_s * NS))
    return one.core.verdict_of(seen[0])


KNOWN = {"address": exit_of(3), "payment": "bad card 3", "created_s": KNOWN_S}

FIRST = [
    # what is different about a newcomer on a known payment method and exit, and what is said of it at once
    ({}, Verdict.CERTAIN),
    ({"client": "any"}, Verdict.CERTAIN),
    ({"created_s": KNOWN_S - 14 * DAY_S + 1}, Verdict.CERTAIN),
    ({"created_s": KNOWN_S - 14 * DAY_S}, Verdict.NONE),  # an old account waits for the rebuild
    ({"created_s": None}, Verdict.LIKELY),  # how old it is, nothing says
    ({"payment": "another"}, Verdict.NONE),
    ({"payment": None}, Verdict.NONE),
    ({"address": "99.1.1.1"}, Verdict.NONE),
    ({"address": None}, Verdict.NONE),
    ({"address": "20.0.7.7"}, Verdict.NONE),  # at an address that is another's
]


@pytest.mark.parametrize(("different", "verdict"), FIRST)
def test_a_newcomer_joins_at_its_first_request_on_a_known_method_and_exit(
    different: dict[str, Any], verdict: Verdict
) -> None:
    one = settled()
    assert ask(one, "new", **(KNOWN | different)) == verdict
    assert (one.core.label_of(key_of("new")) == one.core.label_of(key_of("bad-1"))) is (verdict > 0)


def test_an_account_that_has_a_home_or_is_old_waits_for_the_rebuild() -> None:
    one = settled()
    # A rebuild has to have looked at an account for its home and age to be known.
    for hour in range(30):
        for number, created_s in enumerate((START_S - 400 * DAY_S, None)):
            at_s = KNOWN_S + hour * HOUR_S
            given = {"address": f"31.{number}.1.1", "payment": f"own {number}", "created_s": created_s}
            assert not ask(one, f"other {number}", at_s, **given)
    rebuild(one, KNOWN_S + 30 * HOUR_S)
    for number in range(2):
        at_s = KNOWN_S + 31 * HOUR_S
        assert not ask(one, f"other {number}", at_s, address=exit_of(5), payment="bad card 5")


def test_a_newcomer_on_an_established_customers_method_is_likely_until_its_accounts_are_mostly_new() -> None:
    rng = random.Random(6)
    aged = campaign(60, rng, hours=HOURS, created_s=START_S - 15 * DAY_S, per_card=10)
    for sight in aged:
        sight.row[0] = key_of(f"aged of {sight.account}")
    one = correlator()
    show(one, together(crowd(100, rng, hours=HOURS), campaign(140, rng, hours=HOURS), aged))
    rebuild(one, KNOWN_S)
    assert ask(one, "new", address=exit_of(3), payment="bad card 3", created_s=KNOWN_S) == Verdict.LIKELY
    assert ask(one, "other", address=exit_of(3), payment="bad card 15", created_s=KNOWN_S) == Verdict.CERTAIN


def test_a_newcomer_is_charged_what_it_was_given_before() -> None:
    one = settled()
    assert one.core.debts() == []
    for second in range(7):
        seen = row("new", **(KNOWN | {"payment": "new card"}))
        one.observe(seen, (KNOWN_S + second) * NS)
        one.core.admit(seen)
    assert ask(one, "new", KNOWN_S + 10, **KNOWN) == Verdict.CERTAIN
    assert one.core.debts() == [(one.cluster(row("bad-1")), 7)]
    assert one.core.debts() == []


def test_a_newcomer_to_a_likely_actor_is_likely_and_owes_nothing() -> None:
    one = correlator(exits=2000.0)
    show(one, campaign(100, random.Random(1), hours=HOURS))
    rebuild(one, KNOWN_S)
    assert set(verdicts(one).values()) == {Verdict.LIKELY}
    seen = row("new", **(KNOWN | {"payment": "new card"}))
    one.observe(seen, KNOWN_S * NS)
    one.core.admit(seen)
    assert ask(one, "new", KNOWN_S + 10, **KNOWN) == Verdict.LIKELY
    assert one.core.debts() == []


# -- networks -----------------------------------------------------------------------------------------


def in_networks(hours: int = HOURS) -> list[Sight]:
    """Return an actor on two hundred exits in ten networks that no other account uses."""
    rng = random.Random(1)
    sights = []
    for number in range(100):
        for _ in range(14):
            exit_ = rng.randrange(200)
            given = {"address": f"60.1.{exit_ % 10}.{exit_}", "payment": f"bad card {number // 5}"}
            at_s = START_S + rng.random() * hours * HOUR_S
            sights.append(Sight(at_s, f"bad-{number}", row(f"bad-{number}", created_s=START_S, **given)))
    return sights


def test_a_newcomer_in_the_actors_networks_is_likely_until_it_roams_there() -> None:
    one = correlator(exits=100.0)
    show(one, together(crowd(300, random.Random(1), hours=HOURS), in_networks()))
    rebuild(one, KNOWN_S)
    assert sum(said == Verdict.CERTAIN for said in verdicts(one).values()) == 100
    paid = {"payment": "bad card 3", "created_s": KNOWN_S}
    assert ask(one, "known", address="60.1.3.13", **paid) == Verdict.CERTAIN
    for nth in range(5):
        said = ask(one, "resident", KNOWN_S + 60 * nth, address="60.1.3.250", **paid)
        assert said == Verdict.LIKELY
    for nth, verdict in enumerate((Verdict.LIKELY, Verdict.LIKELY, Verdict.CERTAIN)):
        assert ask(one, "roamer", KNOWN_S + 60 * nth, address=f"60.1.{nth}.250", **paid) == verdict


@pytest.mark.parametrize(("addresses", "verdict"), [(1, Verdict.LIKELY), (3, Verdict.CERTAIN)])
def test_to_live_in_the_actors_network_on_a_stolen_card_is_likely(addresses: int, verdict: Verdict) -> None:
    one = correlator(exits=100.0)
    paid = {"payment": "bad card 3", "created_s": START_S}
    visits = [
        Sight(START_S + (14 + nth % 2) * HOUR_S, "v", row("v", address=f"60.1.{nth}.250", **paid))
        for nth in range(addresses)
    ]
    show(one, together(crowd(300, random.Random(1), hours=HOURS), in_networks(), visits))
    rebuild(one, KNOWN_S)
    assert verdicts(one).get(key_of("v")) == verdict
    assert sum(said == Verdict.CERTAIN for said in verdicts(one).values()) == 100 + (addresses == 3)


# -- age ----------------------------------------------------------------------------------------------


def days_of(one: Correlator, days: range, *, step: int = 1, goes_on: bool = True) -> dict[int, int]:
    """Show an actor's accounts and people for some days; return how many members are certain after each."""
    found = {}
    for day in days:
        rng = random.Random(day)
        parts = [crowd(100, rng, hours=HOURS)]
        if goes_on:
            parts.append(campaign(100, rng, hours=HOURS))
        show(one, later(together(*parts), day * DAY_S))
        rebuild(one, KNOWN_S + day * DAY_S)
        found[day] = sum(verdicts(one).get(key) == Verdict.CERTAIN for key in BAD)
    return found


def test_certain_accounts_stay_certain_while_they_age_and_fade_when_they_stop() -> None:
    one = settled()
    name = one.cluster(row("bad-1"))
    found = days_of(one, range(1, 20))
    assert set(found.values()) == {100}
    assert one.cluster(row("bad-1")) == name
    # Dormant accounts keep their cluster until nothing is left of what bound it.
    at_s = KNOWN_S + 19 * DAY_S
    for days, is_there in ((59, True), (62, False)):
        ask(one, "somebody", at_s + days * DAY_S, payment="x")
        rebuild(one, at_s + days * DAY_S)
        assert (one.cluster(row("bad-1")) != -1) is is_there
    assert one.members() == {}


def test_accounts_that_move_home_are_let_go() -> None:
    one = settled()
    for day in range(1, 5):
        home = [
            Sight(
                START_S + day * DAY_S + hour * HOUR_S,
                f"bad-{number}",
                row(f"bad-{number}", address=f"36.{number}.1.1", payment=f"own {number}", created_s=START_S),
            )
            for number in range(100)
            for hour in range(0, 24, 2)
        ]
        show(one, together(home))
        rebuild(one, START_S + (day + 1) * DAY_S)
    assert verdicts(one) == {}


@pytest.mark.parametrize(("records_days", "is_certain"), [(0, False), (13, False), (15, True)])
def test_nothing_is_certain_before_records_are_old_enough(records_days: int, is_certain: bool) -> None:
    """Where nothing says when accounts were created."""
    rng = random.Random(6)
    one = correlator(created=False)
    people = crowd(100, rng, hours=HOURS)
    for day in range(records_days):
        show(one, later(people, day * DAY_S))
    begin_s = records_days * DAY_S
    show(one, later(together(people, campaign(100, rng, hours=HOURS)), begin_s))
    rebuild(one, KNOWN_S + begin_s)
    said = verdicts(one)
    assert (sum(said.get(key) == Verdict.CERTAIN for key in BAD) > 90) is is_certain
    assert not said.keys() - BAD
    if not is_certain:
        assert Verdict.CERTAIN not in said.values()


def test_an_account_that_was_there_before_is_at_most_likely() -> None:
    rng = random.Random(6)
    aged = campaign(40, rng, hours=HOURS, created_s=START_S - 15 * DAY_S)
    for sight in aged:
        sight.row[0] = key_of(f"aged of {sight.account}")
    one = correlator()
    show(one, together(crowd(100, rng, hours=HOURS), campaign(140, rng, hours=HOURS), aged))
    rebuild(one, KNOWN_S)
    said = verdicts(one)
    assert sum(said.get(key) == Verdict.CERTAIN for key in BAD) >= 60  # those on cards that are mostly new
    others = keys_of(f"aged of bad-{number}" for number in range(40))
    assert {said.get(key, Verdict.NONE) for key in others} <= {Verdict.NONE, Verdict.LIKELY}
