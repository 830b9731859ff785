"""Accounts that come once their actor is known: how soon they are members, and who never is."""

from __future__ import annotations

import random

import pytest

from ratelimit.correlation import Correlator
from tests.correlation.sights import (
    HOUR_S,
    NS,
    START_S,
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
OWN_CLIENT, PEOPLES_CLIENT = "bad build 0", "build-0"


@pytest.fixture
def known() -> Correlator:
    """Return a correlator that knows an actor, beside people of whom a quarter share cards as families do."""
    rng = random.Random(4)
    one = correlator()
    people = crowd(400, rng)
    for sight in people:
        number = int(sight.account.partition("-")[2])
        if number % 4 == 0:
            sight.row[3] = hashed("payment", f"family card {number // 16}")
    # At the same exits, since they go by the length of the name; with the client that most people use.
    blend = campaign(40, rng, name="mix")
    for sight in blend:
        sight.row[4] = hashed("client", PEOPLES_CLIENT)
    show(one, together(people, campaign(100, rng), blend))
    rebuild(one, KNOWN_S)
    assert one.core.label_of(hashed("account", "bad-0"))
    return one


def asks(
    one: Correlator,
    account: str,
    times: int,
    *,
    card: str,
    client: str,
    first_s: float = KNOWN_S,
    pace_s: float = 1800,
    at: str = "exit",
    exits: int = 40,
) -> list[bool]:
    """Return after which of its requests an account is a member; between them it rests for a while."""
    inside = []
    for request in range(times):
        exit_ = (7 * (request % exits) + len(account)) % 40
        address = {
            "exit": f"43.{exit_}.{exit_ % 9}.{1 + exit_ % 250}",
            "next door": f"43.{exit_}.{exit_ % 9}.{2 + exit_ % 250}",
            "elsewhere": f"99.{exit_}.1.1",
        }[at]
        given = {"address": address, "payment": card, "client": client}
        one.observe(row(account, **given), False, int((first_s + request * pace_s) * NS))
        inside.append(one.core.label_of(hashed("account", account)) != 0)
    return inside


def test_who_has_the_actors_client_at_its_exit_is_known_by_its_first_request(known: Correlator) -> None:
    assert asks(known, "new", 1, card="new card", client=OWN_CLIENT) == [True]


@pytest.mark.parametrize(
    ("client", "at"),
    [(OWN_CLIENT, "elsewhere"), (OWN_CLIENT, "next door"), (PEOPLES_CLIENT, "exit"), ("rare", "exit")],
)
def test_one_of_the_two_is_not_enough(known: Correlator, client: str, at: str) -> None:
    inside = asks(known, "new", 2, card="new card", client=client, at=at, exits=1)
    assert inside == [False, False]


def test_who_has_peoples_client_is_known_by_its_rhythm_at_its_third_request(known: Correlator) -> None:
    assert asks(known, "new", 3, card="new card", client=PEOPLES_CLIENT) == [False, False, True]


def test_two_exits_are_those_of_whoever_rents_there(known: Correlator) -> None:
    assert not any(asks(known, "new", 6, card="new card", client=PEOPLES_CLIENT, exits=2))


@pytest.mark.parametrize(
    ("client", "at", "expected"),
    [
        (PEOPLES_CLIENT, "elsewhere", [False, False]),
        (OWN_CLIENT, "elsewhere", [True, True]),
        (PEOPLES_CLIENT, "exit", [True, True]),
    ],
)
def test_card_alone_does_not_tell_a_thief_from_its_owner(
    known: Correlator, client: str, at: str, expected: list[bool]
) -> None:
    assert asks(known, "payer", 2, card="bad card 0", client=client, at=at) == expected


def test_who_asks_in_one_session_from_one_exit_is_not(known: Correlator) -> None:
    inside = asks(known, "guest", 12, card="guest's card", client=PEOPLES_CLIENT, pace_s=40, exits=1)
    assert not any(inside)


def test_newcomers_on_a_card_that_no_member_has_are_known_by_four_exits(known: Correlator) -> None:
    # All of them pay with it before any is known: by then it is a card that several have, as families do.
    for account in ("new-1", "new-22", "new-333"):
        assert asks(known, account, 1, card="new card", client=PEOPLES_CLIENT) == [False]
    later = KNOWN_S + HOUR_S
    inside = asks(known, "new-1", 4, card="new card", client=PEOPLES_CLIENT, first_s=later)
    assert inside == [False, False, False, True]
