"""`ratelimit doctor` names routes whose answers do not say what they used."""

from __future__ import annotations

import pytest

from ratelimit import Limiter, Policy
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.usage.explanation import findings

POLICY = """
version = 1
[[limit]]
name = "tokens"
match = "POST /v1/*"
per = "ip"
unit = "output_tokens"
rate = "9000/hour"
usage = "auto"
"""


@pytest.mark.parametrize(
    ("exact", "unknown", "found"),
    [
        (0, 0, []),
        (0, 40, ["ok"]),
        (90, 10, ["ok"]),
        (10, 89, ["ok"]),
        (10, 90, ["warn"]),
        (0, 60, ["warn"]),
    ],
)
def test_nine_in_ten_answers_without_usage_are_found(exact: int, unknown: int, found: list[str]) -> None:
    policy = Policy.from_toml(POLICY)
    limiter = Limiter(policy, store=EmbeddedStore.private(keys=1000))
    for certainty, number in (("exact", exact), ("unknown", unknown)):
        for _ in range(number):
            limiter.runtime.count_answer("/v1/*", certainty)
    seen = list(findings(policy, limiter.store))
    assert [finding.status for finding in seen] == found
    if found == ["warn"]:
        assert "`/v1/*`" in seen[0].says
        assert "all of 60" in seen[0].says or "90 % of 100" in seen[0].says
