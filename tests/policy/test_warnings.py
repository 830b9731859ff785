"""Warnings: what stops nothing is told where it is true, and only there."""

from __future__ import annotations

import pytest

from tests.policy.test_problems import ACCOUNT, RATE, SECOND, correlation, identity, limit, problems_of


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        (f"version = 1\n[identities]\n{ACCOUNT}\n[[limits]]\nname = 'a'", ["policy-unknown-key"]),
        (identity(ACCOUNT, "acount"), ["identity-unknown"]),
        (limit(RATE, 'mode = "shadwo"'), ["policy-value"]),
        (limit(RATE, "[corelation]").replace('"ip"', '"cluster"'), ["policy-unknown-key"]),
        ("version = 1\n[trust]\nproxies = ['10.0.0.1']", ["policy-unknown-key"]),
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
        ('network = "ip"\nextra = ["agent:costly"]', True),
        ('network = "ip"\npayment = "agent"', True),
    ],
)
def test_an_actor_is_proven_by_exits_and_by_what_costs(lines: str, is_enough: bool) -> None:
    codes = {problem.code for problem in problems_of(correlation(lines, "skip"))}
    assert ("correlation-families" not in codes) is is_enough


@pytest.mark.parametrize(
    ("lines", "is_told"),
    [
        ('match = "POST /v1/*"', False),
        ('match = "/v1/*"', False),
        ('match = "GET /*"', True),
        ('except = "GET /metrics"', False),
        ('except = "/metrics"', False),
        ('unit = "handshakes"', False),
        ('mode = "shadow"', True),
        ('[allow]\nip = ["10.0.0.0/8"]', False),
        ('[allow]\nx = ["friend"]', True),
    ],
)
def test_scrape_that_would_be_refused_is_told(lines: str, is_told: bool) -> None:
    head = 'version = 1\n[identities]\nx = { from = "header:x", missing = "refuse" }\n[[limit]]\n'
    found = problems_of(f'{head}name = "l"\nper = "x"\n{RATE}\n{lines}\n')
    assert ("metrics-refused" in {problem.code for problem in found}) is is_told


def test_metrics_are_told_of_once_for_an_identity() -> None:
    rows = "".join(
        f'[[limit]]\nname = "l{at}"\nper = "x"\nrate = "{at + 1}/hour"\nunit = "u{at}"\n' for at in range(4)
    )
    head = 'version = 1\n[identities]\nx = { from = "header:x", missing = "refuse" }\n'
    (problem,) = problems_of(head + rows)
    assert problem.message == "`l0` and `l1` and others cover `/metrics`, and a scrape has no `x`"


@pytest.mark.parametrize(
    "line", ['match = "GET /a"', 'mode = "shadow"', "mode = 0.5", 'unit = "t"', "cost = 2"]
)
def test_limits_of_other_requests_are_not_called_shadowed(line: str) -> None:
    assert problems_of(limit(RATE, line, SECOND, 'rate = "20/minute"')) == ()
