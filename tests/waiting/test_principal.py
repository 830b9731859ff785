"""The default principal of what waits is the account, and `check` says where it is an address."""

from __future__ import annotations

import pytest

from ratelimit import Policy

HEAD = """
version = 1
[identities]
account = { from = "state:account" }
"""
LIMIT = '[[limit]]\nname = "calls"\nmatch = "/*"\nper = %s\nrate = "5/second"\n%s\n'


@pytest.mark.parametrize(
    ("per", "more", "is_told"),
    [
        ("[]", 'wait = "1s"', True),
        ('"ip"', 'wait = "1s"', True),
        ('"account"', 'wait = "1s"', False),
        ('["ip", "account"]', 'wait = "1s"', False),
        ('"ip"', "", False),
    ],
)
def test_queue_whose_shares_are_addresses_is_told(per: str, more: str, is_told: bool):
    head = HEAD.replace("account =", "user =") if "account" not in per else HEAD
    warnings = Policy.from_toml(head + LIMIT % (per, more)).warnings
    assert any(each.code == "queue-principal" for each in warnings) is is_told
