"""Mistakes in what the operator knows: code, line and key of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratelimit.errors import PolicyError
from ratelimit.policy import Policy, Problem
from tests.declarations.world import POLICY

LINES = POLICY.count("\n")
HEAD = "[correlation.known]\n"
ACME = "[correlation.known.organisations.acme]\n"
BOLT = "[correlation.known.organisations.bolt]\n"


def problems_of(known: str, policy: str = POLICY) -> tuple[Problem, ...]:
    try:
        return Policy.from_toml(policy + known, "p.toml").warnings
    except PolicyError as error:
        return error.problems


# code, lines after the policy's own, line among them, key below `correlation.known`
CASES = [
    ("known-principal", HEAD + 'exempt = [["a", "b"]]', 2, "exempt[0]"),
    ("policy-value", HEAD + 'exempt = ["a",\n""]', 3, "exempt[1]"),
    ("known-group", HEAD + 'together = [["a"]]', 2, "together[0]"),
    ("known-group", HEAD + 'apart = [["a", "a"]]', 2, "apart[0]"),
    ("known-contradiction", HEAD + 'exempt = ["a"]\ntogether = [["a", "b"]]', 3, "together[0]"),
    ("known-contradiction", HEAD + 'together = [["a", "b"],\n["b", "c"]]', 3, "together[1]"),
    ("known-contradiction", HEAD + 'together = [["a", "b"]]\napart = [["a", "b"]]', 3, "apart[0]"),
    (
        "known-contradiction",
        ACME + 'payment = ["p"]\n' + BOLT + 'payment = ["p"]',
        4,
        "organisations.bolt.payment[0]",
    ),
    (
        "known-contradiction",
        ACME + 'network = ["192.0.2.0/24"]\n' + BOLT + 'network = ["192.0.2.64/26"]',
        4,
        "organisations.bolt.network[0]",
    ),
    ("known-organisation", ACME + 'account = ["a"]', 1, "organisations.acme"),
    (
        "policy-unknown-key",
        '[correlation.known.organisations.acme]\nname = "p"',
        2,
        "organisations.acme.name",
    ),
    ("address-syntax", ACME + 'network = ["192.0.2.0/33"]', 2, "organisations.acme.network[0]"),
    ("address-syntax", '[correlation.known]\nnetworks = ["x"]', 2, "networks[0]"),
    ("known-list", '[correlation.known]\nnetworks = ["file:nowhere.txt"]', 2, "networks[0]"),
    ("policy-unknown-key", HEAD + "exempts = []", 2, "exempts"),
    ("policy-too-many", HEAD + "exempt = " + str([f"a{n}" for n in range(10_001)]), 2, "exempt"),
]


@pytest.mark.parametrize(("code", "text", "line", "key"), CASES, ids=[f"{c[0]}-{c[3]}" for c in CASES])
def test_a_mistake_has_its_code_its_line_and_its_key(code: str, text: str, line: int, key: str) -> None:
    found = [(problem.code, problem.line, problem.key) for problem in problems_of(text)]
    where = "correlation.known" + (f".{key}" if key else "")
    assert (code, LINES + line, where) in found


def test_what_is_known_needs_somebody_it_is_known_of() -> None:
    policy = POLICY.replace('principal = "account"\n', "")
    codes = [(problem.code, problem.key) for problem in problems_of(HEAD + 'exempt = ["a"]', policy)]
    assert ("correlation-principal", "correlation.known") in codes


def test_payment_methods_without_the_identity_for_them_are_a_mistake() -> None:
    policy = POLICY.replace('payment = "payment"\n', "")
    found = [problem.code for problem in problems_of(ACME + 'payment = ["p"]', policy)]
    assert "known-organisation" in found


def test_no_value_is_repeated_in_a_problem() -> None:
    text = HEAD + 'exempt = ["hush"]\ntogether = [["hush", "quiet"]]'
    assert all("hush" not in str(problem) for problem in problems_of(text))


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"192.0.2.0/24\nnot a range\n", b"#" * ((8 << 20) + 1)])
def test_a_bad_list_is_one_problem_that_says_where(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "exits.txt").write_bytes(raw)
    path = tmp_path / "policy.toml"
    path.write_text(POLICY + '[correlation.known]\nnetworks = ["file:exits.txt"]', "utf-8")
    with pytest.raises(PolicyError) as caught:
        Policy.load(path)
    (problem,) = [each for each in caught.value.problems if each.severity == "error"]
    assert (problem.code, problem.line) == ("known-list", LINES + 2)
