"""Limits by what a client writes, without one by address beside: `check` and the log say so, of no other."""

from __future__ import annotations

import pytest

from ratelimit import Policy
from ratelimit.policy.compile.invented import invented
from tests.asgi.driver import limit, rules

IDENTITIES = """account = { from = "header:x-api-key" }
session = { from = "cookie:sid" }
user = { from = "state:user" }"""
BY_KEY = limit("keys", "account", match="/v1/*")


@pytest.mark.parametrize(
    ("tables", "names"),
    [
        ([BY_KEY], ["keys"]),
        ([limit("sessions", "session")], ["sessions"]),
        ([BY_KEY, limit("address", "ip", match="/v2/*")], ["keys"]),
        ([BY_KEY, limit("address", "ip", mode="shadow")], ["keys"]),
        ([BY_KEY, limit("both", "session")], ["keys", "both"]),
        ([BY_KEY, limit("address", "ip")], []),
        ([BY_KEY, limit("all", "")], []),
        ([BY_KEY, limit("users", "user")], []),
        ([limit("address", "ip")], []),
        ([limit("users", "user")], []),
    ],
)
def test_limit_that_a_client_leaves_by_inventing_values(tables: list[str], names: list[str]) -> None:
    assert invented(Policy.from_toml(rules(*tables, identities=IDENTITIES)).compiled) == names
