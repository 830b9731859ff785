"""Debt beyond its bound is forgiven, and counted."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.telemetry import RateLimitCollector
from tests.asgi.driver import limit, rules

ALGORITHMS = ["fixed-window", "sliding-window", "token-bucket", "sliding-log"]
REPORTS = [
    ((100,), 0),
    ((2000,), 0),
    ((2001,), 1),
    ((5000,), 3000),
    # The last report stands, and what was forgiven is counted once.
    ((5000, 5000, 6000), 4000),
    ((5000, 50), 3000),
]
"""What one request of a limit of 1,000 is settled to, one report after another; what is forgiven of it."""


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("reports", "forgiven"), REPORTS)
def test_debt_beyond_the_bound_is_counted(algorithm: str, reports: tuple[int, ...], forgiven: int) -> None:
    """A limit of 1,000 goes into debt of one further quota; debt beyond that is counted."""
    policy = rules(limit("tokens", rate="1000/day", unit="t", algorithm=algorithm, cost=100))
    clock = ManualClock()
    limiter = Limiter(Policy.from_toml(policy), clock=clock, store=EmbeddedStore.private(keys=1000))
    decision = limiter.decide(identities={"account": "a"})
    for report in reports:
        decision.settle(t=report)
    registry = CollectorRegistry()
    registry.register(RateLimitCollector(limiter))
    labels = {"limit": "tokens", "unit": "t"}
    assert registry.get_sample_value("ratelimit_forgiven_units_total", labels) == forgiven
