"""What `check` and the start say of classes and principals that cannot be known, and of what is used."""

from __future__ import annotations

from typing import Any

import pytest

from ratelimit import Policy
from ratelimit.deciding.extraction import payer_position
from tests.support.policy_lines import at_top

HEAD = """
version = 1
[identities]
account = { from = "state:account" }
plan = { from = "state:plan" }
tenant = { from = "path:tenant" }
"""
CLASSES = """
[adaptive]
first_byte = "1s"
[[class]]
name = "paid"
when = { %s = "pro" }
[[class]]
name = "free"
match = "/*"
"""
LIMIT = '[[limit]]\nname = "calls"\nmatch = "%s"\nper = %s\nrate = "5/second"\n%s\n'


def codes(text: str) -> list[tuple[str, str]]:
    return [(each.code, each.key) for each in Policy.from_toml(text).warnings]


def test_identities_that_only_the_adaptive_limit_uses_are_used():
    """Hazard: `check` called the plan of paying customers unused, and asked to remove it."""
    found = codes(HEAD.replace('tenant = { from = "path:tenant" }\n', "") + CLASSES % "plan")
    assert found == []


def test_fault_85_class_by_a_parameter_of_the_path_is_told_to_be_unknown_where_no_limit_names_it():
    unknown = ("class-unknown", "class[0].when")
    assert unknown in codes(HEAD + CLASSES % "tenant")
    (said,) = [
        each
        for each in Policy.from_toml(HEAD + CLASSES % "tenant" + LIMIT % ("/v1/*", '"account"', "")).warnings
        if each.code == "class-unknown"
    ]
    assert "routes that no limit matches and `/v1/*`" in said.message
    matched = (CLASSES % "tenant").replace("when", 'match = "/t/{tenant}/*"\nwhen', 1)
    assert unknown not in codes(HEAD + matched + LIMIT % ("/t/{tenant}/*", '"account"', ""))


def test_queue_by_a_principal_that_is_unknown_on_routes_is_told():
    text = at_top(HEAD, 'fair_by = "tenant"') + LIMIT % ("/v1/*", '"account"', 'wait = "1s"')
    assert ("class-unknown", "fair_by") in codes(text)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ([LIMIT % ("/*", '"ip"', ""), LIMIT % ("/v1/*", '"account"', "")], "account"),
        ([LIMIT % ("/*", '"ip"', "")], "account"),
        ([LIMIT % ("/*", '["ip", "plan"]', "")], "plan"),
        ([], "account"),
    ],
)
def test_account_is_no_address_where_anything_else_is_known(limits: list[Any], expected: str):
    """Hazard: a first limit per address made all behind a NAT one principal."""
    compiled = Policy.from_toml(
        HEAD + CLASSES % "plan" + "".join(limits).replace('"calls"', '"c"', 1)
    ).compiled
    assert compiled.identities[payer_position(compiled)].name == expected
