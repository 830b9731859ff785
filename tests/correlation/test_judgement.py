"""Both sides of every threshold that a group is judged by."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from ratelimit.correlation.correlator import parts_of_budget
from ratelimit.correlation.judgement import LEAST_CONFIDENCE, Profile, judge
from ratelimit.correlation.settings import Settings

SETTINGS = Settings()

PAYING: dict[str, Any] = {
    "size": 100,
    "edges": 900.0,
    "paying": 100.0,
    "sharing": 100.0,
    "networks": 4.0,
    "network": 3.0,
    "payment": 4.0,
    "client": 2.0,
    "extra": 0.0,
    "rhythm": 1.5,
    "paid": 1.0,
    "rate": 30.0,
    "rated": 100.0,
    "volume": 10.0,
    "evenness": 0.3,
    "moving": 0.9,
    "roaming": 0.9,
    "concentration": 0.5,
    "payments": 20,
    "meetings": 20,
    "met": 0.5,
    "rival": 0,
    "rivals": 0,
    "first_s": 1_800_000_000,
}
"""A campaign as seen from above: shared cards whose users meet at exits, even volumes."""

ROAMING = PAYING | {"sharing": 0.0, "payments": 0, "meetings": 0, "network": 5.0}
"""The same with a card each."""

UNMET = PAYING | {"meetings": 0}
"""Shared cards whose users meet nowhere, but that are on unusual networks with unusual clients."""

TENANTS = ROAMING | {"paid": 0.0, "networks": 1.0, "network": 1.5, "client": 3.0, "roaming": 0.0}
"""Where nobody pays: a network that one client fills."""

BY_MEETING = "payment and network"
BY_FIT = "payment, network and behaviour"
BY_THEIR_CLIENT = "payment, network and client"
BY_ROAMING = "network, client and behaviour"
BY_CLIENT = "network and client"
UNEQUAL = "unequal members"
NOT = "families do not agree"

ROWS = [
    # what it is, what is different, why it passes or does not
    (PAYING, {}, BY_MEETING),
    (PAYING, {"size": 12, "sharing": 12.0}, BY_MEETING),
    (PAYING, {"size": 11, "sharing": 11.0}, "small"),
    (PAYING, {"sharing": 90.0}, BY_MEETING),
    (PAYING, {"sharing": 89.0}, NOT),
    (PAYING, {"payments": 4, "meetings": 4}, BY_MEETING),
    (PAYING, {"payments": 3, "meetings": 4}, NOT),
    (PAYING, {"payments": 4, "meetings": 3}, NOT),
    (PAYING, {"payments": 40, "meetings": 8, "network": 0.0}, BY_MEETING),
    (PAYING, {"payments": 40, "meetings": 7, "network": 0.0}, NOT),  # a meeting for five payment methods
    (PAYING, {"payments": 80, "meetings": 8, "network": 0.0}, BY_THEIR_CLIENT),
    (PAYING, {"payments": 81, "meetings": 8, "network": 0.0}, NOT),  # for ten
    (PAYING, {"payments": 60, "meetings": 7, "network": 0.0}, NOT),
    (PAYING, {"payments": 80, "meetings": 8, "network": 0.0, "client": 1.9}, NOT),
    (PAYING, {"evenness": 0.74}, BY_MEETING),
    (PAYING, {"evenness": 0.76}, UNEQUAL),  # 0.9 less 1.5 over the root of a hundred
    (PAYING, {"evenness": 2.0, "concentration": 0.86}, BY_MEETING),
    (PAYING, {"evenness": 2.0, "concentration": 0.84}, UNEQUAL),
    (PAYING, {"evenness": 9.0, "volume": 2.9}, BY_MEETING),  # too little is known to hold it against them
    (PAYING, {"evenness": 9.0, "volume": 3.0}, UNEQUAL),
    (PAYING, {"evenness": 9.0, "rated": 11.0}, BY_MEETING),
    (PAYING, {"evenness": 9.0, "rated": 12.0}, UNEQUAL),
    (UNMET, {}, BY_FIT),
    (UNMET, {"payments": 8}, BY_FIT),
    (UNMET, {"payments": 7}, NOT),
    (UNMET, {"met": 0.1}, BY_FIT),
    (UNMET, {"met": 0.09}, NOT),  # here and there chance lets people meet, too
    (UNMET, {"network": 2.0}, BY_FIT),
    (UNMET, {"network": 1.9}, NOT),
    (UNMET, {"volume": 2.0, "client": 1.0}, BY_THEIR_CLIENT),
    (UNMET, {"volume": 2.0, "client": 0.9}, NOT),
    (ROAMING, {}, BY_ROAMING),
    (ROAMING, {"networks": 2.0}, BY_ROAMING),
    (ROAMING, {"networks": 1.9}, NOT),
    (ROAMING, {"network": 3.5}, BY_ROAMING),
    (ROAMING, {"network": 3.4}, NOT),
    (ROAMING, {"client": 1.0}, BY_ROAMING),
    (ROAMING, {"client": 0.9}, NOT),
    (ROAMING, {"roaming": 0.6}, BY_ROAMING),
    (ROAMING, {"roaming": 0.59}, NOT),
    (ROAMING, {"moving": 0.5}, BY_ROAMING),
    (ROAMING, {"moving": 0.49}, NOT),  # who stays where it is for a session does as others on the same exits
    (ROAMING, {"rhythm": 1.0}, BY_ROAMING),
    (ROAMING, {"rhythm": 0.9}, NOT),
    (ROAMING, {"volume": 2.9}, NOT),  # a card each needs to have been watched for a while
    (ROAMING, {"evenness": 1.1}, UNEQUAL),
    (TENANTS, {}, BY_CLIENT),
    (TENANTS, {"network": 1.2}, BY_CLIENT),
    (TENANTS, {"network": 1.1}, NOT),
    (TENANTS, {"client": 2.5}, BY_CLIENT),
    (TENANTS, {"client": 2.4}, NOT),
    (TENANTS, {"paid": 0.01}, NOT),  # where people pay, this is not enough
    (TENANTS, {"evenness": 1.1}, UNEQUAL),
]


def profile(what: dict[str, Any], different: dict[str, Any]) -> Profile:
    return what | different  # type: ignore[return-value]


@pytest.mark.parametrize(("what", "different", "why"), ROWS)
def test_both_sides_of_each_threshold(what: dict[str, Any], different: dict[str, Any], why: str) -> None:
    judgement = judge(profile(what, different), SETTINGS)
    assert judgement.why == why
    assert (judgement.confidence > 0) == (why not in (NOT, UNEQUAL, "small"))


@pytest.mark.parametrize(
    ("what", "different"),
    [
        (PAYING, {"sharing": 71.0}),
        (PAYING, {"evenness": 0.9}),
        (PAYING, {"size": 10, "sharing": 10.0, "rated": 10.0}),
        (UNMET, {"network": 1.9}),
        (UNMET, {"met": 0.09}),
        (ROAMING, {"networks": 1.9}),
        (ROAMING, {"client": 0.9}),
        (ROAMING, {"roaming": 0.5}),
        (ROAMING, {"rhythm": 0.9}),
    ],
)
def test_one_that_has_passed_is_given_the_benefit_of_small_doubts(
    what: dict[str, Any], different: dict[str, Any]
) -> None:
    assert judge(profile(what, different), SETTINGS).confidence == 0.0
    assert judge(profile(what, different), SETTINGS, is_kept=True).confidence > 0.0


@pytest.mark.parametrize(
    ("what", "different"),
    [
        (PAYING, {"sharing": 69.0}),
        (PAYING, {"evenness": 1.3}),
        (PAYING, {"meetings": 0, "network": 0.5}),
        (UNMET, {"met": 0.07}),
        (PAYING, {"size": 9}),
        (ROAMING, {"networks": 1.0}),
        (ROAMING, {"client": 0.0}),
    ],
)
def test_having_passed_is_no_licence(what: dict[str, Any], different: dict[str, Any]) -> None:
    assert judge(profile(what, different), SETTINGS, is_kept=True).confidence == 0.0


@pytest.mark.parametrize(
    "what", [PAYING, UNMET, ROAMING, TENANTS], ids=["paying", "unmet", "roaming", "tenants"]
)
def test_confidence_falls_with_unevenness_and_has_no_cliff_but_the_last(what: dict[str, Any]) -> None:
    steps = [
        judge(profile(what, {"evenness": hundredth / 100}), SETTINGS).confidence for hundredth in range(140)
    ]
    assert steps[0] == (1.0 if what is not TENANTS else pytest.approx(0.8))
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] == 0.0
    passing = [confidence for confidence in steps if confidence > 0]
    assert min(passing) >= LEAST_CONFIDENCE
    assert max(before - after for before, after in pairwise(passing)) < 0.04


def test_a_small_group_has_to_be_more_even_than_a_large_one() -> None:
    for size, passes in ((12, False), (2000, True)):
        one = profile(PAYING, {"size": size, "sharing": float(size), "rated": float(size), "evenness": 0.8})
        assert (judge(one, SETTINGS).confidence > 0) == passes


@pytest.mark.parametrize(
    ("size", "confidence", "budgets"),
    [
        (100, 1.0, 1),
        (100, 0.99, 1),
        (100, 0.75, 3),
        (100, 0.5, 10),
        (100, 0.0, 100),
        (10_000, 0.5, 100),
        (0, 0.5, 1),
        (0, 1.0, 1),
        (1, 0.5, 1),
    ],
)
def test_from_many_budgets_to_one(size: int, confidence: float, budgets: int) -> None:
    assert parts_of_budget(size, confidence) == budgets


def test_budgets_become_fewer_as_confidence_grows() -> None:
    numbers = [parts_of_budget(500, step / 100) for step in range(101)]
    assert numbers == sorted(numbers, reverse=True)
    assert (numbers[0], numbers[-1]) == (500, 1)
