"""The standing of payers and accounts: what the young, newcomers and those with a past may use."""

from __future__ import annotations

from typing import Any

import pytest

from ratelimit import Limiter, ManualClock, Policy
from ratelimit.decision import Decision

START_S = 1_700_006_400
DAY_S = 86_400
POLICY = """
version = 1
[identities]
account = { from = "state:account" }
payer = { from = ["state:payment", "state:sponsor"], missing = "skip" }
ip = { from = "client" }
network = { from = "client/24/48" }
[[limit]]
name = "payer"
per = "payer"
rate = "10/day"
algorithm = "fixed-window"
budget = { per_usd = 2, growth = 3, most = 60 }
[correlation]
principal = "account"
network = ["ip", "network"]
payment = "payer"
created = "state:account_created"
paid = "state:paid_usd"
"""
BEYOND = """
[[limit]]
name = "beyond"
per = "account"
budget = "overflow"
rate = "3/day"
algorithm = "fixed-window"
"""
HOME, ELSEWHERE = "192.0.2.1", "198.51.100.1"


class Clocked:
    """A limiter, and how it is asked on a day after its first."""

    def __init__(self, in_python: bool, policy: str = POLICY) -> None:
        self.limiter = Limiter(Policy.from_toml(policy), clock=ManualClock(START_S * 10**9))
        if in_python:
            self.limiter.current.decider = self.limiter.current.by_name = None

    def decide(self, day: int, account: str = "a", client: str = HOME, **state: Any) -> Decision:
        now_ns = (START_S + day * DAY_S) * 10**9
        return self.limiter.decide(
            client=client, state={"account": account, "payment": "card", **state}, now_ns=now_ns
        )

    def admitted(self, day: int, count: int = 200, **more: Any) -> int:
        return sum(self.decide(day, **more).allowed for _ in range(count))


@pytest.fixture(params=[False, True], ids=["compiled", "in Python"])
def limits(request: pytest.FixtureRequest) -> Clocked:
    return Clocked(request.param)


def test_little_of_what_a_young_payer_paid_counts(limits: Clocked) -> None:
    limits.decide(0, payment="first")  # records begin
    assert limits.admitted(40, paid_usd=1000) == 20
    assert limits.admitted(69, paid_usd=1000) == 20
    assert limits.admitted(71, paid_usd=80) == 160
    assert limits.admitted(72, paid_usd=20) == 40


def test_on_a_new_installation_a_payer_is_as_young_as_its_account_says(limits: Clocked) -> None:
    old, new = START_S - 100 * DAY_S, START_S - DAY_S
    assert limits.admitted(0, payment="old", paid_usd=20, account_created=old) == 40
    assert limits.admitted(0, payment="new", paid_usd=20, account_created=new) == 20
    assert limits.admitted(0, payment="unknown", paid_usd=20) == 40


def test_use_opens_a_bounded_multiple_of_itself_a_month_later(limits: Clocked) -> None:
    assert limits.admitted(0) == 10
    assert limits.admitted(20) == 10
    grown = limits.admitted(41)
    assert 24 <= grown <= 30  # three times ten, each rounded down to a level
    assert limits.admitted(41, paid_usd=0) == 0  # nothing paid is known, and opens the base
    for day in (82, 123):
        grown = limits.admitted(day)
    assert 50 <= grown <= 60


@pytest.mark.parametrize("in_python", [False, True])
def test_newcomers_elsewhere_are_not_covered_and_take_nothing_from_the_owner(in_python: bool) -> None:
    """Hazard: a stolen card opens what its owner has earned."""
    limits = Clocked(in_python, POLICY + BEYOND)
    for day in range(0, 51, 10):
        limits.decide(day, account="owner", paid_usd=40)
    day = 51
    assert limits.admitted(day, 6, account="thief 1", client=ELSEWHERE, paid_usd=40) == 3
    assert limits.admitted(day, account="thief 2", client=ELSEWHERE, paid_usd=40) == 3
    assert limits.admitted(day, account="owner", paid_usd=40) == 80 + 3


def test_newcomer_at_a_place_of_the_payer_draws_on_its_allowance(limits: Clocked) -> None:
    for day in range(0, 51, 10):
        limits.decide(day, account="owner", paid_usd=40)
    assert limits.admitted(51, 30, account="hired", paid_usd=40) == 30
    assert limits.admitted(51, account="owner", paid_usd=40) == 80 - 30


def test_dollars_count_as_far_as_those_of_a_month_ago(limits: Clocked) -> None:
    """Hazard: a card that waits for a month, then pays much and takes it back."""
    limits.decide(0, payment="first")
    for day in range(40, 80, 5):
        limits.decide(day, paid_usd=1)
    assert limits.admitted(80, paid_usd=500) == 2 * (10 + 1) - 1  # rounded down to a level


def test_account_age_opens_nothing(limits: Clocked) -> None:
    limits.decide(0, payment="first")
    for created in (START_S - 4000 * DAY_S, START_S + 39 * DAY_S):
        payment = f"card {created}"
        assert limits.admitted(40, payment=payment, account_created=created, paid_usd=1000) == 20
        assert limits.admitted(40, payment=f"{payment} unpaid", account_created=created) == 10
