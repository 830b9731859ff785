"""Mistakes in allowances, each told with its code and its key."""

import pytest

from tests.policy.test_problems import problems_of

PAYER = """
version = 1
[identities]
payment = { from = "state:payment", missing = "skip" }
sponsor = { from = "state:sponsor", missing = "skip" }
[correlation]
paid = "state:paid_usd"
"""
ALLOWANCE = """
[[limit]]
name = "payer"
per = "payment"
rate = "3000/day"
algorithm = "sliding-window"
budget = { per_usd = 600 }
"""
LIMIT = "[[limit]]\nname = 'x'\n"
CASES = [
    ("limit-earned", LIMIT + 'per = ["payment", "ip"]\nrate = "1/day"\nbudget = { per_usd = 1 }', "budget"),
    ("limit-earned", LIMIT + 'per = "payment"\nconcurrent = 3\nbudget = { per_usd = 1 }', "budget"),
    ("limit-earned", LIMIT + 'per = "payment"\nrate = "1/day; 1/hour"\nbudget = { per_usd = 1 }', "budget"),
    (
        "limit-earned",
        LIMIT + 'per = "payment"\nrate = "1/day"\nalgorithm = "sliding-log"\nbudget = { per_usd = 1 }',
        "budget",
    ),
    ("limit-earned", LIMIT + 'per = "cluster"\nrate = "1/day"\nbudget = { per_usd = 1 }', "per"),
    ("limit-earned", LIMIT + 'per = "ip"\nrate = "1/day"\nbudget = "overflow"', "budget"),
    ("limit-earned", LIMIT + 'per = "payment"\nrate = "1/day"\nbudget = { growth = 2 }', "budget.growth"),
    ("limit-budget", LIMIT + 'per = "payment"\nrate = "1/day"\nbudget = {}', "budget"),
    ("limit-budget", LIMIT + 'per = "ip"\nrate = "1/day"\nbudget = { from = "state:b" }', "budget"),
    ("limit-budget", LIMIT + 'per = "ip"\nrate = "1/day"\nbudget = { per_usd = 1, most = 2 }', "budget.most"),
    (
        "limit-budget",
        LIMIT + 'per = "ip"\nrate = "1/day"\nbudget = { from = "state:b", most = 9, per_usd = 1 }',
        "budget",
    ),
    ("limit-earned", ALLOWANCE + LIMIT + 'per = "sponsor"\nrate = "1/day"\nbudget = { per_usd = 1 }', "per"),
]


@pytest.mark.parametrize(("code", "text", "key"), CASES, ids=[str(at) for at in range(len(CASES))])
def test_each_mistake_of_an_allowance_is_told(code: str, text: str, key: str) -> None:
    found = [(problem.code, problem.key) for problem in problems_of(PAYER + text)]
    assert any(of == code and key in where for of, where in found), found


def test_payment_that_nobody_knows_cannot_be_earned_by() -> None:
    text = PAYER.replace("[correlation]", "").replace('paid = "state:paid_usd"', "") + ALLOWANCE
    assert ("limit-earned", "limit[0].budget.per_usd") in [(one.code, one.key) for one in problems_of(text)]


def test_policy_with_an_allowance_and_its_overflow_is_in_order() -> None:
    text = PAYER + ALLOWANCE + LIMIT + 'per = "ip"\nrate = "10/day"\nbudget = "overflow"'
    assert [one.code for one in problems_of(text) if one.code.startswith("limit-")] == []
