"""Warnings: what stops nothing is told where it is true, and only there."""

from __future__ import annotations

import pytest

from tests.policy.test_problems import ACCOUNT, RATE, correlation, identity, limit, problems_of


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        (f"version = 1\n[identities]\n{ACCOUNT}\n[[limits]]\nname = 'a'", ["policy-unknown-key"]),
        (identity(ACCOUNT, "acount"), ["identity-unknown"]),
        (limit(RATE, 'mode = "shadwo"', "enforce = 0"), ["policy-value"]),
        (limit(RATE, "[corelation]").replace('"ip"', '"cluster"'), ["policy-unknown-key"]),
        ("version = 1\n[trust]\nproxy = ['10.0.0.1']\nheader = 'forwarded'", ["policy-unknown-key"]),
        # What is true whatever the error is stays.
        (limit("rate = 5", "cost = 0"), ["policy-type", "limit-cost-zero"]),
    ],
)
def test_what_may_only_be_the_consequence_of_an_error_is_not_told(text: str, codes: list[str]) -> None:
    assert [problem.code for problem in problems_of(text)] == codes


@pytest.mark.parametrize("methods", ["get", "POST|PUT", "PROPFIND", "PURGE", "QUERY", "*"])
def test_methods_of_http_and_its_extensions_are_known(methods: str) -> None:
    assert problems_of(limit(RATE, f'match = "{methods} /a"')) == ()


@pytest.mark.parametrize(
    ("lines", "is_enough"),
    [
        ('network = "ip"\nclient = "agent"', False),
        ('payment = "agent"', False),
        ('network = "ip"\nextra = ["agent"]', False),
        ('network = "ip"\nextra = ["agent"]\ncostly = ["agent"]', True),
        ('network = "ip"\npayment = "agent"', True),
    ],
)
def test_an_actor_is_proven_by_exits_and_by_what_costs(lines: str, is_enough: bool) -> None:
    codes = {problem.code for problem in problems_of(correlation(lines, "skip"))}
    assert ("correlation-families" not in codes) is is_enough
