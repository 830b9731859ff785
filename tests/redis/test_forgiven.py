"""Debt beyond its bound is forgiven by a server, and counted as this host's memory counts it."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from ratelimit.telemetry import RateLimitCollector
from tests.support.redis.live import Live, rules
from tests.support.redis.server import Server
from tests.telemetry.test_forgiven import ALGORITHMS, REPORTS

LIMIT = 'per = "account"\nunit = "t"\nrate = "1000/day"\ncost = 100\nalgorithm = "{algorithm}"'


async def settle(limiter: Live, *reports: int) -> None:
    """Decide one request, and settle it to each report once the one before is answered."""
    decision = await limiter.adecide(identities={"account": "a"})
    for report in reports:
        decision.settle(t=report)
        # Not by asking something else: that may go by another connection, and be answered before it.
        await limiter.batch_client.settled()


def counted(limiter: Live, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(RateLimitCollector(limiter))
    return registry.get_sample_value(f"ratelimit_{name}", {"limit": "l0", **labels})


@pytest.mark.parametrize("mode", ["exact", "leased"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("reports", "forgiven"), REPORTS)
async def test_debt_beyond_the_bound_is_counted(
    server: Server, algorithm: str, reports: tuple[int, ...], forgiven: int, mode: str
) -> None:
    limiter = Live(rules(server.url, LIMIT.format(algorithm=algorithm), mode=mode))
    await settle(limiter, *reports)
    assert counted(limiter, "forgiven_units_total", unit="t") == forgiven
    await limiter.aclose()


async def test_reports_that_are_sent_together_are_forgiven_once(server: Server) -> None:
    limiter = Live(rules(server.url, LIMIT.format(algorithm="fixed-window")))
    decision = await limiter.adecide(identities={"account": "a"})
    for report in (3000, 5000, 6000):
        decision.settle(t=report)
    await limiter.batch_client.settled()
    assert counted(limiter, "forgiven_units_total", unit="t") == 4000
    await limiter.aclose()
